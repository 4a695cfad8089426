"""The controller over a real registry and a real log, at times of the test's choosing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.events.reader import LogReader
from service.metrics import Metrics
from service.registry.records import TenantSettings
from service.registry.registry import Registry
from service.trials.controller import ACTOR, Controller, Mode
from service.trials.trial import MEASURES
from tests.fakes.logs import ACME, DAY_S, Version, WrittenLog, written_log
from tests.fakes.manifests import manifest_of
from tests.fakes.packages import package_of
from tests.unit.trials.conftest import RegistryClock

LIVE, CANARY = Version(version=1), Version(version=2)
LABELS = ("refund", "delivery", "other")


@dataclass
class World:
    """A registry, the log that a service would write, and controllers on both."""

    registry: Registry
    metrics: Metrics
    folder: Path
    log: WrittenLog
    clock: RegistryClock
    controllers: list[Controller] = field(default_factory=list)
    asked: int = 0
    now_s: float = DAY_S

    def controller(self, mode: Mode = "off", **given: Any) -> Controller:
        made = Controller(self.registry, self.folder, self.metrics, mode=mode, alpha=0.01, **given)
        self.controllers.append(made)
        return made

    def roll(self, **document: Any) -> int:
        self.now_s += 10.0
        self.clock.now_s = self.now_s
        rollout = self.registry.set_rollout("acme", "support", document, None, "ann")
        return rollout.revision

    def put_up(self, percent: float = 50.0) -> int:
        return self.roll(live=1, canary={"version": 2, "percent": percent})

    def answer(
        self, said: str, *, canary: bool, twin: str | None = None, took_s: float = 0.005
    ) -> str:
        """Log one answer of a version, and of its twin; return its id."""
        self.asked += 1
        self.now_s += 0.5
        revision = self.registry.rollout("acme", "support").revision
        ids = [f"id-{self.asked}"]
        common: dict[str, Any] = {
            "time_s": self.now_s,
            "ids": ids,
            "revision": revision,
            "compute_s": took_s,
            "request_id": f"request-{self.asked}",
            "alone": twin is None,
        }
        role, version = ("canary", CANARY) if canary else ("live", LIVE)
        self.log.predictions(None, _of(said), version=version, role=role, **common)
        if twin is not None:
            other = LIVE if canary else CANARY
            common["alone"] = None
            self.log.predictions(None, _of(twin), version=other, role="paired", **common)
        return ids[0]

    def label(self, name: str, truth: str) -> None:
        self.log.label(name, LABELS.index(truth), time_s=self.now_s)

    def round(self, said: str, *, truth: str = "refund") -> None:
        """Log an answer of each version with its twin, where live says `refund`; and labels."""
        mine = self.answer(said, canary=True, twin="refund")
        others = self.answer("refund", canary=False, twin=said)
        self.label(mine, truth)
        self.label(others, truth)

    def wait(self, seconds: float) -> None:
        self.log.flush()
        self.now_s += seconds
        self.log.clock.follow(self.now_s)


def _of(said: str) -> Any:
    probabilities = np.full((1, len(LABELS)), 0.1, np.float32)
    probabilities[0, LABELS.index(said)] = 0.8
    return probabilities


@pytest.fixture
def world(
    registry: Registry, metrics: Metrics, tmp_path: Path, registry_clock: RegistryClock
) -> Iterator[World]:
    folder = tmp_path / "state" / "events"
    with written_log(folder) as log:
        made = World(registry, metrics, folder, log, registry_clock)
        yield made
        for controller in made.controllers:
            controller.stop()


def verdict_of(controller: Controller) -> str | None:
    found = controller.comparison("acme", "support")
    return None if found is None else found.verdict


def until_worse(controller: Controller, step: Callable[[], None]) -> None:
    for _ in range(80):
        step()
        controller.tick()
        if verdict_of(controller) in ("worse", None):
            return
    raise AssertionError("it was never called worse")


def test_a_canary_that_is_wrong_is_taken_out_and_live_stays(world: World) -> None:
    controller = world.controller("canary")
    world.put_up()
    until_worse(controller, lambda: world.round("delivery"))
    rollout = world.registry.rollout("acme", "support")
    assert (rollout.live, rollout.canary, rollout.actor) == (1, None, ACTOR)
    line = world.registry.last_automatic_rollback("acme", "support")
    assert line is not None
    assert line.after["reason"].startswith("accuracy: Version 2 is less accurate than version 1")
    assert line.after["evidence"]["canary"]["accuracy"] == 0.0
    assert line.after["evidence"]["evidence_log10"]["accuracy"] >= 2.0
    assert line.before["canary"] == {"version": 2, "percent": 50.0}
    value = world.metrics.registry.get_sample_value
    assert value("tenantry_automatic_rollbacks_total", {"reason": "accuracy"}) == 1
    controller.tick()
    assert controller.comparison("acme", "support") is None


@pytest.mark.parametrize(("mode", "told"), [("off", "is worse"), ("canary", "is rolled back")])
def test_the_log_says_which_canary_is_worse(
    world: World, caplog: pytest.LogCaptureFixture, mode: Mode, told: str
) -> None:
    controller = world.controller(mode)
    world.put_up()
    until_worse(controller, lambda: world.round("delivery"))
    controller.tick()
    [line] = [record for record in caplog.records if record.name == "service.trials.controller"]
    expected = f"canary acme.support version 2 {told}: Version 2 is less accurate than version 1"
    assert line.getMessage().startswith(expected)
    assert vars(line)["fields"] == {
        "tenant": "acme",
        "adapter": "support",
        "version": 2,
        "against": 1,
        "verdict": "worse",
        "cause": "accuracy",
    }


def test_shadows_and_what_was_forced_stay(world: World) -> None:
    controller = world.controller("canary")
    world.roll(
        live=1,
        canary={"version": 2, "percent": 50.0},
        shadow=[3],
        force={"reason": "an operator wants it"},
    )
    until_worse(controller, lambda: world.round("delivery"))
    rollout = world.registry.rollout("acme", "support")
    assert (rollout.canary, rollout.shadows, rollout.forced) == (None, (3,), "an operator wants it")


def test_a_rollback_by_a_person_does_not_bring_the_canary_back(world: World) -> None:
    world.roll(live=3)
    controller = world.controller("canary")
    world.roll(live=1)
    world.put_up()
    until_worse(controller, lambda: world.round("delivery"))
    rollout = world.registry.rollback("acme", "support", None, "ann")
    assert (rollout.live, rollout.canary) == (3, None)


def test_unless_told_so_it_only_tells(world: World) -> None:
    controller = world.controller("off")
    revision = world.put_up()
    until_worse(controller, lambda: world.round("delivery"))
    assert verdict_of(controller) == "worse"
    assert world.registry.rollout("acme", "support").revision == revision
    labels = {"tenant": "acme", "adapter": "support", "version": "2"}
    value = world.metrics.registry.get_sample_value
    info = {**labels, "live": "1", "percent": "50", "verdict": "worse"}
    assert value("tenantry_canary_info", info) == 1
    evidence = value("tenantry_canary_evidence_log10", {**labels, "measure": "accuracy"})
    assert evidence is not None
    assert evidence >= 2.0
    rows = value("tenantry_canary_rows", {**labels, "arm": "canary", "kind": "labelled"})
    assert rows is not None
    assert rows >= 5
    world.roll(live=1)
    controller.tick()
    assert value("tenantry_canary_info", info) is None


def test_a_canary_that_says_the_same_stays(world: World) -> None:
    controller = world.controller("canary")
    revision = world.put_up()
    for number in range(60):
        world.round("refund", truth="refund" if number % 5 else "other")
    controller.tick()
    assert verdict_of(controller) == "no_difference_yet"
    assert world.registry.rollout("acme", "support").revision == revision
    found = controller.comparison("acme", "support")
    assert found is not None
    assert (found.agreement, found.agreement_rows, found.paired) == (1.0, 60, 120)
    assert (found.canary.accuracy, found.live.accuracy) == (0.8, 0.8)
    assert found.accuracy is not None
    assert found.accuracy.interval.point == 0.0


def test_without_pairs_nothing_is_said_of_accuracy(world: World) -> None:
    controller = world.controller("canary")
    revision = world.put_up()
    for _ in range(60):
        for canary in (True, False):
            said = "delivery" if canary else "refund"
            world.label(world.answer(said, canary=canary), "refund")
    controller.tick()
    assert world.registry.rollout("acme", "support").revision == revision
    found = controller.comparison("acme", "support")
    assert found is not None
    assert found.verdict == "no_difference_yet"
    assert found.sentence.startswith("Nothing can be proven of the accuracy of version 2")
    assert found.evidence["accuracy"] < 0.0


@pytest.mark.parametrize("of_live", [0, 2])
def test_of_labels_of_one_version_alone_nothing_is_said(world: World, of_live: int) -> None:
    controller = world.controller("canary")
    revision = world.put_up()
    for number in range(60):
        world.label(world.answer("delivery", canary=True, twin="refund"), "refund")
        name = world.answer("refund", canary=False, twin="delivery")
        if number < of_live:
            world.label(name, "refund")
    controller.tick()
    assert world.registry.rollout("acme", "support").revision == revision
    found = controller.comparison("acme", "support")
    assert found is not None
    assert found.sentence == (
        "Nothing can be proven of the accuracy of version 2: of the requests that both answered, 60"
        f" that version 2 answered for the caller have labels, and {of_live} of version 1. Label"
        " answers of both alike."
    )


def test_complaints_alone_take_no_canary_out_that_is_as_good(world: World) -> None:
    controller = world.controller("canary")
    revision = world.put_up()
    for _ in range(60):  # each is wrong where the other one is right, and only that is labelled
        for canary in (True, False):
            world.label(world.answer("delivery", canary=canary, twin="refund"), "refund")
    controller.tick()
    assert world.registry.rollout("acme", "support").revision == revision
    found = controller.comparison("acme", "support")
    assert found is not None
    assert found.labels_told_by_answers
    assert found.verdict == "no_difference_yet"
    assert found.accuracy is not None
    assert found.accuracy.interval.point == 0.0


def test_complaints_alone_take_a_canary_out_that_is_worse(world: World) -> None:
    controller = world.controller("canary")
    world.put_up()

    def step() -> None:
        for number in range(4):  # four complaints about the canary to one about live
            world.label(world.answer("delivery", canary=True, twin="refund"), "refund")
            name = world.answer(
                "delivery" if number == 0 else "refund", canary=False, twin="refund"
            )
            if number == 0:
                world.label(name, "refund")

    until_worse(controller, step)
    assert world.registry.rollout("acme", "support").canary is None


def test_a_canary_that_fails_is_taken_out(world: World) -> None:
    controller = world.controller("canary")
    world.put_up(10.0)

    def step() -> None:
        for _ in range(9):
            world.answer("refund", canary=False)
        world.log.failures(1, time_s=world.now_s, version=CANARY, role="canary")
        world.wait(10.0)

    until_worse(controller, step)
    rollout = world.registry.rollout("acme", "support")
    assert (rollout.canary, rollout.actor) == (None, ACTOR)
    line = world.registry.last_automatic_rollback("acme", "support")
    assert line is not None
    assert line.after["reason"].startswith("failures: Version 2 fails more often")


def test_failures_that_hit_both_take_no_canary_out(world: World) -> None:
    controller = world.controller("canary")
    revision = world.put_up(50.0)
    for _ in range(40):
        for canary in (True, False):
            world.answer("refund", canary=canary)
        world.log.failures(3, time_s=world.now_s, version=CANARY, role="canary")
        world.log.failures(3, time_s=world.now_s, version=LIVE, role="live")
        world.wait(10.0)
    controller.tick()
    assert world.registry.rollout("acme", "support").revision == revision
    found = controller.comparison("acme", "support")
    assert found is not None
    assert (found.canary.failed, found.live.failed) == (120, 120)


def test_one_cold_load_takes_no_canary_out_and_lasting_slowness_does(world: World) -> None:
    controller = world.controller("canary")
    revision = world.put_up(10.0)

    def span(took_s: float) -> None:
        for _ in range(9):
            world.answer("refund", canary=False)
        world.answer("refund", canary=True, took_s=took_s)
        world.wait(10.0)

    for _ in range(20):  # all of them in one stall
        world.answer("refund", canary=True, took_s=3.0)
        world.now_s -= 0.5
    for _ in range(5):
        span(0.005)
    controller.tick()
    assert world.registry.rollout("acme", "support").revision == revision
    until_worse(controller, lambda: span(3.0))
    line = world.registry.last_automatic_rollback("acme", "support")
    assert line is not None
    assert line.after["reason"].startswith("latency: Version 2 exceeds 0.5 s more often")


def test_a_canary_that_is_quarantined_goes_at_once(world: World) -> None:
    controller = world.controller("canary")
    world.put_up()
    controller.tick()
    world.log.quarantine(time_s=world.now_s + 1.0, version=CANARY)
    controller.tick()
    line = world.registry.last_automatic_rollback("acme", "support")
    assert line is not None
    assert line.after["reason"].startswith("quarantine: Version 2 gave numbers")
    assert world.registry.rollout("acme", "support").canary is None


def test_a_canary_whose_adapter_is_out_of_service_here_goes_at_once(world: World) -> None:
    digest = world.registry.version("acme", "support", 2).digest
    controller = world.controller("canary", quarantined=lambda: (digest,))
    world.put_up()
    controller.tick()
    assert world.registry.rollout("acme", "support").canary is None


def test_a_live_version_that_is_quarantined_is_left_to_a_person(world: World) -> None:
    controller = world.controller("canary")
    revision = world.put_up()
    controller.tick()
    world.log.quarantine(time_s=world.now_s + 1.0, version=LIVE)
    controller.tick()
    assert world.registry.rollout("acme", "support").revision == revision


def test_a_live_version_goes_back_to_the_one_before_only_where_it_is_told_so_and_that_is_there(
    world: World,
) -> None:
    world.roll(live=3)
    world.roll(live=1, shadow=[3])
    told, bold = world.controller("canary"), world.controller("live")
    for controller in (told, bold):
        controller.tick()
    world.log.quarantine(time_s=world.now_s + 1.0, version=LIVE)
    told.tick()
    assert world.registry.rollout("acme", "support").live == 1
    bold.tick()
    rollout = world.registry.rollout("acme", "support")
    assert (rollout.live, rollout.shadows, rollout.actor) == (3, (), ACTOR)
    line = world.registry.last_automatic_rollback("acme", "support")
    assert line is not None
    assert line.after["evidence"]["watched"] == "live"
    world.log.quarantine(time_s=world.now_s + 2.0, version=Version(version=3))
    bold.tick()
    assert world.registry.rollout("acme", "support").live == 3, "there is none to go back to"


def test_a_live_version_that_audits_find_worse_than_the_one_before_goes_back(
    world: World,
) -> None:
    world.roll(live=3)
    revision = world.roll(live=1, shadow=[3])
    controller = world.controller("live")

    def step(*, audit: bool = True) -> None:
        name = world.answer("delivery", canary=False)
        twin: dict[str, Any] = {
            "time_s": world.now_s,
            "ids": [name],
            "revision": revision,
            "role": "shadow",
        }
        world.log.predictions(None, _of("refund"), version=Version(version=3), **twin)
        world.log.label(name, LABELS.index("refund"), time_s=world.now_s, audit=audit)

    for _ in range(30):
        step(audit=False)
    controller.tick()
    assert world.registry.rollout("acme", "support").revision == revision, "nobody drew those"
    for _ in range(40):
        step()
    controller.tick()
    rollout = world.registry.rollout("acme", "support")
    assert (rollout.live, rollout.actor) == (3, ACTOR)


def test_whoever_begins_again_comes_to_the_same(world: World) -> None:
    before = world.controller()
    world.put_up()
    before.tick()
    for number in range(30):
        world.round("delivery" if number % 4 == 0 else "refund")
        if number % 7 == 0:
            before.tick()
            world.wait(12.0)
    before.tick()
    after = world.controller()
    after.tick()
    assert before.comparison("acme", "support") == after.comparison("acme", "support")
    assert after.comparison("acme", "support") is not None


def test_another_percent_is_the_same_trial(world: World) -> None:
    controller = world.controller()
    world.put_up(10.0)
    for _ in range(10):
        world.round("refund")
    controller.tick()
    world.put_up(50.0)
    for _ in range(5):
        world.round("refund")
    controller.tick()
    found = controller.comparison("acme", "support")
    assert found is not None
    assert (found.percent, found.canary.labelled) == (50.0, 15)
    again = world.controller()
    again.tick()
    assert again.comparison("acme", "support") == found


def test_a_canary_that_is_put_up_again_begins_anew(world: World) -> None:
    controller = world.controller("canary")
    world.put_up()
    until_worse(controller, lambda: world.round("delivery"))
    old = world.answer("delivery", canary=True)
    world.put_up()
    world.round("refund")
    world.label(old, "refund")
    controller.tick()
    found = controller.comparison("acme", "support")
    assert found is not None
    assert (found.canary.labelled, found.canary.accuracy, found.canary.rows) == (1, 1.0, 1)


def test_of_two_controllers_the_second_finds_it_done(world: World) -> None:
    first, second = world.controller("canary"), world.controller("canary")
    world.put_up()
    second.tick()
    stale = world.registry.routes()
    until_worse(first, lambda: world.round("delivery"))
    revision = world.registry.rollout("acme", "support").revision
    second._registry = _Stale(world.registry, stale)  # it has not heard of it yet
    second.tick()
    assert verdict_of(second) == "worse"
    assert world.registry.rollout("acme", "support").revision == revision
    value = world.metrics.registry.get_sample_value
    assert value("tenantry_automatic_rollbacks_total", {"reason": "accuracy"}) == 1


class _Stale:
    """A registry whose routes are those of a while ago."""

    def __init__(self, registry: Registry, routes: Any) -> None:
        self._routes = routes
        self.take_out_canary = registry.take_out_canary
        self.return_to_shadow = registry.return_to_shadow
        self.way_back = registry.way_back
        self.begin_of_trial = registry.begin_of_trial

    def routes(self) -> Any:
        return self._routes


def test_a_trial_that_begins_later_reads_what_was_read_already(world: World) -> None:
    first = world.controller()
    world.registry.put_tenant("globex", TenantSettings(), "test")
    for seed in (8, 9):
        package = package_of(manifest_of(), seed=seed)
        world.registry.publish("globex", "support", package, {}, "ann")
    world.registry.set_rollout("globex", "support", {"live": 1}, None, "ann")
    rollout = {"live": 1, "canary": {"version": 2, "percent": 50.0}}
    world.registry.set_rollout("globex", "support", rollout, None, "ann")
    first.tick()
    routes = world.registry.routes()
    world.put_up()
    first._registry = _Stale(world.registry, routes)  # it has not heard of it yet
    for _ in range(3):
        world.round("refund")
    first.tick()
    first._registry = world.registry
    world.round("refund")
    first.tick()
    second = world.controller()
    second.tick()
    found = first.comparison("acme", "support")
    assert found is not None
    assert found.paired == 8
    assert found == second.comparison("acme", "support")


def test_it_holds_no_segment_back(world: World) -> None:
    controller = world.controller()
    world.put_up()
    world.round("refund")
    controller.tick()
    assert verdict_of(controller) == "collecting"
    assert not (world.folder / "readers").exists()


def test_without_a_canary_it_reads_nothing(world: World) -> None:
    controller = world.controller()
    world.log.predictions(None, _of("refund"), time_s=world.now_s, version=ACME)
    controller.tick()
    assert controller.comparison("acme", "support") is None
    assert controller._following._reader is None


def test_evidence_begins_at_nothing(world: World) -> None:
    controller = world.controller()
    world.put_up()
    controller.tick()
    found = controller.comparison("acme", "support")
    assert found is not None
    assert (found.verdict, found.canary.accuracy, found.latency) == ("collecting", None, None)
    assert all(found.evidence[measure] < 0.0 for measure in MEASURES)
    with LogReader(world.folder, "test") as reader:
        assert not list(reader.batches())
