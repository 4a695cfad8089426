"""The adapters of the bank's benchmark: ranks 4 to 16, 2 to 77 labels, published over HTTP."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.adapters import random_adapter
from benchmarks.connection import Connection, request_bytes
from benchmarks.servers import tenantry
from benchmarks.tenancy import Placed, predict_body, publish_all
from service.engine.adapter import Adapter
from service.engine.bundle import Bundle, Manifest

RANKS = (4, 16)
FULL = 32  # these many come first and have the full rank, so that every slot is written whole
TEXT = "I am still waiting on my card?"

_PER_TENANT = 100


def adapter_of(manifest: Manifest, number: int) -> Adapter:
    """Return the population's adapter of that number."""
    low, high = RANKS
    rank = high if number < FULL else low + number % (high - low + 1)
    return random_adapter(manifest, number, rank, labels=2 + number % 76)


@dataclass(frozen=True, slots=True)
class Published:
    """A part of the population, and the bytes of its tensors at their own rank."""

    placed: list[Placed]
    tensor_bytes: int


def publish_part(bundle: Bundle, state: Path, provider: str, first: int, last: int) -> Published:
    """Publish the adapters `first` to `last - 1` into a state."""
    size = 0

    def named() -> Iterator[tuple[str, str, Adapter]]:
        nonlocal size
        for number in range(first, last):
            adapter = adapter_of(bundle.manifest, number)
            size += adapter.nbytes
            yield f"tenant-{number // _PER_TENANT:02d}", f"adapter-{number:04d}", adapter

    with tenantry(bundle.path, state, provider) as server:
        placed = publish_all(server.url, named(), bundle.manifest)
    return Published(placed, size)


def request_of(placed: Placed) -> bytes:
    """Return a lone request to an adapter."""
    return request_bytes(placed.path, predict_body([TEXT]))


def ask(connection: Connection, placed: Placed) -> None:
    """Ask an adapter; it must answer."""
    answer = connection.ask(request_of(placed))
    assert answer.status == 200, answer
