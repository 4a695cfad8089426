"""A session on a GPU: everything of a pass at fixed addresses, one copy in, one out, one wait.

For each combination of input shapes, of which a static layout has few, a `_Place` holds one piece
of page-locked host memory and one of device memory for all inputs, and the same for the outputs.
Since nothing moves from pass to pass, ONNX Runtime can record a pass as a CUDA graph and replay it.
"""

import ctypes
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.engine.adapter import FloatArray
from service.engine.device import Device
from service.engine.feed import GraphInputs
from service.engine.sessions import OUTPUTS

_ALIGNED = 256  # bytes; what cudaMalloc promises of an address
_PLACES_MAX = 256
_UNRECORDED = "-1"  # the graph id that ONNX Runtime neither records nor replays
_GRAPH_ID = "gpu_graph_id"

_Key = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """Where one array lies in a piece of memory."""

    name: str
    start: int
    kind: np.dtype[Any]
    shape: tuple[int, ...]


class _Piece:
    """The same arrays side by side in host memory and in device memory."""

    def __init__(self, device: Device, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._device = device
        self.parts: list[_Part] = []
        self.size = 0
        for name, array in arrays.items():
            self.parts.append(_Part(name, self.size, array.dtype, array.shape))
            self.size += -(-array.nbytes // _ALIGNED) * _ALIGNED
        self.host = device.pinned(self.size)
        whole = np.ctypeslib.as_array((ctypes.c_uint8 * self.size).from_address(self.host))
        self.views = {p.name: _view(whole, p) for p in self.parts}
        self._on_device = ort.OrtValue.ortvalue_from_shape_and_type(
            [self.size], np.uint8, device.name, 0
        )
        self.address: int = self._on_device.data_ptr()

    def release(self) -> None:
        self._device.release(self.host)


def _view(whole: NDArray[np.uint8], part: _Part) -> NDArray[Any]:
    count = int(np.prod(part.shape)) * part.kind.itemsize
    return whole[part.start : part.start + count].view(part.kind).reshape(part.shape)


class _Place:
    """A binding whose inputs and outputs have fixed addresses."""

    def __init__(self, inputs: _Piece, outputs: _Piece, binding: ort.IOBinding, graph: str) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.binding = binding
        self.options = run_options(graph)


def run_options(graph: str) -> ort.RunOptions:
    """Return the options of a pass: nobody waits at its end, and its graph has this id."""
    options = ort.RunOptions()
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")
    options.add_run_config_entry(_GRAPH_ID, graph)
    return options


class DeviceSession:
    """ONNX Runtime on a GPU, whose banks lie in device memory."""

    def __init__(
        self,
        session: ort.InferenceSession,
        banks: Mapping[str, ort.OrtValue],
        device: Device,
        *,
        graphs: bool = False,
    ) -> None:
        self._session = session
        self._banks = banks  # the bindings do not keep their memory alive
        self._device = device
        self._graphs = graphs
        self._places: OrderedDict[_Key, _Place] = OrderedDict()
        self._made = 0

    def run(self, inputs: GraphInputs) -> tuple[FloatArray, FloatArray]:
        """Run a pass; return (pooled [inputs, pooled], embedding [inputs, hidden]), float32."""
        key = tuple((name, array.shape) for name, array in inputs.items())
        place = self._places.get(key) or self._make(key, inputs)
        self._places.move_to_end(key)
        for name, array in inputs.items():
            place.inputs.views[name][...] = array
        self._copy_in(place.inputs)
        self._session.run_with_iobinding(place.binding, place.options)
        outputs = place.outputs
        self._device.copy_out(outputs.host, outputs.address, outputs.size)
        self._device.wait()
        pooled, embedding = (np.array(outputs.views[name], np.float32) for name in OUTPUTS)
        return pooled, embedding

    def _make(self, key: _Key, inputs: GraphInputs) -> _Place:
        """Return a place for inputs of these shapes, learning what the outputs are like."""
        while len(self._places) >= _PLACES_MAX:
            self._drop(self._places.popitem(last=False)[1])
        piece = _Piece(self._device, inputs)
        for name, array in inputs.items():
            piece.views[name][...] = array
        self._copy_in(piece)
        binding = self._session.io_binding()
        for name, value in self._banks.items():
            binding.bind_ortvalue_input(name, value)
        for part in piece.parts:
            at = piece.address + part.start
            binding.bind_input(part.name, self._device.name, 0, part.kind.type, part.shape, at)
        for name in OUTPUTS:
            binding.bind_output(name, self._device.name, 0)
        self._session.run_with_iobinding(binding, run_options(_UNRECORDED))
        self._device.wait()
        found = zip(OUTPUTS, binding.copy_outputs_to_cpu(), strict=True)
        outputs = _Piece(self._device, dict(found))
        for part in outputs.parts:
            at = outputs.address + part.start
            binding.bind_output(part.name, self._device.name, 0, part.kind.type, part.shape, at)
        self._made += 1  # never used twice: a recorded graph stays with its addresses
        place = _Place(piece, outputs, binding, str(self._made) if self._graphs else _UNRECORDED)
        self._places[key] = place
        return place

    def _copy_in(self, piece: _Piece) -> None:
        self._device.copy_in(piece.address, piece.host, piece.size)

    def _drop(self, place: _Place) -> None:
        self._device.wait()
        if self._graphs:
            self._session.release_captured_graph(int(place.options.get_run_config_entry(_GRAPH_ID)))
        place.inputs.release()
        place.outputs.release()
