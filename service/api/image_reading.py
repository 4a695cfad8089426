"""Images into pixels and figures, beside the event loop: each takes milliseconds and megabytes.

As many are decoded at once as there are processors, eight at most; what they become is bounded
too.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeVar

from service.api.image_room import ImageRoom
from service.api.ports import Preprocessor
from service.api.sent_images import SentImage
from service.api.workers import Workers
from service.engine.bundle import ImageInput
from service.engine.errors import UNDECODABLE
from service.engine.images.limits import Limits
from service.engine.pixels import Pixels
from service.engine.processor import processors
from service.engine.tokens import Input
from service.engine.windows import Windows
from service.errors import UnacceptableRequest
from service.settings import Settings

__all__ = ["THREADS", "UNDECODABLE", "ImageReading", "bytes_of", "image_limits", "waiting_max"]

_T = TypeVar("_T")

THREADS = min(8, max(2, processors()))  # each may need 12 bytes a pixel of its image

_FLOAT_BYTES = 4


class ImageReading:
    """Reads images for one event loop; half of the threads, at most, work for one tenant."""

    takes_images = True

    def __init__(
        self,
        preprocessor: Preprocessor,
        shape: ImageInput,
        limits: Limits,
        *,
        bytes_max: int,
        threads: int = THREADS,
    ) -> None:
        """`bytes_max` bounds the images, as the graph takes them, that are held at once."""
        self._preprocessor = preprocessor
        self._limits = limits
        self._bytes_each = bytes_of(shape)
        self._room = ImageRoom(bytes_max)
        self._workers = Workers(threads, "tenantry-images")

    def room(self, tenant: str, count: int) -> AbstractContextManager[None]:
        """Hold room for so many images around the block; raises what `ImageRoom.held` does."""
        return self._room.held(tenant, count * self._bytes_each)

    async def encode(
        self,
        tenant: str,
        inputs: Sequence[Input | SentImage],
        wanted: Sequence[Windows | None],
        body_bytes: int,
        deadline_s: float,
        measure: Callable[[Sequence[Pixels]], _T],
    ) -> tuple[Sequence[Sequence[Pixels]], _T]:
        """Return what the graph takes of each image, in order, and what `measure` finds.

        It is the same for each of the `wanted` ways: an image has no windows. Raises
        `UnacceptableRequest` for a text; one of `UNDECODABLE`, naming the first input at fault; and
        `DeadlinePassed` where the tenant's turn and the work take longer. An image that nobody
        waits for any more is decoded to its end, those behind it are not.
        """
        del body_bytes
        images = _images(inputs)
        pixels: list[Pixels] = []
        for position, image in enumerate(images):
            work = partial(self._read, position, image)
            what = f"image {position} was decoded"
            pixels.append(await self._workers.run(tenant, work, deadline_s, what))
        return [pixels] * len(wanted), measure(pixels)

    def _read(self, position: int, image: SentImage) -> Pixels:
        try:
            [pixels] = self._preprocessor.encode([image.read(self._limits)])
        except UNDECODABLE as error:
            raise type(error)(f"inputs[{position}]: {error}") from error
        return pixels


def bytes_of(shape: ImageInput) -> int:
    """Return the memory of one image as the graph takes it."""
    return shape.channels * shape.height * shape.width * _FLOAT_BYTES


def waiting_max(settings: Settings, shape: ImageInput | None) -> int:
    """Return how many inputs may wait for a pass: images no more than there is memory for.

    A request's room is given back with its answer, and its shadows may wait on.
    """
    if shape is None:
        return settings.queue_texts_max
    return min(settings.queue_texts_max, max(1, settings.images_bytes_max // bytes_of(shape)))


def image_limits(settings: Settings) -> Limits:
    """Return what one image may ask of the server."""
    return Limits(
        bytes=max(settings.max_body_bytes, settings.max_upload_bytes),
        pixels=settings.max_image_pixels,
    )


def _images(inputs: Sequence[Input | SentImage]) -> list[SentImage]:
    images: list[SentImage] = []
    for position, given in enumerate(inputs):
        if not isinstance(given, SentImage):
            raise UnacceptableRequest(
                f"input {position} is a text, and this server's backbone reads images; the guide"
                " on images shows how they are sent"
            )
        images.append(given)
    return images
