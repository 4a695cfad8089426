"""What the API needs of the parts behind it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from service.api.sent_images import SentImage
from service.batching.answers import Answer, BatcherStatus
from service.batching.jobs import Job
from service.engine.adapter import Adapter, FloatArray
from service.engine.images.preprocess import Encoded
from service.engine.pixels import Pixels, Whole
from service.engine.tokens import Input, Text, Tokens
from service.engine.windows import Windows
from service.events.ids import PredictionId, Signer
from service.registry.records import Route

_T = TypeVar("_T")


class Batcher(Protocol):
    """Answers jobs, many in one forward pass; `service.batching.batcher` has the real one."""

    async def answer(self, job: Job) -> Answer:
        """Answer a job; where the awaiting task is cancelled, its texts are dropped."""
        ...

    async def probe(
        self, adapter: Adapter, texts: Sequence[Whole], *, tenant: str, weight: float
    ) -> None:
        """Run an adapter alone; raise `InvalidAdapter` where its outputs cannot be served."""
        ...

    async def embed(
        self,
        texts: Sequence[Whole],
        *,
        tenant: str,
        weight: float,
        deadline_s: float | None = None,
    ) -> FloatArray:
        """Return the embeddings [texts, hidden] that the bare backbone gives."""
        ...

    def status(self) -> BatcherStatus:
        """Return what it is doing now."""
        ...


class Tokeniser(Protocol):
    """Turns texts into tokens; safe to call from several threads."""

    def encode(self, texts: Sequence[Input]) -> list[Tokens]:
        """Return the tokens of each text, in order."""
        ...

    def encode_windows(
        self, texts: Sequence[Input], wanted: Sequence[Windows | None]
    ) -> list[list[Text]]:
        """Return for each way of cutting long texts the tokens of each text, in order."""
        ...


class Preprocessor(Protocol):
    """Turns pictures into what the graph takes; safe to call from several threads."""

    def encode(self, images: Sequence[Encoded]) -> list[Pixels]:
        """Return the pixels of each image, in order.

        Raises `InvalidImage`, `UnsupportedImage` or `ImageTooLarge`.
        """
        ...


class Preparing(Protocol):
    """Makes of a request's inputs what a pass takes: `tokenising`, or `image_reading`."""

    @property
    def takes_images(self) -> bool:
        """Return whether the backbone reads images, and not texts."""
        ...

    def room(self, tenant: str, count: int) -> AbstractContextManager[None]:
        """Hold room for so many inputs around the block, or refuse."""
        ...

    async def encode(
        self,
        tenant: str,
        inputs: Sequence[Input | SentImage],
        wanted: Sequence[Windows | None],
        body_bytes: int,
        deadline_s: float,
        measure: Callable[[Sequence[Any]], _T],
    ) -> tuple[Sequence[Sequence[Whole]], _T]:
        """Return what a pass takes of each input, in order, and what `measure` finds.

        It does so for each of the `wanted` ways to cut long texts; None truncates, and images have
        no windows. `measure` gets texts as they came, or images as they were decoded.
        """
        ...


class Router(Protocol):
    """Finds the version that answers, in memory; the registry is one."""

    def route(
        self, tenant: str, adapter: str, version: int | None, key: str | None = None
    ) -> Route:
        """Return the route to a version, or where the rollout sends it if `version` is None.

        Requests of one `key` go one way, for as long as the rollout stays.

        Raises `UnknownTenant`, `UnknownAdapter`, `UnknownVersion` and `NoLiveVersion`.
        """
        ...


class Signing(Protocol):
    """Holds the signing keys of prediction ids, which rotation changes."""

    @property
    def signer(self) -> Signer:
        """Return the signer that holds now."""
        ...

    def read(self, text: str) -> PredictionId:
        """Return what an id says; raise `InvalidPredictionId` for one that was not issued here."""
        ...
