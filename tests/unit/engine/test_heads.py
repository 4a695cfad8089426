"""Heads, against the modules of torch and transformers that they stand for."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import ModernBertConfig, RobertaConfig
from transformers.models.modernbert.modeling_modernbert import ModernBertPredictionHead
from transformers.models.roberta.modeling_roberta import RobertaClassificationHead

from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Bundle, Head, HeadStep
from service.engine.heads import Heads, erf, softmax
from tests.fakes.adapters import adapter_of
from tests.fakes.manifests import BACKBONE, HIDDEN, manifest_of

RANDOM = np.random.default_rng(0)


def pooled_of(count: int) -> FloatArray:
    return RANDOM.standard_normal((count, HIDDEN)).astype(np.float32)


def bundle_with(head: Head, held: dict[str, FloatArray]) -> Bundle:
    manifest = manifest_of().model_copy(update={"head": head})
    return Bundle(Path("nowhere"), BACKBONE, manifest, held)


def linear(module: str, out: int | None = HIDDEN, *, bias: bool = True) -> HeadStep:
    return HeadStep(kind="linear", module=module, in_features=HIDDEN, out_features=out, bias=bias)


def recipe(*steps: HeadStep) -> Head:
    return Head(pooling="first", steps=steps, held=(), missing=())


def tensors_of(module: nn.Module, prefix: str = "") -> dict[str, FloatArray]:
    return {f"{prefix}{name}": p.detach().numpy() for name, p in module.named_parameters()}


def adapter_with(head: dict[str, FloatArray], labels: int, temperature: float = 1.0) -> Adapter:
    names = tuple(f"label {i}" for i in range(labels))
    return Adapter("sha256:a", 0, {}, head, names, temperature)


def ask(
    bundle: Bundle, x: FloatArray, groups: Sequence[tuple[Adapter, Sequence[int]]]
) -> list[FloatArray]:
    return Heads(bundle).probabilities(x, groups)


def test_erf_is_within_the_error_that_it_states() -> None:
    x = np.linspace(-6, 6, 20_001, dtype=np.float32)
    exact = np.array([math.erf(value) for value in x])
    assert np.abs(erf(x) - exact).max() < 5e-7
    assert erf(np.array([np.inf, -np.inf], np.float32)).tolist() == [1.0, -1.0]


def test_softmax_survives_large_logits_and_gives_nothing_to_what_is_masked() -> None:
    spread = softmax(np.array([[1e38, -1e38, -np.inf], [1e4, 1e4, -np.inf]], np.float32))
    assert spread.tolist() == [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]


def test_modernberts_head_is_dense_gelu_norm() -> None:
    torch.manual_seed(1)
    config = ModernBertConfig(hidden_size=HIDDEN, norm_bias=False, classifier_bias=False)
    theirs = ModernBertPredictionHead(config).eval()
    nn.init.normal_(theirs.norm.weight, 1.0, 0.3)
    classifier = nn.Linear(HIDDEN, 5)
    steps = (
        linear("head.dense", bias=False),
        HeadStep(kind="gelu"),
        HeadStep(
            kind="layer_norm",
            module="head.norm",
            in_features=HIDDEN,
            out_features=HIDDEN,
            bias=False,
            epsilon=config.norm_eps,
        ),
        linear("classifier", None),
    )
    x = pooled_of(7)
    with torch.inference_mode():
        expected = classifier(theirs(torch.from_numpy(x))).softmax(-1).numpy()
    adapter = adapter_with(tensors_of(classifier, "classifier."), 5)
    bundle = bundle_with(recipe(*steps), tensors_of(theirs, "head."))
    found = ask(bundle, x, [(adapter, range(7))])[0]
    assert np.abs(found - expected).max() < 1e-6


def test_robertas_head_is_dense_tanh_out_proj() -> None:
    torch.manual_seed(2)
    config = RobertaConfig(hidden_size=HIDDEN, num_labels=4)
    theirs = RobertaClassificationHead(config).eval()
    nn.init.normal_(theirs.dense.weight, 0.0, 0.4)
    steps = (
        linear("classifier.dense"),
        HeadStep(kind="tanh"),
        linear("classifier.out_proj", None),
    )
    x = pooled_of(6)
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(x)[:, None, :]).softmax(-1).numpy()
    adapter = adapter_with(tensors_of(theirs, "classifier."), 4)
    found = ask(bundle_with(recipe(*steps), {}), x, [(adapter, range(6))])[0]
    assert np.abs(found - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("kind", "theirs"), [("tanh", torch.tanh), ("relu", torch.relu), ("gelu", nn.functional.gelu)]
)
def test_a_pointwise_step_is_what_torch_calls_so(kind: str, theirs: "nn.Module") -> None:
    head = recipe(HeadStep.model_validate({"kind": kind}), linear("classifier", None))
    adapter = adapter_with(
        {
            "classifier.weight": np.eye(HIDDEN, dtype=np.float32),
            "classifier.bias": np.zeros(HIDDEN, np.float32),
        },
        HIDDEN,
    )
    x = pooled_of(9) * 3
    expected = theirs(torch.from_numpy(x)).softmax(-1).numpy()
    found = ask(bundle_with(head, {}), x, [(adapter, range(9))])[0]
    assert np.abs(found - expected).max() < 1e-6


def test_a_layer_norm_with_a_bias_is_torchs() -> None:
    theirs = nn.LayerNorm(HIDDEN, eps=1e-3)
    nn.init.normal_(theirs.weight)
    nn.init.normal_(theirs.bias)
    step = HeadStep(kind="layer_norm", module="norm", in_features=HIDDEN, epsilon=1e-3)
    identity = {"out.weight": np.eye(HIDDEN, dtype=np.float32)}
    adapter = adapter_with(identity, HIDDEN)
    bundle = bundle_with(recipe(step, linear("out", None, bias=False)), tensors_of(theirs, "norm."))
    x = pooled_of(3)
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(x)).softmax(-1).numpy()
    assert np.abs(ask(bundle, x, [(adapter, range(3))])[0] - expected).max() < 1e-6


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "modernbert"])
def test_every_text_is_answered_by_its_own_head_whatever_stands_beside_it(family: str) -> None:
    manifest = manifest_of(family)
    held = {
        k: v for k, v in adapter_of(manifest, "held", seed=99).head.items() if "classifier" not in k
    }
    bundle = Bundle(Path("nowhere"), BACKBONE, manifest, held)
    adapters = [
        adapter_of(manifest, f"a{i}", labels=count, seed=i) for i, count in enumerate((2, 8, 3))
    ]
    only_last = {k: v for k, v in adapters[1].head.items() if "classifier" in k}
    if set(held) | set(only_last) == set(adapters[1].head):  # the bundle holds the rest
        adapters[1] = adapter_with(only_last, 8)
    x = pooled_of(10)
    groups = [(adapters[0], [7, 0, 3]), (adapters[1], [1, 9]), (adapters[2], [2, 4, 5, 6, 8])]
    mixed = ask(bundle, x, groups)
    for (adapter, rows), block in zip(groups, mixed, strict=True):
        assert block.shape == (len(rows), len(adapter.labels))
        assert block.sum(axis=1) == pytest.approx(1.0, abs=1e-6)
        for row, found in zip(rows, block, strict=True):
            alone = ask(bundle, x[row : row + 1], [(adapter, [0])])[0][0]
            assert np.abs(found - alone).max() < 1e-6


def test_a_module_of_the_adapter_wins_over_the_one_that_the_bundle_holds() -> None:
    manifest = manifest_of("bert")
    held = {
        "bert.pooler.dense.weight": np.eye(HIDDEN, dtype=np.float32),
        "bert.pooler.dense.bias": np.zeros(HIDDEN, np.float32),
    }
    bundle = Bundle(Path("nowhere"), BACKBONE, manifest, held)
    own = adapter_of(manifest, "own", seed=3, scale=1.0)
    borrowed = adapter_with({k: v for k, v in own.head.items() if "classifier" in k}, 3)
    x = pooled_of(1)
    with_own, with_held = ask(bundle, x, [(own, [0]), (borrowed, [0])])
    w, b = own.head["classifier.weight"], own.head["classifier.bias"]
    p, q = own.head["bert.pooler.dense.weight"], own.head["bert.pooler.dense.bias"]
    assert with_own[0] == pytest.approx(softmax(np.tanh(x @ p.T + q) @ w.T + b)[0], abs=1e-6)
    assert with_held[0] == pytest.approx(softmax(np.tanh(x) @ w.T + b)[0], abs=1e-6)


def test_a_temperature_divides_the_logits_of_its_own_adapter_only() -> None:
    manifest = manifest_of("roberta")
    plain = adapter_of(manifest, "plain", seed=4)
    warm = Adapter("sha256:w", 0, {}, plain.head, plain.labels, temperature=2.5)
    x = pooled_of(2)
    cold, tempered = ask(
        Bundle(Path("nowhere"), BACKBONE, manifest, {}), x, [(plain, [0]), (warm, [0])]
    )
    expected = softmax(np.log(cold[0]) / 2.5)
    assert tempered[0] == pytest.approx(expected, abs=1e-6)


def test_a_row_that_is_not_finite_stays_so_and_spoils_no_other() -> None:
    manifest = manifest_of("distilbert")
    adapter = adapter_of(manifest, "a")
    bundle = Bundle(Path("nowhere"), BACKBONE, manifest, {})
    x = pooled_of(3)
    clean = ask(bundle, x, [(adapter, [0, 1, 2])])[0]
    x[1] = np.nan
    found = ask(bundle, x, [(adapter, [0, 1, 2])])[0]
    assert np.isnan(found[1]).all()
    assert found[[0, 2]] == pytest.approx(clean[[0, 2]], abs=1e-7)
