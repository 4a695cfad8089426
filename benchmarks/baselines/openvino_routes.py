"""OpenVINO driven by hand: settings and shapes that the service's own session does not have."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from openvino.preprocess import PrePostProcessor

from service.engine.adapter import Adapter
from service.engine.bank import HostBank, input_names
from service.engine.bundle import Bundle
from service.engine.execution.openvino import OPENVINO
from service.engine.feed import Feed, Lease
from service.engine.image_feed import ImageFeed
from service.engine.inputs import graph_inputs
from service.engine.runtime import Output
from service.engine.sessions import OUTPUTS

Shapes = Mapping[str, Sequence[int]]


class OpenVinoRoute:
    """A runtime of any graph that OpenVINO reads, with any settings."""

    def __init__(
        self,
        bundle: Bundle,
        model: Path,
        slots: int,
        *,
        half: bool = True,
        settings: Mapping[str, Any] | None = None,
        shapes: Shapes | None = None,
    ) -> None:
        """Open the graph.

        `half`: what is float runs in bf16. `shapes` of the inputs, where it is to take these alone.
        """
        self.provider, self.precision, self.slots = "openvino", "as the route", slots
        self.grid = OPENVINO.shaping.grid(bundle)
        self.layout = OPENVINO.shaping.layout
        self._bank = HostBank(bundle.manifest, slots, half=half)
        self._names = graph_inputs(bundle.manifest)
        banks = dict(zip(input_names(bundle.manifest.targets), self._bank.arrays, strict=True))
        core = openvino.Core()
        kind = openvino.Type.bf16 if half else openvino.Type.f32
        prepared = PrePostProcessor(core.read_model(str(model)))
        for name in banks:
            prepared.input(name).tensor().set_element_type(kind)
        graph = prepared.build()
        if shapes is not None:
            fixed = {**shapes, **{name: array.shape for name, array in banks.items()}}
            graph.reshape({name: openvino.PartialShape(list(s)) for name, s in fixed.items()})
        hints = {
            "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
            "INFERENCE_NUM_THREADS": 0,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
            **(settings or {}),
        }
        self._request = core.compile_model(graph, "CPU", hints).create_infer_request()
        for name, array in banks.items():
            tensor = openvino.Tensor(array, openvino.Shape(list(array.shape)), kind)
            self._request.set_tensor(name, tensor)

    def write(self, slot: int, adapter: Adapter) -> Lease:
        """Write the adapter's weights into the slot; return where they lie."""
        return self._bank.write(slot, adapter)

    def warm(self, done: Callable[[int, int], None]) -> None:
        """Do nothing: what is measured is run once before."""

    def run(self, feed: Feed | ImageFeed) -> Output:
        """Run one forward pass."""
        for name, array in feed.inputs(self._names).items():
            self._request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
        self._request.infer()
        pooled, embedding = (
            np.array(self._request.get_tensor(name).data, np.float32) for name in OUTPUTS
        )
        return Output(pooled, embedding)
