"""How far from fp32 a variant may be, and what a trial says of itself."""

from service.engine.bundle import Measured, Variant
from service.engine.tuning.setup import default_setup
from service.engine.tuning.trial import USABLE, Trial, tolerance


def variant(compute: str, error: float | None = None) -> Variant:
    measured = {}
    if error is not None:
        measured["openvino"] = Measured(
            provider="openvino",
            passed=True,
            data="random",
            inputs=64,
            adapters=4,
            max_probability_error=error,
            mean_probability_error=error,
            label_agreement=1.0,
            max_embedding_error=error,
            max_neighbour_error=0.0,
            tokens_per_second=1.0,
            milliseconds=1.0,
        )
    return Variant.model_validate(
        {
            "file": "model.onnx",
            "compute": compute,
            "tokens_per_second": 1.0,
            "measured": measured,
        }
    )


def test_a_lower_precision_may_lie_further_from_fp32() -> None:
    fp32, fp16, bf16, int8 = (
        tolerance(variant(compute), "cpu") for compute in ("fp32", "fp16", "bf16", "int8")
    )
    assert fp32 < fp16 < bf16 < int8


def test_what_a_variants_own_proof_found_on_that_provider_is_allowed_twice() -> None:
    assert tolerance(variant("int8", 0.2), "openvino") == 0.4
    assert tolerance(variant("int8", 0.2), "cpu") == tolerance(variant("int8"), "cpu")
    assert tolerance(variant("int8", 1e-6), "openvino") == tolerance(variant("int8"), "cpu")


def test_a_trial_says_its_speed_or_why_it_has_none() -> None:
    setup = default_setup("fp32", "cpu", 1)
    ran = Trial(setup, USABLE, 1234.5)
    assert ran.words() == "1,234 tokens/s"
    assert Trial(setup, "differs from fp32 by 1", 10.0).words().startswith("10 tokens/s, differs")
    assert Trial(setup, "cpu: no memory").words() == "no memory"
