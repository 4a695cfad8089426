"""A finding of the static check: where in a graph, and what TensorRT would make of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that TensorRT does not take, or takes in another way than was meant."""

    variant: str
    where: str  # a node, an input or a tensor
    what: str
    blocks: bool = True  # False: an engine is built all the same

    def __str__(self) -> str:
        return f"{self.variant}: {self.where}: {self.what}"
