"""Room for images that are decoded and not answered yet: each is hundreds of kilobytes."""

from collections.abc import Iterator
from contextlib import contextmanager

from service.api.held import RETRY_S, Held
from service.errors import QueueFull, TenantLimited, UnacceptableRequest


class ImageRoom:
    """Bounds the memory of all of them together; for one event loop.

    Beside its first request a tenant may hold no more than there is room left, so that one that
    sends much leaves half of it to others.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._held = Held()  # bytes

    @contextmanager
    def held(self, tenant: str, size: int) -> Iterator[None]:
        """Hold so many bytes around the block.

        Raises `QueueFull`, `TenantLimited` where what is left is for others, and
        `UnacceptableRequest` for more than there will ever be.
        """
        if size > self._bytes_max:
            raise UnacceptableRequest(
                "the request's images need more memory than the server has for them; send fewer"
            )
        left = self._bytes_max - self._held.total - size
        if left < 0:
            raise QueueFull("the server holds as many images as it may; try again")
        mine = self._held.of(tenant)
        if mine and mine + size > left:
            raise TenantLimited("the server holds as many images of this tenant as it may", RETRY_S)
        with self._held.more(tenant, size):
            yield
