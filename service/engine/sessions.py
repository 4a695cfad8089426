"""Sessions: the bundle's graph, opened by one of the libraries that can run it.

A session is told once where the banks lie, and from then on reads them there: nothing is copied
or converted in a pass but the pass's own inputs. `service/engine/device_session.py` has the one
for a GPU.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.engine.adapter import FloatArray
from service.engine.bank import HostBank
from service.engine.feed import GraphInputs

OUTPUTS = ("output.pooled", "output.embedding")


class Session(Protocol):
    """One opened graph; all calls come from one thread."""

    def run(self, inputs: GraphInputs) -> tuple[FloatArray, FloatArray]:
        """Run a pass; return (pooled [inputs, pooled], embedding [inputs, hidden]), float32."""
        ...


class OrtSession:
    """ONNX Runtime on a processor."""

    def __init__(self, session: ort.InferenceSession, banks: Mapping[str, ort.OrtValue]) -> None:
        self._session = session
        self._banks = banks  # the binding does not keep their memory alive
        self._binding = session.io_binding()
        for name, value in banks.items():
            self._binding.bind_ortvalue_input(name, value)

    def run(self, inputs: GraphInputs) -> tuple[FloatArray, FloatArray]:
        """Run a pass; return (pooled [inputs, pooled], embedding [inputs, hidden]), float32."""
        for name, array in inputs.items():
            self._binding.bind_cpu_input(name, array)
        for name in OUTPUTS:
            self._binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(self._binding)
        pooled, embedding = self._binding.copy_outputs_to_cpu()
        return pooled, embedding


class OpenVinoSession:
    """OpenVINO on the CPU.

    It computes in bf16 where the processor does, and would convert the whole of a float32 bank in
    every pass; so the bank is kept in the type that it computes in, and the graph's bank inputs
    are declared in it.
    """

    def __init__(self, model: Path, threads: int, banks: HostBank, names: list[str]) -> None:
        import openvino
        from openvino.preprocess import PrePostProcessor

        core = openvino.Core()
        graph = core.read_model(str(model))
        kind = openvino.Type.bf16 if banks.half else openvino.Type.f32
        prepared = PrePostProcessor(graph)
        for name in names:
            prepared.input(name).tensor().set_element_type(kind)
        hints = {
            "INFERENCE_PRECISION_HINT": "bf16" if banks.half else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        self._tensor: Any = openvino.Tensor
        self._request = core.compile_model(prepared.build(), "CPU", hints).create_infer_request()
        self._banks = banks  # its memory is the tensors'
        for name, array in zip(names, banks.arrays, strict=True):
            tensor = openvino.Tensor(array, openvino.Shape(list(array.shape)), kind)
            self._request.set_tensor(name, tensor)

    def run(self, inputs: GraphInputs) -> tuple[FloatArray, FloatArray]:
        """Run a pass; return (pooled [inputs, pooled], embedding [inputs, hidden]), float32."""
        for name, array in inputs.items():
            self._request.set_tensor(name, self._tensor(array, shared_memory=True))
        self._request.infer()
        pooled, embedding = (self._copied(name) for name in OUTPUTS)
        return pooled, embedding

    def _copied(self, name: str) -> NDArray[np.float32]:
        found: NDArray[np.float32] = np.array(self._request.get_tensor(name).data, np.float32)
        return found
