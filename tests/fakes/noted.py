"""Tracing whose notes stay here, without spans or a collector."""

from collections.abc import Mapping

from service.tracing.notes import Note, RequestNote
from service.tracing.sampling import Sampling
from service.tracing.tracing import Tracing


class NoteSink:
    """Keeps notes."""

    def __init__(self) -> None:
        self.notes: list[Note] = []

    def offer(self, note: Note) -> None:
        self.notes.append(note)

    def close(self, timeout_s: float) -> None:
        del timeout_s

    @property
    def requests(self) -> list[RequestNote]:
        return [note for note in self.notes if isinstance(note, RequestNote)]


def noted_tracing(
    ratio: float = 1.0, tenants: Mapping[str, float] | None = None, *, follow: bool = False
) -> tuple[Tracing, NoteSink]:
    """Return tracing and where its notes go."""
    sink = NoteSink()
    return Tracing(Sampling(ratio, tenants, follow=follow), sink), sink
