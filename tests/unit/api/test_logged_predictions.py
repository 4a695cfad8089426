"""What the log is told of predictions: rows, base embeddings, figures, and what is left out."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.api.prediction import Asked, Backbone, Lot, Predicted
from service.api.recording import LoggedPredictions
from service.batching.answers import Answer
from service.engine.tokens import Input
from service.events.columns import check_block
from service.events.predictions import PredictionBlock
from service.events.text_figures import figures_of
from service.registry.records import Logged, Route, TenantSettings
from tests.fakes.asgi import call_with
from tests.fakes.batching import HIDDEN, probabilities_of
from tests.fakes.event_log import FakeEventLog
from tests.fakes.prediction_keys import FakeSigning
from tests.fakes.tokens import FakeTokeniser

LABELS = ("refund", "delivery")
TEXTS: list[Input] = ["where is it", ("a b", "c"), "refund me", "now"]
PLAIN = Route("acme", "support", 3, "sha256:a", LABELS, calibrated=False, role="live", revision=7)
NOW_S = 1_743_413_400.25


def route_of(**logged: Any) -> Route:
    return replace(PLAIN, settings=TenantSettings(log=Logged(**logged)))


class Recorded:
    def __init__(self, *, random: Sequence[float] = (), **options: Any) -> None:
        self.log = FakeEventLog()
        self.signing = FakeSigning()
        drawn = iter(random)
        self.recorder = LoggedPredictions(
            self.log,
            self.signing,
            **{
                "enabled": True,
                "audit_ratio": 0.25,
                "base_ratio": 0.5,
                "random": lambda: next(drawn),
                **options,
            },
        )

    def ask(self, route: Route, texts: Sequence[Input] = TEXTS, group: str | None = None) -> Asked:
        tokens = FakeTokeniser().encode(texts)
        figures = self.recorder.measure(route, texts)
        lot = self.recorder.draw(route, len(texts))
        return Asked(call_with(), texts, tokens, group, figures, lot)

    def predicted(self, asked: Asked, route: Route) -> Predicted:
        answer = answer_of(route.digest, asked)
        count = len(asked.inputs)
        return Predicted(
            Backbone("sha256:b", "fp32", "cpu"),
            route,
            answer,
            answer.probabilities.argmax(axis=1).tolist(),
            [False] * count,
            [f"id-{row}" for row in range(count)],
            [row == 0 for row in range(count)],
            7,
            NOW_S,
        )

    @property
    def block(self) -> PredictionBlock:
        [block] = self.log.blocks
        check_block(block)
        return block


def answer_of(digest: str, asked: Asked) -> Answer:
    probabilities = probabilities_of(digest, asked.tokens, len(LABELS))
    embeddings = np.arange(len(asked.inputs) * HIDDEN, dtype=np.float32).reshape(-1, HIDDEN)
    return Answer(digest, LABELS, probabilities, embeddings, 0.001, 0.002)


def test_an_answer_is_one_block_of_the_time_at_which_it_was_given() -> None:
    made = Recorded(base_ratio=0.0)
    asked = made.ask(PLAIN, group="north")
    made.recorder.predicted(asked, made.predicted(asked, PLAIN), None)
    block = made.block
    assert (block.time_s, block.role, block.revision, block.group) == (NOW_S, "live", 7, "north")
    assert (block.sample, block.audit_probability) == (1.0, 0.25)
    assert block.audit == [True, False, False, False]
    assert block.ids == ["id-0", "id-1", "id-2", "id-3"]
    assert (block.texts, block.base_embeddings, block.base_rows) == (None, None, None)


def test_figures_of_the_texts_are_logged_where_the_texts_are_not() -> None:
    made = Recorded(base_ratio=0.0)
    asked = made.ask(PLAIN)
    made.recorder.predicted(asked, made.predicted(asked, PLAIN), None)
    key = made.signing.signer.fingerprint_key
    assert made.block.figures == figures_of(TEXTS, "acme", key)
    assert made.block.texts is None
    assert not any("refund me" in str(part) for part in vars_of(made.block))


def vars_of(block: PredictionBlock) -> list[object]:
    return [getattr(block, name) for name in block.__slots__]


def test_base_embeddings_are_logged_with_the_rows_that_were_drawn() -> None:
    made = Recorded(random=[0.9, 0.1, 0.7, 0.49])
    asked = made.ask(PLAIN)
    assert asked.lot.base == [1, 3]
    base = np.ones((2, HIDDEN), np.float32)
    made.recorder.predicted(asked, made.predicted(asked, PLAIN), base)
    assert made.block.base_embeddings is base
    assert made.block.base_rows == [1, 3]


def test_what_was_drawn_and_did_not_come_is_logged_without() -> None:
    made = Recorded(random=[0.0] * 4)
    asked = made.ask(PLAIN)
    assert asked.lot.base == [0, 1, 2, 3]
    made.recorder.predicted(asked, made.predicted(asked, PLAIN), None)
    assert made.block.base_embeddings is None
    assert len(made.block) == 4


def test_no_row_is_drawn_for_the_bare_backbone_that_is_not_logged() -> None:
    made = Recorded(random=[0.3, 0.05, 0.9, 0.1], base_ratio=0.5)
    route = route_of(sample=0.2)
    asked = made.ask(route)
    assert asked.lot.base == [1], "half of the fifth that is logged"
    base = np.full((1, HIDDEN), 2.0, np.float32)
    made.recorder.predicted(asked, made.predicted(asked, route), base)
    block = made.block
    assert (block.ids, block.sample) == (["id-1", "id-3"], 0.2)
    assert block.base_rows == [0]
    assert block.base_embeddings is not None
    assert block.base_embeddings.tolist() == base.tolist()
    assert block.figures == figures_of(
        [TEXTS[1], TEXTS[3]], "acme", made.signing.signer.fingerprint_key
    )


def test_shares_are_what_the_settings_say() -> None:
    draw = np.random.default_rng(1)
    made = Recorded(base_ratio=0.1)
    made.recorder = LoggedPredictions(
        made.log, made.signing, enabled=True, audit_ratio=0.0, base_ratio=0.1, random=draw.random
    )
    lot = made.recorder.draw(route_of(sample=0.5), 100_000)
    assert len(lot.base) == pytest.approx(5_000, abs=300)
    assert sum(one < 0.5 for one in lot.draws) == pytest.approx(50_000, abs=800)
    assert all(lot.draws[row] < 0.5 for row in lot.base)


NO_BASE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"base_ratio": 0.0}, {}),
    ({"enabled": False}, {}),
    ({}, {"embedding": False}),
    ({}, {"sample": 0.0}),
]


@pytest.mark.parametrize(("options", "logged"), NO_BASE)
def test_nothing_is_embedded_that_the_log_would_not_keep(
    options: dict[str, Any], logged: dict[str, Any]
) -> None:
    made = Recorded(random=[0.0] * 4, **options)
    assert made.recorder.draw(route_of(**logged), 4) == Lot()


@pytest.mark.parametrize(("options", "logged"), [NO_BASE[1], NO_BASE[3]])
def test_of_what_is_not_logged_nothing_is_measured(
    options: dict[str, Any], logged: dict[str, Any]
) -> None:
    made = Recorded(**options)
    route = route_of(**logged)
    asked = made.ask(route)
    assert asked.figures is None
    made.recorder.predicted(asked, made.predicted(asked, route), None)
    assert made.log.blocks == []


def test_a_shadow_is_logged_under_the_callers_ids_with_the_same_rows_and_no_base() -> None:
    made = Recorded(random=[0.3, 0.05, 0.9, 0.1])
    route = route_of(sample=0.2)
    shadow = replace(route, version=4, digest="sha256:s", role="shadow")
    asked = made.ask(route)
    live = made.predicted(asked, route)
    made.recorder.predicted(asked, live, np.ones((1, HIDDEN), np.float32))
    made.recorder.shadowed(asked, live, shadow, answer_of("sha256:s", asked))
    first, second = made.log.blocks
    check_block(second)
    assert (second.role, second.version, second.digest) == ("shadow", 4, "sha256:s")
    assert second.ids == first.ids == ["id-1", "id-3"]
    assert second.audit == first.audit
    assert second.sample == first.sample == 0.2
    assert second.figures == first.figures
    assert (second.base_embeddings, second.base_rows) == (None, None)


@pytest.mark.parametrize("text", [True, False])
def test_texts_are_given_to_the_log_where_the_tenant_wants_them(text: bool) -> None:
    made = Recorded(base_ratio=0.0)
    route = route_of(text=text)
    asked = made.ask(route)
    made.recorder.predicted(asked, made.predicted(asked, route), None)
    assert made.block.texts == (["where is it", "a b\nc", "refund me", "now"] if text else None)


def test_after_a_rotation_texts_have_other_fingerprints() -> None:
    made = Recorded(base_ratio=0.0)
    before = made.recorder.measure(PLAIN, TEXTS)
    made.signing.signer = type(made.signing.signer)({1: b"l" * 32}, 1)
    after = made.recorder.measure(PLAIN, TEXTS)
    assert before is not None
    assert after is not None
    assert not set(before.fingerprints) & set(after.fingerprints)
    assert before.bytes == after.bytes
