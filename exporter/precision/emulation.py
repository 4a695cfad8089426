"""fp16 where no GPU is at hand: ONNX Runtime on the CPU, which rounds each result to fp16.

It computes each operator in fp32 between casts, so what is rounded or overflows is what a GPU
would round, and its speed says nothing. It proves a variant on a machine that only exports; it
serves nobody, and no choice of a provider looks at it.
"""

import numpy as np
import onnxruntime as ort

from service.engine.adapter import Adapter
from service.engine.bank import HostBank, input_names
from service.engine.bundle import Bundle
from service.engine.execution.cpu import CPU
from service.engine.feed import Feed, Lease
from service.engine.image_feed import ImageFeed
from service.engine.inputs import graph_inputs
from service.engine.runtime import Output
from service.engine.sessions import OUTPUTS

EMULATED = "emulated"


class EmulatedHalf:
    """A runtime of an fp16 graph on the CPU."""

    def __init__(self, bundle: Bundle, variant: str, slots: int) -> None:
        self.provider, self.precision, self.slots = EMULATED, "fp16", slots
        self.grid = CPU.shaping.grid(bundle)
        self.layout = CPU.shaping.layout
        self._bank = HostBank(bundle.manifest, slots)
        self._banks = input_names(bundle.manifest.targets)
        self._inputs = graph_inputs(bundle.manifest)
        options = ort.SessionOptions()
        options.log_severity_level = 3
        self._session = ort.InferenceSession(
            str(bundle.model_path(variant)), options, providers=["CPUExecutionProvider"]
        )

    def write(self, slot: int, adapter: Adapter) -> Lease:
        """Write the adapter's weights into the slot; return where they lie."""
        return self._bank.write(slot, adapter)

    def warm(self, done: object) -> None:
        """Do nothing: no request waits for it."""

    def run(self, feed: Feed | ImageFeed) -> Output:
        """Run one forward pass."""
        arrays = [array.astype(np.float16) for array in self._bank.arrays]
        given = {**feed.inputs(self._inputs), **dict(zip(self._banks, arrays, strict=True))}
        return Output(*self._session.run(list(OUTPUTS), given))
