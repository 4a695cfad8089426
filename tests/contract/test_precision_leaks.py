"""In every precision an answer is the same alone and beside anyone.

Beside other neighbours in the same places it is the same to the last bit: no number of one text,
and no scale computed from one, reaches another. Alone the pass has another shape, adds up in
another order, and may round otherwise, within the precision's own limit.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from exporter.precision.answers import Asked
from exporter.precision.calibration import random_set
from exporter.precision.catalogue import PRECISIONS, Precision
from exporter.precision.emulation import EMULATED, EmulatedHalf
from exporter.precision.making import write_variant
from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Bundle
from service.engine.errors import ProviderUnavailable
from service.engine.packing import Plan, Shape
from service.engine.providers import PROVIDERS
from service.engine.runtime import OnnxRuntime, Runtime
from service.engine.tokens import Tokens
from tests.fakes.adapters import adapter_of
from tests.fakes.adversaries import loud, reader

SLOTS = 4
# In bf16 and fp16 what is as large as an upload may be overflows, and the pass is run again text by
# text; those below do not, so that the neighbours' numbers are really there.
MAGNITUDES = (1.0, 30.0)


def places(precision: Precision) -> Iterator[str]:
    """Yield the providers that run a precision here."""
    found = False
    for name, provider in PROVIDERS.items():
        if precision.compute not in provider.computes:
            continue
        try:
            provider.find()
        except ProviderUnavailable:
            continue
        found = True
        yield name
    if precision.compute == "fp16" and not found:
        yield EMULATED


CASES = [
    (f, p, where)
    for f in ("bert", "modernbert")
    for p in PRECISIONS
    for where in places(PRECISIONS[p])
]


@dataclass(frozen=True, slots=True)
class Case:
    precision: Precision
    bundle: Bundle
    asked: Asked

    def answer(self, texts: Sequence[Tokens], adapters: Sequence[Adapter]) -> FloatArray:
        """Return what the first text is answered, the others lying behind it in its row."""
        self.asked.seat(adapters)
        planned = Plan(Shape(1, 64), (tuple(range(len(texts))),))
        numbers = [0] + [1] * (len(texts) - 1)
        answered = self.asked.forward.run(planned, texts, numbers, self.asked.members)
        assert answered.reruns == 0, "a pass that breaks would hide a leak"
        row = answered.probabilities[0]
        assert row is not None
        return np.concatenate([row, answered.embeddings[0]])


def text(seed: int, length: int) -> Tokens:
    ids = np.random.default_rng(seed).integers(5, 200, length).tolist()
    return Tokens(ids, None, False, 0)


def opened(bundle: Bundle, name: str, where: str) -> Runtime:
    if where == EMULATED:
        return EmulatedHalf(bundle, name, SLOTS)
    return OnnxRuntime(bundle, where, SLOTS, threads=1, variant=name)


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(
    request: pytest.FixtureRequest,
    bundle_of: Callable[[str], Bundle],
    tmp_path_factory: pytest.TempPathFactory,
) -> Case:
    family, name, where = request.param
    made = variant_of(bundle_of(family), name, tmp_path_factory.mktemp("precision"))
    try:
        runtime = opened(made, name, where)
    except ProviderUnavailable as error:
        pytest.skip(str(error))
    return Case(PRECISIONS[name], made, Asked(made, runtime, []))


def variant_of(bundle: Bundle, name: str, folder: Path) -> Bundle:
    """Return a copy of the bundle that holds the precision, too."""
    path = folder / "bundle"
    shutil.copytree(bundle.path, path)
    copy = replace(bundle, path=path)
    texts = random_set([text(seed, 3 + seed % 30) for seed in range(64)])
    variant = write_variant(copy, PRECISIONS[name], texts)
    variants = {**bundle.manifest.variants, name: variant}
    return replace(copy, manifest=bundle.manifest.model_copy(update={"variants": variants}))


def company(case: Case) -> Iterator[tuple[list[Tokens], Adapter]]:
    """Yield neighbours in the same places: other texts, other adapters, huge ones."""
    manifest = case.bundle.manifest
    for seed in range(4):
        yield [text(100 + seed, 17), text(200 + seed, 17)], adapter_of(manifest, "b", seed=seed)
    for magnitude in MAGNITUDES:
        for make in (loud, reader):
            yield [text(1, 17), text(2, 17)], make(manifest, "b", magnitude)


def test_an_answer_does_not_move_by_one_bit_when_its_neighbours_change(case: Case) -> None:
    mine = adapter_of(case.bundle.manifest, "a", rank=4)
    seen = [case.answer([text(0, 20), *others], [mine, theirs]) for others, theirs in company(case)]
    assert len(seen) == 8
    assert all((bits == seen[0]).all() for bits in seen)


def test_an_answer_is_the_same_alone_and_beside_adversaries(case: Case) -> None:
    mine = adapter_of(case.bundle.manifest, "a", rank=4)
    alone = case.answer([text(0, 20)], [mine])
    labels = len(mine.labels)
    limit = case.precision.tolerance.max_neighbour_error
    for others, theirs in company(case):
        found = case.answer([text(0, 20), *others], [mine, theirs])
        assert np.abs(found[:labels] - alone[:labels]).max() <= limit


def shared_ranges(bundle: Bundle) -> None:
    """Let all tokens of a pass be rounded by one range, as `DynamicQuantizeLinear` has it."""
    file = bundle.model_path("int8-dynamic")
    model = onnx.load(str(file))
    for held in model.graph.initializer:
        if held.name == "int8.axis":
            held.CopyFrom(numpy_helper.from_array(np.array([0, 1, 2], np.int64), held.name))
    Path(f"{file}.data").unlink()  # onnx appends to what is there
    onnx.save(model, str(file), save_as_external_data=True, location=f"{file.name}.data")


def test_a_range_over_the_whole_pass_would_be_noticed(
    bundle_of: Callable[[str], Bundle], tmp_path: Path
) -> None:
    made = variant_of(bundle_of("bert"), "int8-dynamic", tmp_path)
    shared_ranges(made)
    runtime = opened(made, "int8-dynamic", "cpu")
    leaky = Case(PRECISIONS["int8-dynamic"], made, Asked(made, runtime, []))
    mine = adapter_of(made.manifest, "a", rank=4)
    seen = [leaky.answer([text(0, 20), *o], [mine, theirs]) for o, theirs in company(leaky)]
    assert not all((bits == seen[0]).all() for bits in seen)
