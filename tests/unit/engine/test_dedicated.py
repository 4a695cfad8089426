import pytest

from service.engine.adapter import DEDICATED, read_adapter
from service.engine.dedicated import own_head
from service.engine.errors import InvalidAdapter
from tests.fakes.manifests import dedicated_manifest_of, manifest_of
from tests.fakes.packages import config_of, labels_of, tensors_of

DIGEST = "sha256:" + "a" * 64
LABELS = ("refund", "delivery", "other")
MANIFEST = dedicated_manifest_of(LABELS)


def problems_of(labels: tuple[str, ...]) -> dict[str, str]:
    with pytest.raises(InvalidAdapter) as caught:
        own_head(DIGEST, labels, MANIFEST)
    return {problem.where: problem.what for problem in caught.value.problems}


def test_the_own_head_is_an_adapter_without_weights() -> None:
    adapter = own_head(DIGEST, LABELS, MANIFEST, 1.5)
    assert (adapter.digest, adapter.labels, adapter.temperature) == (DIGEST, LABELS, 1.5)
    assert (adapter.rank, adapter.nbytes) == (0, 0)


def test_labels_in_another_order_are_refused_with_both_named() -> None:
    found = problems_of(("delivery", "refund", "other"))
    assert list(found) == ["metadata/labels"]
    assert (
        "0 is 'delivery', not 'refund', 1 is 'refund', not 'delivery'" in found["metadata/labels"]
    )


def test_another_number_of_labels_is_refused() -> None:
    assert "has 2, and the bundle's model has 3" in problems_of(LABELS[:2])["metadata/labels"]


def test_a_backbone_has_no_classifier_of_its_own_to_publish() -> None:
    with pytest.raises(InvalidAdapter) as caught:
        own_head(DIGEST, LABELS, manifest_of())
    assert [problem.where for problem in caught.value.problems] == ["metadata/dedicated"]
    assert "without a classifier of its own" in caught.value.problems[0].what


def test_an_adapter_is_refused_once_with_what_to_do_instead() -> None:
    backbone = manifest_of()
    with pytest.raises(InvalidAdapter) as caught:
        read_adapter(DIGEST, config_of(backbone), tensors_of(backbone), labels_of(), MANIFEST)
    assert [(p.where, p.what) for p in caught.value.problems] == [("package", DEDICATED)]
