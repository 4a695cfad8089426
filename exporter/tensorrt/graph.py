"""A graph as the check reads it: who makes a tensor, of which type and rank, and its constants."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import onnx
from onnx import numpy_helper

_INLINE_BYTES = 1 << 20  # larger constants are weights, whose values no rule asks for


@dataclass(slots=True)
class Scope:
    """One graph, or the body of an If or a Loop, which sees what surrounds it."""

    graph: onnx.GraphProto
    outer: "Scope | None" = None
    path: str = ""  # of the node that holds it
    makers: dict[str, onnx.NodeProto] = field(default_factory=dict)
    values: dict[str, onnx.TypeProto] = field(default_factory=dict)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def __post_init__(self) -> None:
        graph = self.graph
        self.makers = {name: node for node in graph.node for name in node.output if name}
        described = (*graph.input, *graph.value_info, *graph.output)
        self.values = {each.name: each.type for each in described}
        self.constants = {each.name: each for each in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                tensor = next((a.t for a in node.attribute if a.name == "value"), None)
                if tensor is not None:
                    self.constants[node.output[0]] = tensor

    def type_of(self, name: str) -> str | None:
        """Return the type of a tensor's elements; None where nothing tells."""
        constant = self.constants.get(name)
        if constant is not None:
            return str(onnx.TensorProto.DataType.Name(constant.data_type))
        found = self.values.get(name)
        if found is not None and found.tensor_type.elem_type:
            return str(onnx.TensorProto.DataType.Name(found.tensor_type.elem_type))
        return None if self.outer is None else self.outer.type_of(name)

    def rank_of(self, name: str) -> int | None:
        """Return how many dimensions a tensor has; None where nothing tells."""
        constant = self.constants.get(name)
        if constant is not None:
            return len(constant.dims)
        found = self.values.get(name)
        if found is not None and found.tensor_type.HasField("shape"):
            return len(found.tensor_type.shape.dim)
        return None if self.outer is None else self.outer.rank_of(name)

    def constant(self, name: str) -> onnx.TensorProto | None:
        """Return the constant of that name, here or around."""
        found = self.constants.get(name)
        return found if found is not None or self.outer is None else self.outer.constant(name)

    def maker(self, name: str) -> tuple["Scope", onnx.NodeProto] | None:
        """Return the node that makes a tensor, and where it stands; None for an input."""
        if name in self.makers:
            return self, self.makers[name]
        return None if self.outer is None else self.outer.maker(name)


def numbers(tensor: onnx.TensorProto) -> list[float] | None:
    """Return the values of a small constant that lies in the file itself; None of another."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return None
    found = numpy_helper.to_array(tensor)
    return None if found.nbytes > _INLINE_BYTES else [float(x) for x in found.reshape(-1)]


def attributes(node: onnx.NodeProto) -> Mapping[str, object]:
    """Return a node's attributes by name."""
    return {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}


def bodies(node: onnx.NodeProto) -> Iterator[tuple[str, onnx.GraphProto]]:
    """Yield the graphs that a node holds, with the attributes that hold them."""
    for each in node.attribute:
        if each.type == onnx.AttributeProto.GRAPH:
            yield each.name, each.g
        elif each.type == onnx.AttributeProto.GRAPHS:
            for number, graph in enumerate(each.graphs):
                yield f"{each.name}[{number}]", graph


def place(node: onnx.NodeProto, scope: Scope) -> str:
    """Return how a node is called in a finding."""
    name = node.name or (node.output[0] if node.output else "")
    return f"{scope.path}{name} ({node.op_type})"
