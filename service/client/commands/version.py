"""How a version and its report are shown."""

from collections.abc import Mapping
from typing import Any

from service.client.commands.screen import Screen
from service.client.documents import Version

_MARKS = {True: "ok", False: "FAILED", None: "-"}


def show_version(screen: Screen, version: Version) -> None:
    """Show a version: what it is, and what its upload was found to be."""
    if screen.json:
        screen.document(version.document)
        return
    report = version.report
    facts: dict[str, object] = {
        "version": f"{version.version} of {version.tenant}.{version.adapter}",
        "state": version.state,
        "digest": version.digest,
        "backbone": version.backbone + _verified(report),
        "labels": version.labels,
        "bytes": version.bytes,
        "created": version.created_at[:19],
    }
    for name in ("license", "owner"):
        if version.metadata.get(name) is not None:
            facts[name] = version.metadata[name]
    if isinstance(report.get("summary"), str):
        facts["summary"] = report["summary"]
    facts |= _measured(report)
    if report.get("ignored"):
        facts["not taken"] = report["ignored"]
    screen.facts(facts)
    _show_checks(screen, report)


def _verified(report: Mapping[str, Any]) -> str:
    return " (unverified)" if report.get("verified_backbone") is False else ""


def _measured(report: Mapping[str, Any]) -> dict[str, object]:
    """Return the main figures of a hold-out, where one was measured."""
    measured = report.get("measured")
    if not isinstance(measured, dict):
        return {}
    told: dict[str, object] = {}
    accuracy = measured.get("accuracy")
    if isinstance(accuracy, dict) and accuracy.get("value") is not None:
        told["accuracy"] = f"{_interval(accuracy)} on {measured.get('rows')} rows"
    if measured.get("macro_f1") is not None:
        told["macro-F1"] = measured["macro_f1"]
    calibration = measured.get("calibration")
    if isinstance(calibration, dict) and isinstance(calibration.get("error"), dict):
        told["calibration error"] = _interval(calibration["error"])
    return told


def _interval(figure: Mapping[str, Any]) -> str:
    value, lower, upper = (figure.get(name) for name in ("value", "lower", "upper"))
    if value is None:
        return "not measured"
    if lower is None or upper is None:
        return f"{value:.4g}"
    return f"{value:.4g} ({lower:.4g} to {upper:.4g})"


def _show_checks(screen: Screen, report: Mapping[str, Any]) -> None:
    checks = report.get("checks")
    if not isinstance(checks, list) or not checks:
        return
    rows = [
        (_MARKS.get(check.get("passed"), "-"), check.get("name"), check.get("sentence"))
        for check in checks
        if isinstance(check, dict)
    ]
    screen.table(("check", "of", "found"), rows)
