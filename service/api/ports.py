"""What the API needs of the parts behind it."""

from collections.abc import Sequence
from typing import Protocol

from service.batching.answers import Answer, BatcherStatus
from service.batching.queue import Job
from service.engine.adapter import Adapter
from service.engine.tokens import Input, Tokens
from service.registry.records import Route


class Batcher(Protocol):
    """Answers jobs, many in one forward pass; `service.batching.batcher` has the real one."""

    async def answer(self, job: Job) -> Answer:
        """Answer a job; where the awaiting task is cancelled, its texts are dropped."""
        ...

    async def probe(self, adapter: Adapter, texts: Sequence[Tokens]) -> None:
        """Run an adapter alone; raise `InvalidAdapter` where its outputs cannot be served."""
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

    def route(self, tenant: str, adapter: str, version: int | None) -> Route:
        """Return the route to a version, or to the live one where `version` is None.

        Raises `UnknownTenant`, `UnknownAdapter`, `UnknownVersion` and `NoLiveVersion`.
        """
        ...
