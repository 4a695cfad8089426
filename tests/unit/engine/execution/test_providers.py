"""Providers: what each multiplies in, and which variants run where."""

from pathlib import Path

import pytest

from service.engine.bundle import Bundle, Variant
from service.engine.errors import ProviderUnavailable
from service.engine.execution.openvino import multiplies_in_bf16
from service.engine.providers import PROVIDERS, provider_named, runnable
from tests.fakes.manifests import BACKBONE, manifest_of


def bundle_with(*computes: str) -> Bundle:
    variants = {
        compute: Variant.model_validate(
            {"file": "model.onnx", "compute": compute, "tokens_per_second": 1.0}
        )
        for compute in computes
    }
    manifest = manifest_of().model_copy(update={"variants": variants})
    return Bundle(Path("nowhere"), BACKBONE, manifest, {})


def test_a_variant_runs_where_its_precision_is_multiplied_in_and_nowhere_else() -> None:
    assert runnable(bundle_with("fp32", "bf16", "fp16", "int8")) == [
        ("fp32", "cpu"),
        ("int8", "cpu"),
        ("bf16", "openvino"),
        ("fp32", "openvino"),
        ("int8", "openvino"),
        ("fp16", "cuda"),
        ("fp32", "cuda"),
        ("fp16", "tensorrt"),
        ("fp32", "tensorrt"),
        ("int8", "tensorrt"),
    ]


def test_fp32_runs_on_every_provider_and_first_on_the_one_that_is_the_measure() -> None:
    assert runnable(bundle_with("fp32")) == [("fp32", name) for name in PROVIDERS]
    assert next(iter(PROVIDERS)) == "cpu"


def test_openvino_computes_fp32_in_fp32_also_where_bf16_is_faster() -> None:
    assert not multiplies_in_bf16("fp32", ["FP32", "BF16"])
    assert multiplies_in_bf16("bf16", ["FP32", "BF16"])
    assert multiplies_in_bf16("int8", ["FP32", "INT8", "BF16"])
    assert not multiplies_in_bf16("int8", ["FP32", "INT8"])


def test_openvino_refuses_bf16_on_a_processor_without_it() -> None:
    with pytest.raises(ProviderUnavailable, match="does not multiply in bf16"):
        multiplies_in_bf16("bf16", ["FP32"])


def test_every_provider_can_be_looked_for_and_says_its_name_where_it_is_not() -> None:
    for made in PROVIDERS.values():
        try:
            assert made.find()
        except ProviderUnavailable as error:
            assert str(error).startswith(f"{made.name}: ")  # noqa: PT017 - either is right


def test_a_name_that_is_no_provider_is_refused() -> None:
    with pytest.raises(ProviderUnavailable, match="'gpu' is no provider; there are cpu, openvino"):
        provider_named("gpu")
