"""What an execution provider is to the rest of the engine: found, opened, and fed its own way."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.engine.bank import Bank
from service.engine.bundle import Bundle, Compute, Variant
from service.engine.feed import Layout
from service.engine.packing import Grid, make_grid, make_image_grid
from service.engine.sessions import Session


@dataclass(frozen=True, slots=True)
class Shaping:
    """Which shapes the passes of a provider have."""

    layout: Layout
    row_counts: tuple[int, ...]  # of rows of 128 tokens
    token_budget: int  # of one pass

    def grid(self, bundle: Bundle) -> Grid:
        """Return the shapes for this bundle's texts or images."""
        manifest = bundle.manifest
        if manifest.image is not None:
            return make_image_grid(manifest.image.tokens, self.token_budget)
        return make_grid(manifest.max_length, self.token_budget, self.row_counts)


@dataclass(frozen=True, slots=True)
class DeviceOptions:
    """What an operator may set of the providers that run on a GPU."""

    memory_bytes_max: int | None = None  # of a session, the bank apart; None: all there is
    cuda_graphs: bool = False  # passes are recorded once, and then replayed
    engines: Path | None = None  # where TensorRT's engines are kept; None: nowhere


AS_IT_COMES = DeviceOptions()


@dataclass(frozen=True, slots=True)
class Opening:
    """What a provider opens: one variant of a bundle's graph, and a bank of so many slots."""

    bundle: Bundle
    name: str  # of the variant
    shaping: Shaping
    slots: int
    threads: int  # of one pass
    device: DeviceOptions = AS_IT_COMES

    @property
    def variant(self) -> Variant:
        """Return the variant."""
        return self.bundle.manifest.variants[self.name]

    @property
    def model(self) -> Path:
        """Return the path of the graph."""
        return self.bundle.model_path(self.name)


@dataclass(frozen=True, slots=True)
class Opened:
    """A graph that can run, and its bank."""

    session: Session
    bank: Bank
    precision: str  # what it computes in


@dataclass(frozen=True, slots=True)
class Provider:
    """How one execution provider is opened and fed.

    `computes` are the types that it multiplies in by itself, without falling back to another: a
    variant of another one does not run there.
    """

    name: str
    computes: frozenset[Compute]
    shaping: Shaping
    find: Callable[[], str]  # describes what was found; raises ProviderUnavailable
    open: Callable[[Opening], Opened]
