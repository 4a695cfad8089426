"""What the API needs of the parts behind it."""

from collections.abc import Sequence
from typing import Protocol

from service.batching.answers import Answer, BatcherStatus
from service.batching.jobs import Job
from service.engine.adapter import Adapter, FloatArray
from service.engine.tokens import Input, Tokens
from service.events.ids import PredictionId, Signer
from service.registry.records import Route


class Batcher(Protocol):
    """Answers jobs, many in one forward pass; `service.batching.batcher` has the real one."""

    async def answer(self, job: Job) -> Answer:
        """Answer a job; where the awaiting task is cancelled, its texts are dropped."""
        ...

    async def probe(
        self, adapter: Adapter, texts: Sequence[Tokens], *, tenant: str, weight: float
    ) -> None:
        """Run an adapter alone; raise `InvalidAdapter` where its outputs cannot be served."""
        ...

    async def embed(
        self,
        texts: Sequence[Tokens],
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
