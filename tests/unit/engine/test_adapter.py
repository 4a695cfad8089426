from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from service.engine.adapter import Adapter, FloatArray, read_adapter
from service.engine.bundle import Manifest
from service.engine.errors import InvalidAdapter
from tests.fakes.manifests import HIDDEN, manifest_of
from tests.fakes.packages import PREFIX, config_of, labels_of, tensors_of

FAMILIES = ["bert", "roberta", "distilbert", "modernbert"]
DIGEST = "sha256:" + "a" * 64
QUERY = "encoder.layer.0.attention.self.query"
A = f"{PREFIX}bert.{QUERY}.lora_A.weight"
B = f"{PREFIX}bert.{QUERY}.lora_B.weight"
CLASSIFIER = f"{PREFIX}classifier.weight"


def read(
    manifest: Manifest,
    tensors: Mapping[str, FloatArray],
    labels: list[str] | None = None,
    rank: int = 4,
    **config: object,
) -> Adapter:
    return read_adapter(
        DIGEST,
        config_of(manifest, rank=rank, **config),
        tensors,
        labels or labels_of(),
        manifest,
    )


def problems_of(*args: Any, **kwargs: Any) -> dict[str, str]:
    with pytest.raises(InvalidAdapter) as caught:
        read(*args, **kwargs)
    return {
        problem.where.removeprefix("adapter_model.safetensors/"): problem.what
        for problem in caught.value.problems
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapter_has_its_tensors_scaled_and_turned(family: str) -> None:
    manifest = manifest_of(family)
    tensors = tensors_of(manifest, rank=4)
    adapter = read(manifest, tensors, rank=4, lora_alpha=12)
    assert adapter.digest == DIGEST
    assert adapter.rank == 4
    assert adapter.labels == tuple(labels_of())
    assert adapter.temperature == 1.0
    assert set(adapter.deltas) == {target.name for target in manifest.targets}
    for target in manifest.targets:
        a, b = adapter.deltas[target.name]
        module = f"{PREFIX}{manifest.encoder}.{target.name}"
        assert np.array_equal(a, tensors[f"{module}.lora_A.weight"])
        assert np.array_equal(b, tensors[f"{module}.lora_B.weight"].T * np.float32(3.0))
        for x in (a, b):
            assert x.dtype == np.float32
            assert x.flags.c_contiguous
            assert x.flags.owndata
    heads = {name.removeprefix(PREFIX): x for name, x in tensors.items() if "lora_" not in name}
    assert set(adapter.head) == set(heads)
    for name, x in heads.items():
        assert np.array_equal(adapter.head[name], x)
        assert adapter.head[name].flags.owndata


def test_its_bytes_are_those_of_its_tensors() -> None:
    manifest = manifest_of("bert")
    tensors = tensors_of(manifest)
    assert read(manifest, tensors).nbytes == sum(x.nbytes for x in tensors.values())


def test_any_subset_of_the_targets_is_taken() -> None:
    manifest = manifest_of("bert")
    tensors = {
        name: x for name, x in tensors_of(manifest).items() if "lora" not in name or "query" in name
    }
    adapter = read(manifest, tensors, target_modules=["query"])
    assert set(adapter.deltas) == {QUERY, QUERY.replace(".0.", ".1.")}


def test_ranks_may_differ_from_target_to_target() -> None:
    manifest = manifest_of("bert")
    tensors = tensors_of(manifest, rank=4)
    wider = tensors_of(manifest, rank=7, seed=1)
    for name in tensors:
        if "query" in name:
            tensors[name] = wider[name]
    adapter = read(manifest, tensors, rank=4, lora_alpha=4, rank_pattern={"query": 7})
    assert adapter.rank == 7
    assert adapter.deltas[QUERY][0].shape == (7, HIDDEN)
    assert np.array_equal(adapter.deltas[QUERY][1], tensors[B].T * np.float32(4 / 7))


def test_a_head_alone_is_an_adapter_of_rank_0() -> None:
    manifest = manifest_of("bert")
    tensors = {name: x for name, x in tensors_of(manifest).items() if "lora" not in name}
    adapter = read(manifest, tensors, target_modules=[])
    assert adapter.rank == 0
    assert adapter.deltas == {}


def test_what_the_bundle_holds_need_not_be_brought() -> None:
    manifest = manifest_of("bert")
    tensors = {name: x for name, x in tensors_of(manifest).items() if "pooler" not in name}
    adapter = read(manifest, tensors, modules_to_save=["classifier"])
    assert set(adapter.head) == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize("family", ["roberta", "distilbert"])
def test_what_the_checkpoint_did_not_hold_must_be_brought(family: str) -> None:
    manifest = manifest_of(family)
    tensors = {name: x for name, x in tensors_of(manifest).items() if "lora" in name}
    found = problems_of(manifest, tensors)
    for module in manifest.head.missing:
        assert "modules_to_save" in found[f"{PREFIX}{module}.weight"]


def test_a_last_layer_that_is_held_serves_as_many_labels_as_it_has_rows() -> None:
    manifest = manifest_of("bert")
    held = {"missing": (), "held": ("bert.pooler.dense", "classifier"), "labels": 3}
    manifest = manifest.model_copy(update={"head": manifest.head.model_copy(update=held)})
    tensors = {name: x for name, x in tensors_of(manifest).items() if "lora" in name}
    assert not read(manifest, tensors, modules_to_save=[], task_type=None).head
    other = manifest.model_copy(
        update={"head": manifest.head.model_copy(update=held | {"labels": 5})}
    )
    found = problems_of(other, tensors, modules_to_save=[], task_type=None)
    assert list(found) == [CLASSIFIER]
    assert "has 5 rows, and there are 3 labels" in found[CLASSIFIER]


def test_a_module_that_the_config_saves_must_be_there() -> None:
    manifest = manifest_of("bert")
    tensors = {name: x for name, x in tensors_of(manifest).items() if "pooler" not in name}
    found = problems_of(manifest, tensors, modules_to_save=["pooler"])
    assert "names bert.pooler.dense" in found[f"{PREFIX}bert.pooler.dense.weight"]


def test_a_module_that_the_config_does_not_save_must_not_be_there() -> None:
    manifest = manifest_of("bert")
    found = problems_of(manifest, tensors_of(manifest), modules_to_save=["classifier"])
    assert "does not name bert.pooler.dense" in found[f"{PREFIX}bert.pooler.dense.weight"]


def test_the_rows_of_the_last_layer_are_the_labels() -> None:
    manifest = manifest_of("bert")
    found = problems_of(manifest, tensors_of(manifest, labels=4))
    assert found == {
        CLASSIFIER: f"has shape [4, {HIDDEN}], needed is [3, {HIDDEN}]: metadata/labels has 3"
        " labels",
        f"{PREFIX}classifier.bias": "has shape [4], needed is [3]: metadata/labels has 3 labels",
    }


@pytest.mark.parametrize(
    ("labels", "where"),
    [
        (["a"], "metadata/labels"),
        (["a", ""], "metadata/labels/1"),
        (["a", "  "], "metadata/labels/1"),
        (["a", "b", "a"], "metadata/labels/2"),
        (["a", "b\n"], "metadata/labels/1"),
        (["a", "b" * 300], "metadata/labels/1"),
    ],
)
def test_labels_that_cannot_be_told_apart_are_refused(labels: list[str], where: str) -> None:
    manifest = manifest_of("bert")
    assert list(problems_of(manifest, tensors_of(manifest, labels=len(labels)), labels)) == [where]


def test_labels_of_any_script_are_taken() -> None:
    manifest = manifest_of("bert")
    labels = ["क्\u200dष", "👩\u200d🚒", "größe"]  # two hold characters that cannot be seen
    assert read(manifest, tensors_of(manifest), labels).labels == tuple(labels)


def test_beyond_the_bundle_the_export_that_would_take_it_is_named() -> None:
    manifest = manifest_of("bert", endings=("query", "value"), max_rank=8, max_labels=8)
    tensors = tensors_of(manifest_of("bert"), rank=32, labels=9)
    found = problems_of(manifest, tensors, labels_of(9), rank=32, target_modules="all-linear")
    command = "tenantry export tiny --out bundle --targets all-linear --max-rank 32 --max-labels 9"
    assert "rank 32, the bundle takes 8" in found[A]
    assert "has 9, the bundle takes 8" in found["metadata/labels"]
    key = f"{PREFIX}bert.encoder.layer.1.intermediate.dense.lora_A.weight"
    assert "not among the bundle's targets" in found[key]
    for where in (A, "metadata/labels", key):
        assert found[where].endswith(command), found[where]


def test_a_layer_that_the_backbone_does_not_have_is_refused() -> None:
    manifest = manifest_of("bert")
    tensors = tensors_of(manifest)
    deep = A.replace("layer.0", "layer.7")
    found = problems_of(manifest, {**tensors, deep: tensors[A]})
    assert found == {
        deep: "adapts encoder.layer.7.attention.self.query, and the bundle's encoder has no such"
        " layer that LoRA can change here (embeddings and grouped convolutions are none)"
    }


def test_an_adapter_of_another_architecture_is_told_so() -> None:
    manifest = manifest_of("bert")
    other = manifest_of("distilbert")
    found = problems_of(manifest, tensors_of(other), rank=4)
    key = f"{PREFIX}distilbert.transformer.layer.0.attention.q_lin.lora_A.weight"
    assert "whose encoder is `bert`" in found[key]


@pytest.mark.parametrize(
    ("family", "module"),
    [
        ("bert", "bert.pooler.dense"),
        ("bert", "classifier"),
        ("roberta", "classifier.dense"),
        ("distilbert", "pre_classifier"),
        ("modernbert", "head.dense"),
    ],
)
def test_lora_on_the_head_is_refused_with_advice(family: str, module: str) -> None:
    manifest = manifest_of(family)
    tensors = tensors_of(manifest)
    extra = {
        f"{PREFIX}{module}.lora_A.weight": np.zeros((4, HIDDEN), np.float32),
        f"{PREFIX}{module}.lora_B.weight": np.zeros((HIDDEN, 4), np.float32),
    }
    found = problems_of(manifest, {**tensors, **extra})
    assert list(found) == [f"{PREFIX}{module}.lora_A.weight"]
    assert "modules_to_save" in found[f"{PREFIX}{module}.lora_A.weight"]
    assert "exclude_modules" in found[f"{PREFIX}{module}.lora_A.weight"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (f"{PREFIX}bert.{QUERY}.lora_B.bias", "lora_bias"),
        (f"{PREFIX}bert.embeddings.word_embeddings.lora_embedding_A", "embedding"),
        (f"{PREFIX}bert.embeddings.word_embeddings.lora_A.weight", "embedding"),
        (f"{PREFIX}bert.{QUERY}.lora_magnitude_vector.weight", "DoRA"),
        (f"{PREFIX}bert.{QUERY}.base_layer.weight", "weight of the backbone"),
        (f"{PREFIX}bert.{QUERY}.lora_A.default.weight", "save_pretrained"),
        (f"{PREFIX}classifier.modules_to_save.default.weight", "adapter's name"),
        (f"{PREFIX}bert.encoder.layer.0.output.LayerNorm.weight", "whole weight of the backbone"),
        (f"{PREFIX}bert.{QUERY}.bias", "whole weight of the backbone"),
        (f"{PREFIX}score.weight", "no tensor of this head"),
        (f"bert.{QUERY}.lora_A.weight", "must begin with base_model.model."),
    ],
)
def test_other_tensors_are_refused_by_name(name: str, reason: str) -> None:
    manifest = manifest_of("bert")
    found = problems_of(manifest, {**tensors_of(manifest), name: np.ones(1, np.float32)})
    assert list(found) == [name]
    assert reason in found[name]


@pytest.mark.parametrize(("gone", "left"), [(A, B), (B, A)])
def test_half_of_a_pair_is_refused(gone: str, left: str) -> None:
    manifest = manifest_of("bert")
    tensors = tensors_of(manifest)
    assert left in tensors
    del tensors[gone]
    assert problems_of(manifest, tensors) == {gone: "is missing, and its other half is there"}


def test_half_of_a_head_module_is_refused() -> None:
    manifest = manifest_of("bert")
    tensors = tensors_of(manifest)
    del tensors[f"{PREFIX}classifier.bias"]
    assert "rest of its module" in problems_of(manifest, tensors)[f"{PREFIX}classifier.bias"]


def test_tensors_and_config_must_agree_on_the_targets() -> None:
    manifest = manifest_of("bert")
    tensors = tensors_of(manifest)
    found = problems_of(manifest, tensors, target_modules=["query", "value", "dense"])
    keys = [A.replace("query", "key"), A.replace("query", "key").replace(".0.", ".1.")]
    assert list(found) == keys
    assert "does not target" in found[keys[0]]
    without = {name: x for name, x in tensors.items() if QUERY not in name}
    found = problems_of(manifest, without)
    assert found == {A: f"is missing: adapter_config.json targets bert.{QUERY}"}


def test_tensors_and_config_must_agree_on_the_rank() -> None:
    manifest = manifest_of("bert", endings=("layer.0.attention.self.query",))
    found = problems_of(manifest, tensors_of(manifest, rank=4), rank=8)
    assert found == {A: "has rank 4, and adapter_config.json says 8 (r, rank_pattern)"}


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        (A, (4, HIDDEN + 1)),
        (A, (4,)),
        (A, (HIDDEN,)),
        (A, (4, HIDDEN, 1)),
        (B, (HIDDEN + 1, 4)),
        (B, (HIDDEN, 5)),
        (CLASSIFIER, (3, HIDDEN + 1)),
        (CLASSIFIER, (3 * HIDDEN,)),
        (f"{PREFIX}classifier.bias", (3, 1)),
        (f"{PREFIX}bert.pooler.dense.weight", (HIDDEN, HIDDEN + 1)),
        (f"{PREFIX}bert.pooler.dense.bias", (1,)),
    ],
)
def test_a_wrong_shape_is_refused(name: str, shape: tuple[int, ...]) -> None:
    manifest = manifest_of("bert")
    tensors = {**tensors_of(manifest), name: np.zeros(shape, np.float32)}
    found = problems_of(manifest, tensors)
    assert list(found) == [name]
    assert "needed is" in found[name] or "has rank" in found[name]


@pytest.mark.parametrize("name", [A, B, CLASSIFIER, f"{PREFIX}bert.pooler.dense.bias"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.1e4, -1e30])
def test_values_that_could_poison_a_batch_are_refused(name: str, value: float) -> None:
    manifest = manifest_of("bert")
    tensors = tensors_of(manifest)
    tensors[name].flat[-1] = value
    found = problems_of(manifest, tensors)
    assert list(found) == [name]
    expected = "the limit is 10000" if np.isfinite(value) else "not finite"
    assert expected in found[name]


def test_the_scale_counts_for_the_magnitude_of_b() -> None:
    manifest = manifest_of("bert")
    tensors = tensors_of(manifest)
    tensors[B].flat[0] = 100.0
    read(manifest, tensors, lora_alpha=4)
    found = problems_of(manifest, tensors, lora_alpha=4_000)
    assert "scaled by 1000 (lora_alpha, r)" in found[B]
    found = problems_of(manifest, tensors, lora_alpha=1e9, rank_pattern={})
    assert B in found


def test_problems_of_config_labels_and_tensors_come_together() -> None:
    manifest = manifest_of("bert")
    tensors = tensors_of(manifest)
    tensors[A] = tensors[A][:, :-1]
    tensors[CLASSIFIER][0, 0] = np.nan
    found = problems_of(manifest, tensors, ["a", "b", "b"], use_dora=True, bias="all")
    assert set(found) == {
        "adapter_config.json/use_dora",
        "adapter_config.json/bias",
        "metadata/labels/2",
        A,
        CLASSIFIER,
    }


def test_a_pattern_that_never_ends_is_a_problem_of_the_config() -> None:
    manifest = manifest_of("bert")
    pattern = "(((.(?=.*!)|.)+(?=.*!)|.)+(?=.*!)|.)+!"
    found = problems_of(manifest, tensors_of(manifest), target_modules=pattern)
    assert "takes too long" in found["adapter_config.json"]


def test_the_temperature_is_kept() -> None:
    manifest = manifest_of("bert")
    adapter = read_adapter(
        DIGEST, config_of(manifest), tensors_of(manifest), labels_of(), manifest, 1.7
    )
    assert adapter.temperature == 1.7
