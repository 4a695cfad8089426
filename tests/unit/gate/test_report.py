import json

from service.api.report_example import REPORT_EXAMPLE
from service.gate.figures import HoldoutFile, measure
from service.gate.report import Report, report_of
from service.gate.verdict import Thresholds, judge, outcome_of
from tests.fakes.gating import run_of
from tests.fakes.manifests import manifest_of
from tests.fakes.packages import package_of

MANIFEST = manifest_of("bert", endings=("layer.0.attention.self.query",))
PACKAGE = package_of(MANIFEST, license="MIT")


def report(rows: int, share: float, live: float) -> Report:
    measured = measure(run_of(rows, share, live=live), HoldoutFile("sha256:x", rows))
    checks = judge(measured, Thresholds())
    return report_of(PACKAGE, 5, measured, checks, verdict=outcome_of(checks))


def test_without_a_hold_out_the_report_says_that_nothing_was_measured() -> None:
    found = report_of(PACKAGE, 5, None, (), verdict="validated").document()
    assert found["measured"] is None
    assert found["checks"] == []
    assert found["verdict"] == "validated"
    assert "nothing was measured" in found["summary"]
    assert found["rank"] == 4
    assert found["content"] == PACKAGE.digest
    assert found["license"] == "MIT"
    assert found["probe"] == {"texts": 5, "passed": True}


def test_a_sound_version_s_summary_is_its_accuracy() -> None:
    assert report(300, 0.9, 0.9).summary.startswith("validated: accuracy 0.9")


def test_a_rejected_version_s_summary_says_why() -> None:
    found = report(500, 0.6, 0.9)
    assert found.verdict == "rejected"
    assert found.summary.startswith("rejected: accuracy less that of the live version 1 is -")
    assert "surely more than 2 points below it" in found.summary


def test_a_report_is_plain_json_and_can_be_read_back() -> None:
    for rows in (1, 15, 300):
        document = report(rows, 0.9, 0.9).document()
        kept = json.loads(json.dumps(document, allow_nan=False))
        assert Report.model_validate(kept).document() == document


def test_the_example_is_a_whole_report() -> None:
    example = Report.model_validate(REPORT_EXAMPLE)
    assert example.measured is not None
    assert example.document() == REPORT_EXAMPLE
    assert example.measured.live.difference is not None
    assert example.measured.baseline.difference is not None
    assert example.measured.repaired is not None
    assert tuple(example.checks) == judge(example.measured, Thresholds())
