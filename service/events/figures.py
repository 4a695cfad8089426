"""What figures of texts and of images have in common: columns with one value an input."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Figures:
    """Columns of figures, in the order of the inputs; each of them is a field of a subclass."""

    def rows(self, kept: Sequence[int]) -> Self:
        """Return the figures of some of the inputs."""
        changed: dict[str, Any] = {
            name: [column[row] for row in kept] for name, column in self._columns().items()
        }
        return replace(self, **changed)

    def are_of(self, count: int) -> bool:
        """Return whether every column has so many values."""
        return all(len(column) == count for column in self._columns().values())

    def _columns(self) -> dict[str, Sequence[Any]]:
        return {field.name: getattr(self, field.name) for field in fields(self)}
