"""The adapters of a measurement, and the heads that are fitted to them."""

import numpy as np

from exporter.precision.adapters import adversary, fitted, logistic, random_adapters
from service.engine.heads import features
from tests.fakes.manifests import manifest_of


def test_a_fitted_head_tells_classes_apart() -> None:
    random = np.random.default_rng(0)
    centres = random.normal(size=(5, 16))
    classes = random.integers(0, 5, 400)
    x = (3 + 2 * centres[classes] + random.normal(size=(400, 16))).astype(np.float32)
    weight, bias = logistic(x[:200], classes[:200], 5)
    right = (x[200:] @ weight.T + bias).argmax(axis=1) == classes[200:]
    assert right.mean() > 0.9


def test_a_class_that_no_row_has_is_never_named() -> None:
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    weight, bias = logistic(x, (x[:, 0] > 0).astype(np.int64), 3)
    assert set((x @ weight.T + bias).argmax(axis=1).tolist()) == {0, 1}


def test_fitting_goes_through_the_modules_before_the_last() -> None:
    manifest = manifest_of("distilbert")
    adapter = random_adapters(manifest, "measure")[0]
    random = np.random.default_rng(1)
    pooled = random.normal(size=(300, manifest.hidden_size)).astype(np.float32)
    classes = (pooled[:, 0] > 0).astype(np.int64)
    found = fitted(manifest, adapter, {}, pooled, classes, ("no", "yes"))
    assert found.labels == ("no", "yes")
    last = manifest.head.steps[-1].module
    x = features(manifest.head, found.head, pooled)
    logits = x @ found.head[f"{last}.weight"].T + found.head[f"{last}.bias"]
    assert (logits.argmax(axis=1) == classes).mean() > 0.7


def test_adapters_differ_by_kind_and_number_and_are_the_same_each_time() -> None:
    manifest = manifest_of("bert")
    mine, again = (random_adapters(manifest, "measure") for _ in range(2))
    others = random_adapters(manifest, "record")
    name = manifest.targets[0].name
    assert (mine[0].deltas[name][0] == again[0].deltas[name][0]).all()
    assert not (mine[0].deltas[name][0] == others[0].deltas[name][0]).all()
    assert len({adapter.rank for adapter in mine}) > 1
    assert len({len(adapter.labels) for adapter in mine}) == len(mine)


def test_an_adversary_is_as_large_as_it_was_asked_to_be() -> None:
    manifest = manifest_of("bert")
    like = random_adapters(manifest, "measure")[0]
    found = adversary(manifest, like, 1e4)
    assert all((np.abs(a) == 1e4).all() for a, _ in found.deltas.values())
    assert found.deltas.keys() == {target.name for target in manifest.targets}
