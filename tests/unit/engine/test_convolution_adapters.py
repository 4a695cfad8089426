"""LoRA on convolutions: four dimensions in the file, two in the bank."""

from typing import Any

import numpy as np
import pytest

from service.engine.adapter import FloatArray, examine
from service.engine.bundle import Manifest, Target
from service.engine.findings import Findings
from tests.fakes.manifests import manifest_of
from tests.fakes.packages import PREFIX, config_of, labels_of, tensors_of

NAME = "encoder.stages.0.layers.0.layer.0.convolution"
KEY = f"{PREFIX}bert.{NAME}"
CHANNELS, OUT, RANK = 5, 6, 4


def manifest(kernel: tuple[int, int]) -> Manifest:
    size = CHANNELS * kernel[0] * kernel[1]
    target = Target(name=NAME, in_features=size, out_features=OUT, kernel=kernel)
    return manifest_of("bert").model_copy(update={"targets": (target,)})


def tensors(of: Manifest, a: tuple[int, ...], b: tuple[int, ...]) -> dict[str, FloatArray]:
    random = np.random.default_rng(0)
    found = tensors_of(of)
    found[f"{KEY}.lora_A.weight"] = random.standard_normal(a, np.float32)
    found[f"{KEY}.lora_B.weight"] = random.standard_normal(b, np.float32)
    return found


def read(of: Manifest, given: dict[str, FloatArray], **config: Any) -> tuple[Any, Findings]:
    findings = Findings()
    document = config_of(of, rank=RANK, **config)
    return examine(document, given, labels_of(), of, findings), findings


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (1, 7), (2, 2)])
def test_a_is_flattened_and_b_scaled(kernel: tuple[int, int]) -> None:
    of = manifest(kernel)
    given = tensors(of, (RANK, CHANNELS, *kernel), (OUT, RANK, 1, 1))
    weights, findings = read(of, given, lora_alpha=12)
    findings.settle()
    a, b = weights.deltas[NAME]
    raw_a, raw_b = given[f"{KEY}.lora_A.weight"], given[f"{KEY}.lora_B.weight"]
    assert a.flags.c_contiguous
    assert b.flags.c_contiguous
    for row in range(RANK):
        assert np.array_equal(a[row], raw_a[row].reshape(-1))
        assert np.allclose(b[row], 3.0 * raw_b[:, row, 0, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("a", "b", "where", "needed"),
    [
        ((RANK, 45), (OUT, RANK, 1, 1), "lora_A", "[4, 45], needed is [r, 5, 3, 3]"),
        ((RANK, 9, 5, 1), (OUT, RANK, 1, 1), "lora_A", "needed is [r, 5, 3, 3]"),
        ((RANK, 5, 3, 3), (OUT, RANK), "lora_B", "[6, 4], needed is [6, r, 1, 1]"),
        ((RANK, 5, 3, 3), (OUT, RANK, 3, 3), "lora_B", "needed is [6, r, 1, 1]"),
        ((RANK, 5, 3, 3), (OUT + 1, RANK, 1, 1), "lora_B", "needed is [6, r, 1, 1]"),
        ((RANK, 5, 3, 3), (OUT, 2, 1, 1), "lora_B", "has rank 2, and its lora_A has 4"),
        ((RANK, 5, 3, 3, 1), (OUT, RANK, 1, 1), "lora_A", "needed is [r, 5, 3, 3]"),
    ],
)
def test_other_shapes_are_refused_by_name(
    a: tuple[int, ...], b: tuple[int, ...], where: str, needed: str
) -> None:
    of = manifest((3, 3))
    _, findings = read(of, tensors(of, a, b))
    assert len(findings) == 1
    with pytest.raises(Exception, match=f"{where}.weight") as caught:
        findings.settle()
    assert needed in str(caught.value)


def test_the_rank_of_a_convolution_is_that_of_the_config() -> None:
    of = manifest((3, 3))
    _, findings = read(of, tensors(of, (3, CHANNELS, 3, 3), (OUT, 3, 1, 1)))
    with pytest.raises(Exception, match=r"has rank 3, and adapter_config\.json says 4"):
        findings.settle()
    wide = manifest_of("bert", max_rank=2).model_copy(update={"targets": of.targets})
    _, findings = read(wide, tensors(of, (RANK, CHANNELS, 3, 3), (OUT, RANK, 1, 1)))
    with pytest.raises(Exception, match="has rank 4, the bundle takes 2"):
        findings.settle()


def test_a_linear_layer_takes_no_four_dimensions() -> None:
    of = manifest_of("bert", endings=("query",))
    given = tensors_of(of)
    name = next(name for name in given if name.endswith("lora_A.weight"))
    given[name] = given[name][:, :, None, None]
    _, findings = read(of, given)
    with pytest.raises(Exception, match=r"needed is \[r, 16\]"):
        findings.settle()
