from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from service import measures
from service.engine.errors import InvalidAdapter
from service.errors import UnknownAdapter, UnknownVersion
from service.gate.inputs import HoldoutTexts
from service.gate.measure import Measurer
from service.gate.rows import ReferenceRows
from service.gate.upload_gate import Judged, UploadGate, thresholds_of
from service.gate.verdict import Thresholds
from service.registry.records import Rollout, Route
from service.settings import Settings
from service.uploads.package import Package
from tests.fakes.gating import ClassTokeniser, HoldoutFake, holdout_of, route_of
from tests.fakes.manifests import manifest_of
from tests.fakes.packages import labels_of, package_of

pytestmark = pytest.mark.anyio

MANIFEST = manifest_of("bert", endings=("layer.0.attention.self.query",))
LABELS = tuple(labels_of())


@dataclass
class LiveFake:
    """A registry with one rollout."""

    live: int | None = None
    error: Exception | None = None
    routes: dict[int, Route] = field(default_factory=dict)

    def rollout(self, tenant: str, adapter: str) -> Rollout:
        if self.error is not None:
            raise self.error
        return Rollout(tenant, adapter, 1, self.live, None, "tests", None)

    def route(self, tenant: str, adapter: str, version: int | None) -> Route:
        assert (tenant, adapter) == ("acme", "support")
        if version not in self.routes:
            raise UnknownVersion("gone")
        return self.routes[version]


def package(rows: int = 60, wrong: int = 6, **metadata: Any) -> Package:
    others = {"holdout.jsonl": holdout_of(LABELS, rows, wrong)} if rows else {}
    return package_of(MANIFEST, others=others, **metadata)


async def judge(
    package: Package,
    live: LiveFake | None = None,
    batcher: HoldoutFake | None = None,
    thresholds: Thresholds | None = None,
    rows_max: int = 1000,
) -> Judged:
    measurer = Measurer(batcher or HoldoutFake(), HoldoutTexts(ClassTokeniser()), 5.0)
    gate = UploadGate(live or LiveFake(), measurer, thresholds or Thresholds(), rows_max)
    return await gate.judge("acme", "support", package, 5)


def reference_of(judged: Judged) -> ReferenceRows:
    assert judged.reference is not None
    return judged.reference


async def test_without_a_hold_out_nothing_is_run() -> None:
    batcher = HoldoutFake()
    found = await judge(package(rows=0), batcher=batcher)
    assert batcher.jobs == []
    assert found.verdict == "validated"
    assert found.reference is None
    assert found.report["measured"] is None
    assert "nothing was measured" in found.report["summary"]


async def test_with_a_hold_out_the_report_has_its_figures_and_the_reference_its_rows() -> None:
    found = await judge(package())
    assert found.report["measured"]["accuracy"]["value"] == pytest.approx(0.9)
    assert found.report["measured"]["live"]["reason"] == "no version is live"
    reference = reference_of(found)
    assert (reference.predicted == reference.correct).mean() == pytest.approx(0.9)
    assert reference.probabilities.shape == (60, 3)
    assert reference.embeddings.shape[0] == reference.base_embeddings.shape[0] == 60
    assert len(reference.facts) == 60


async def test_of_a_large_hold_out_a_part_is_measured() -> None:
    found = await judge(package(rows=200, wrong=0), rows_max=50)
    assert found.report["measured"]["rows"] == 50
    assert found.report["measured"]["rows_sent"] == found.report["holdout_rows"] == 200
    assert len(reference_of(found).correct) == 50


async def test_a_version_that_is_worse_than_the_live_one_is_rejected() -> None:
    live = LiveFake(live=4, routes={4: route_of(4, labels=LABELS)})
    batcher = HoldoutFake(labels={"sha256:live": LABELS})
    same = await judge(package(), live, batcher)
    assert same.verdict == "validated"
    assert same.report["measured"]["live"]["version"] == 4

    @dataclass
    class Worse(HoldoutFake):
        """Gives the new version's texts the wrong class."""

        async def answer(self, job: Any) -> Any:
            answer = await super().answer(job)
            if job.brings is None:
                return answer
            turned = np.roll(answer.probabilities, 1, axis=1)
            return type(answer)(
                answer.digest, answer.labels, turned, answer.embeddings, 0.0, answer.compute_s
            )

    worse = await judge(package(), live, Worse(labels={"sha256:live": LABELS}))
    assert worse.verdict == "rejected"
    assert worse.report["verdict"] == "rejected"
    assert "surely more than 2 points below it" in worse.report["summary"]


@pytest.mark.parametrize(
    ("live", "reason"),
    [
        (LiveFake(error=UnknownAdapter("none")), "this is the adapter's first version"),
        (LiveFake(live=None), "no version is live"),
        (LiveFake(live=3), "version 3 was made for another bundle, or has just gone"),
    ],
)
async def test_where_there_is_nothing_to_compare_with_the_report_says_why(
    live: LiveFake, reason: str
) -> None:
    found = await judge(package(), live)
    assert found.verdict == "validated"
    assert found.report["measured"]["live"]["reason"] == reason


async def test_a_temperature_is_fitted_where_it_is_asked_for() -> None:
    given = package(rows=120, wrong=48, calibrated=True)  # sure to 0.9, right in 0.6
    found = await judge(given)
    fitted = found.package.metadata.temperature
    assert fitted is not None
    assert fitted > 1.5
    assert found.package.adapter.temperature == fitted
    assert found.package.digest != given.digest
    assert found.report["content"] == found.package.content == given.digest
    measured = found.report["measured"]
    assert measured["temperature"] == {"applied": fitted, "fitted": fitted, "at_bound": False}
    assert measured["calibration"]["error"]["value"] < 0.1
    assert measured["uncalibrated"]["error"]["value"] > 0.25
    served = reference_of(found).probabilities.max(axis=1)
    np.testing.assert_allclose(served, served[0])
    expected = measures.apply_temperature(np.array([[0.9, 0.05, 0.05]]), fitted)[0, 0]
    assert served[0] == pytest.approx(expected, rel=1e-5)


async def test_the_same_hold_out_gives_the_same_temperature() -> None:
    first = await judge(package(rows=120, wrong=30, calibrated=True))
    again = await judge(package(rows=120, wrong=30, calibrated=True))
    assert first.package.digest == again.package.digest


async def test_what_is_served_is_judged_and_not_what_was_before_the_temperature() -> None:
    strict = Thresholds(calibration_error_max=0.15)
    plain = await judge(package(rows=120, wrong=48), thresholds=strict)
    fitted = await judge(package(rows=120, wrong=48, calibrated=True), thresholds=strict)
    assert plain.verdict == "rejected"
    assert fitted.verdict == "validated"


async def test_a_temperature_that_was_given_is_left_as_it_is() -> None:
    given = package(rows=120, wrong=48, calibrated=True, temperature=2.0)
    found = await judge(given)
    assert found.package is given
    assert found.report["measured"]["temperature"]["applied"] == 2.0
    assert found.report["measured"]["uncalibrated"] is None


@pytest.mark.parametrize(
    ("rows", "wrong", "what"),
    [(19, 5, "has 19 rows, and a temperature needs 20"), (60, 0, "fits no temperature")],
)
async def test_a_hold_out_that_fits_no_temperature_is_refused(
    rows: int, wrong: int, what: str
) -> None:
    with pytest.raises(InvalidAdapter) as caught:
        await judge(package(rows, wrong, calibrated=True))
    (problem,) = caught.value.problems
    assert problem.where == "holdout.jsonl"
    assert what in problem.what


def test_thresholds_are_those_of_the_settings(tmp_path: Any) -> None:
    settings = Settings(
        bundle=tmp_path,
        state=tmp_path,
        gate_accuracy_drop_max=0.1,
        gate_baseline_drop_max=-0.1,
        gate_calibration_error_max=0.2,
    )
    assert thresholds_of(settings) == Thresholds(0.1, -0.1, 0.2)
    assert thresholds_of(Settings(bundle=tmp_path, state=tmp_path)) == Thresholds()
