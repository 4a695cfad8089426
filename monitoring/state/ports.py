"""What the state needs of those who judge: what references become, and how watches are kept."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy.typing as npt

from monitoring.references.rows import ReferenceRows
from monitoring.rows import FloatArray, HalfArray
from monitoring.sketches.features import FeatureMap

Features = npt.NDArray[Any]  # [e, 1024] int32


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose rows a reference is made of; of a pooled one only the backbone is known."""

    source: Literal["holdout", "pooled"]
    tenant: str
    adapter: str
    version: int
    digest: str
    backbone: str
    made_us: int


class Measure(Protocol):
    """A reference in use: what rows are measured with."""

    @property
    def map(self) -> FeatureMap | None:
        """Return the map of embeddings; None: the reference has none."""
        ...

    @property
    def base_map(self) -> FeatureMap | None:
        """Return the map of the bare backbone's embeddings; None: the reference has none."""
        ...

    def watch(self) -> Any | None:
        """Return the state of a watch that begins; None: the reference cannot carry one."""
        ...

    def update(self, watch: Any, embeddings: HalfArray, run_lengths: FloatArray) -> list[int]:
        """Take rows into a watch, in place; return those at which it raised an alarm.

        `run_lengths` [n] are in how many such rows a false one is borne, at each row.
        """
        ...


class Maker(Protocol):
    """Makes references of rows. The same rows, origin and `key` give the same bytes."""

    @property
    def key(self) -> str:
        """Return a digest of the settings that references depend on; others are made anew."""
        ...

    def reference(self, rows: ReferenceRows, origin: Origin) -> bytes:
        """Return what detectors need of a reference; raise `ValueError` where nothing can be."""
        ...

    def measure(self, data: bytes) -> Measure:
        """Return a reference in use, of what `reference` gave."""
        ...

    def watch_to_bytes(self, watch: Any) -> bytes:
        """Return the state of a watch as bytes, exactly."""
        ...

    def watch_from_bytes(self, data: bytes) -> Any:
        """Return the state of a watch that `watch_to_bytes` wrote."""
        ...
