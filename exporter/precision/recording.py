"""What reaches the linear layers of a graph while a set is answered.

The graph runs on the CPU in fp32 with the layers' inputs as further outputs, driven by the same
planner, feed and bank that will serve it, adapters switched in.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from exporter.precision.adapters import random_adapters
from exporter.precision.answers import Asked
from exporter.precision.calibration import CalibrationSet
from exporter.precision.linears import Graph
from exporter.precision.static import Bounds, Seen
from service.engine.adapter import Adapter, FloatArray
from service.engine.bank import HostBank, input_names
from service.engine.bundle import Bundle
from service.engine.feed import Feed, Lease
from service.engine.image_feed import ImageFeed
from service.engine.runtime import OnnxRuntime, Output
from service.engine.sessions import OUTPUTS

INPUTS_MAX = 1024  # of the set; more change the ranges little
_ROWS_MAX = 2048  # tokens kept of each layer, drawn at random
_FILE = "recording.onnx"
_SEED = 20260101


class _Tally:
    """Bounds and a random sample of the rows that reached one layer."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(_SEED)
        self._bounds: list[Bounds] = []  # of the passes in turn, one of two
        self._rows: FloatArray | None = None
        self._passes = 0

    def add(self, rows: FloatArray) -> None:
        half = self._passes % 2
        self._passes += 1
        found = Bounds(rows.min(axis=0), rows.max(axis=0))
        if len(self._bounds) == half:
            self._bounds.append(found)
        else:
            self._bounds[half] = _around(self._bounds[half], found)
        if half == 0:
            return
        both = rows if self._rows is None else np.concatenate([self._rows, rows])
        if len(both) > _ROWS_MAX:
            both = both[self._rng.choice(len(both), _ROWS_MAX, replace=False)]
        self._rows = both

    def seen(self) -> Seen:
        assert self._rows is not None, "a set has inputs for two passes"
        return Seen(_around(*self._bounds), self._bounds[0], self._rows)


def _around(first: Bounds, second: Bounds) -> Bounds:
    low, high = np.minimum(first.low, second.low), np.maximum(first.high, second.high)
    return Bounds(low, high)


class _Recorder:
    """A runtime that keeps what reaches the linear layers."""

    def __init__(self, bundle: Bundle, model: Path, names: Sequence[str], slots: int) -> None:
        like = OnnxRuntime(bundle, "cpu", 1)
        self.provider, self.precision = like.provider, like.precision
        self.grid, self.layout, self.slots = like.grid, like.layout, slots
        self.tallies = {name: _Tally() for name in names}
        self._names = list(names)
        self._bank = HostBank(bundle.manifest, slots)
        self._banks = input_names(bundle.manifest.targets)
        self._session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        given = {each.name for each in self._session.get_inputs()}
        self._inputs = frozenset(given - set(self._banks))

    def write(self, slot: int, adapter: Adapter) -> Lease:
        return self._bank.write(slot, adapter)

    def warm(self, done: Callable[[int, int], None]) -> None:
        done(1, 1)

    def run(self, feed: Feed | ImageFeed) -> Output:
        banks = dict(zip(self._banks, self._bank.arrays, strict=True))
        given = {**feed.inputs(self._inputs), **banks}
        pooled, embedding, *found = self._session.run([*OUTPUTS, *self._names], given)
        real = (feed.texts >= 0).reshape(-1) if isinstance(feed, Feed) else None
        for name, value in zip(self._names, found, strict=True):
            rows = value.reshape(-1, value.shape[-1])
            if real is not None and len(real) == len(rows):
                rows = rows[real]  # padding is nobody's
            self.tallies[name].add(rows)
        return Output(pooled, embedding)


def record(bundle: Bundle, graph: Graph, data: CalibrationSet, folder: Path) -> dict[str, Seen]:
    """Return what reached the linear layers, by the name of the value.

    `folder` takes a file of the size of the graph for the while. The adapters are other ones than
    those that a variant is measured with.
    """
    names = sorted({linear.input for linear in graph.linears()})
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    file = folder / _FILE
    adapters = random_adapters(bundle.manifest, "record")
    try:
        onnx.save(model, str(file), save_as_external_data=True, location=f"{_FILE}.data")
        recorder = _Recorder(bundle, file, names, len(adapters))
        asked = Asked(bundle, recorder, adapters)
        inputs = data.inputs[:INPUTS_MAX]
        middle = len(inputs) // 2
        for part in (inputs[:middle], inputs[middle:]):  # two passes at the least
            asked.answer(part, [i % len(adapters) for i in range(len(part))])
    finally:
        file.unlink(missing_ok=True)
        (folder / f"{_FILE}.data").unlink(missing_ok=True)
    return {name: tally.seen() for name, tally in recorder.tallies.items()}
