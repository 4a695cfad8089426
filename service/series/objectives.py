"""What counts as an answer in time."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Objectives:
    """Within how many seconds an answer is in time, by the class of its tenant."""

    default_s: float = 0.5
    by_class: Mapping[str, float] = field(default_factory=dict)

    def of(self, kind: str) -> float:
        """Return the objective of a class."""
        return self.by_class.get(kind, self.default_s)
