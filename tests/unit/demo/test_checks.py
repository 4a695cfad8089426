"""The demo's own checks: that they pass what is right, and find what is wrong."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from examples.demo import checks
from examples.demo.adapters import Trained
from examples.demo.batch_mix import BatchMix
from examples.demo.businesses import BUSINESSES
from examples.demo.checks import Check
from examples.demo.operator_client import Published
from examples.demo.scores import Score, scores_of
from examples.demo.traffic import Question, Reply
from examples.demo.train import Row

LABELS = ("no", "yes")
TEST = [Row("a", "no"), Row("b", "yes")]
TRAIN = [Row("c", "yes")]
ADAPTERS = [
    Trained(business, Path(), LABELS, train=TRAIN, test=TEST, seconds=None)
    for business in BUSINESSES[:2]
]
PUBLISHED = [Published(1, "sha256:one", True), Published(1, "sha256:two", True)]
PEFT = [np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]], np.float32)] * 2
MIX = BatchMix(10, texts=16, tokens=300, adapters=1.5, mixed=0.5, fill=0.9, seconds=0.04)


def reply(business: int, row: int, yes: float, identity: str = "") -> Reply:
    return Reply(
        question=Question(business, row, "", b""),
        tenant=BUSINESSES[business].tenant,
        version=1,
        digest=PUBLISHED[business].digest,
        provider="cpu",
        precision="fp32",
        id=identity or f"{business}-{row}",
        label=LABELS[yes > 0.5],
        scores={"no": 1 - yes, "yes": yes},
        seconds=0.01,
    )


def replies() -> list[Reply]:
    return [reply(0, 0, 0.1), reply(0, 1, 0.6), reply(1, 0, 0.1), reply(1, 1, 0.6)]


def passed(found: list[Check]) -> list[bool]:
    return [check.passed for check in found]


def test_a_score_compares_labels_with_the_data_and_with_peft() -> None:
    first, second = scores_of(ADAPTERS, PEFT, [*replies()[:3], reply(1, 1, 0.45)])
    assert (first.accuracy, first.agreement) == (1.0, 1.0)
    assert first.worst == pytest.approx(0, abs=1e-6)
    assert (second.accuracy, second.agreement) == (0.5, 0.5)
    assert second.worst == pytest.approx(0.15)


def test_an_answer_to_a_text_of_the_training_counts_against_peft_and_not_for_accuracy() -> None:
    [score] = scores_of(ADAPTERS[:1], PEFT[:1], [*replies()[:1], reply(0, 2, 0.2)])
    assert (score.answers, score.tested, score.accuracy, score.agreement) == (2, 1, 1.0, 1.0)


def test_right_answers_pass() -> None:
    scores = scores_of(ADAPTERS, PEFT, replies())
    found = [
        *checks.check_accuracy(ADAPTERS, scores),
        *checks.check_agreement(scores, "cpu"),
        *checks.check_parity(scores, "cpu"),
        *checks.check_identity(ADAPTERS, PUBLISHED, replies()),
        *checks.check_kept(ADAPTERS, PUBLISHED, replies()),
        *checks.check_mix(MIX),
        *checks.check_again(PUBLISHED[0], replace(PUBLISHED[0], created=False)),
    ]
    assert all(passed(found)), found


def test_one_label_in_a_hundred_that_is_not_pefts_is_found() -> None:
    scores = [Score(answers=100, tested=50, right=50, as_peft=99, worst=0.0)]
    assert passed(checks.check_agreement(scores, "openvino")) == [False]


def test_a_probability_that_is_off_in_the_fourth_decimal_is_found() -> None:
    scores = [Score(answers=1, tested=1, right=1, as_peft=1, worst=2e-4)]
    assert passed(checks.check_parity(scores, "cpu")) == [False]


def test_an_accuracy_below_a_bag_of_words_is_found() -> None:
    scores = [Score(200, tested=100, right=65, as_peft=200, worst=0.0)] * 2
    assert passed(checks.check_accuracy(ADAPTERS, scores)) == [False, False]


@pytest.mark.parametrize(
    "change", [{"digest": "sha256:two"}, {"tenant": "fernhill"}, {"version": 2}]
)
def test_an_answer_from_another_adapter_is_found(change: dict[str, str | int]) -> None:
    wrong = replies()
    wrong[0] = replace(wrong[0], **change)  # type: ignore[arg-type]
    assert passed(checks.check_identity(ADAPTERS, PUBLISHED, wrong)) == [False, True]
    assert passed(checks.check_kept(ADAPTERS, PUBLISHED, wrong)) == [False]


def test_an_id_that_was_given_twice_is_found() -> None:
    twice = [*replies(), reply(0, 0, 0.1, identity="0-1")]
    assert passed(checks.check_identity(ADAPTERS, PUBLISHED, twice)) == [True, False]


def test_batches_of_one_tenant_each_are_found() -> None:
    assert passed(checks.check_mix(replace(MIX, mixed=0.49))) == [False]


def test_a_worse_version_that_was_not_rejected_is_found() -> None:
    assert passed(checks.check_gate(Published(2, "sha256:two", True, "rejected"))) == [True]
    assert passed(checks.check_gate(Published(2, "sha256:two", True, "validated"))) == [False]
    assert passed(checks.check_gate(Published(1, "sha256:one", False, "rejected"))) == [False]


def test_an_upload_that_became_a_second_version_is_found() -> None:
    assert passed(checks.check_again(PUBLISHED[0], Published(2, "sha256:one", True))) == [False]
