"""The encoder's linear layers in a traced graph.

A linear layer is a product with a constant matrix; LoRA's products are not, nor are attention's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, numpy_helper

from service.engine.adapter import FloatArray


@dataclass(frozen=True, slots=True)
class Linear:
    """One product with a constant matrix."""

    node: NodeProto
    input: str  # [..., in]
    weight: FloatArray  # [in, out]


class Graph:
    """A traced graph with its weights, and edits that keep it in order."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self._constants = {each.name: each for each in model.graph.initializer}

    @property
    def nodes(self) -> Sequence[NodeProto]:
        """Return the nodes in order of execution."""
        return self.model.graph.node

    def constant(self, name: str) -> NDArray[np.generic] | None:
        """Return a constant of the graph, None where the name is none."""
        held = self._constants.get(name)
        return None if held is None else numpy_helper.to_array(held)

    def add_constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Add a constant; return its name."""
        held = numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
        self._constants[name] = held
        self.model.graph.initializer.append(held)
        return name

    def insert_before(self, node: NodeProto, made: Sequence[NodeProto]) -> None:
        """Insert nodes before one of the graph's."""
        at = next(i for i, each in enumerate(self.nodes) if each is node)
        for offset, each in enumerate(made):
            self.model.graph.node.insert(at + offset, each)

    def insert_after(self, node: NodeProto, made: NodeProto) -> None:
        """Insert a node after one of the graph's."""
        at = next(i for i, each in enumerate(self.nodes) if each is node)
        self.model.graph.node.insert(at + 1, made)

    def remove(self, node: NodeProto) -> None:
        """Remove a node of the graph."""
        at = next(i for i, each in enumerate(self.nodes) if each is node)
        del self.model.graph.node[at]

    def linears(self) -> list[Linear]:
        """Return the linear layers in order of execution."""
        found = []
        for node in self.nodes:
            if node.op_type != "MatMul":
                continue
            held = self._constants.get(node.input[1])
            if held is not None and len(held.dims) == 2:
                weight = numpy_helper.to_array(held).astype(np.float32)
                found.append(Linear(node, node.input[0], weight))
        return found

    def consumers(self, name: str) -> list[NodeProto]:
        """Return the nodes that take a value."""
        return [node for node in self.nodes if name in node.input]

    def drop_unused(self) -> None:
        """Remove the constants that no node takes any more."""
        used = {name for node in self.nodes for name in node.input}
        kept = [each for each in self.model.graph.initializer if each.name in used]
        del self.model.graph.initializer[:]
        self.model.graph.initializer.extend(kept)
        self._constants = {each.name: each for each in self.model.graph.initializer}


def bias_of(graph: Graph, linear: Linear) -> tuple[NodeProto, FloatArray] | None:
    """Return the addition of the layer's bias and the bias [out]; None where it has none."""
    after = graph.consumers(linear.node.output[0])
    if len(after) != 1 or after[0].op_type != "Add":
        return None
    other = next((name for name in after[0].input if name != linear.node.output[0]), "")
    value = graph.constant(other)
    if value is None or value.shape != (linear.weight.shape[1],):
        return None
    return after[0], value.astype(np.float32)
