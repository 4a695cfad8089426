"""The model card of a version: Markdown, made from its metadata and its report.

Metadata comes from strangers. Every text of theirs is escaped where it stands in a line, and their
own card stands below in a fence that it cannot close, so whoever turns the page into HTML shows
their text and runs nothing of it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from service.registry.records import Version

_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-.!|~:@$^=/])")
_LABELS_MAX = 50


def card_of(version: Version, own: str | None) -> str:
    """Return the card; `own` is the text that the upload brought."""
    metadata, report = version.metadata, version.report
    lines = [f"# {version.tenant}.{version.adapter}, version {version.version}", ""]
    if report.get("summary"):
        lines += [_ours(report["summary"]), ""]
    lines += _table(("", ""), _facts(version, metadata, report))
    measured = report.get("measured")
    if isinstance(measured, Mapping):
        lines += _measured(measured)
    checks = report.get("checks")
    if checks:
        lines += ["", "## Checks", ""]
        lines += _table(("check", "passed", "found"), map(_check, checks))
    lines += ["", "## Labels", ""]
    lines += [f"{number}. {_theirs(label)}" for number, label in _first_labels(version.labels)]
    if len(version.labels) > _LABELS_MAX:
        lines += ["", f"and {len(version.labels) - _LABELS_MAX} more."]
    if own is not None and own.strip():
        lines += ["", "## From its owner", "", *_fenced(own)]
    return "\n".join(lines) + "\n"


def _facts(
    version: Version, metadata: Mapping[str, Any], report: Mapping[str, Any]
) -> Iterable[tuple[str, str]]:
    dataset = metadata.get("dataset") or {}
    yield "state", _ours(version.state)
    yield "digest", f"`{version.digest}`"
    yield "backbone", f"`{version.backbone}`"
    yield "published", _ours(version.created_at)
    yield "owner", _theirs(metadata.get("owner"))
    yield "licence", _theirs(metadata.get("license"))
    yield "data set", _theirs(dataset.get("id"))
    yield "collected until", _theirs(dataset.get("collected_until"))
    yield "LoRA rank", _ours(report.get("rank"))
    yield "bytes", _ours(version.bytes)
    yield "calibrated", _ours("yes" if metadata.get("calibrated") else "no")
    yield "signed by", _theirs(report.get("signed_by"))


def _measured(measured: Mapping[str, Any]) -> list[str]:
    calibration = measured["calibration"]
    rows = [
        ("accuracy", _figure(measured["accuracy"])),
        ("macro F1", _number(measured["macro_f1"])),
        *_calibration("", calibration),
    ]
    if measured["uncalibrated"] is not None:
        rows += _calibration(" before the temperature", measured["uncalibrated"])
    elif measured["repaired"] is not None:
        rows += _calibration(" with the cross-fitted temperature", measured["repaired"])
    temperature = measured["temperature"]
    rows += [
        ("temperature of what is served", _number(temperature["applied"])),
        ("temperature that fits the hold-out", _number(temperature["fitted"])),
        *_beside("live version", measured["live"], measured["live"]["version"]),
        *_beside("nearest centroids on the bare backbone", measured["baseline"], None),
        ("compute seconds a text, median", _number(measured["latency"]["p50_s"])),
        ("compute seconds a text, 95th percentile", _number(measured["latency"]["p95_s"])),
    ]
    head = (
        f"On {measured['rows']} of the {measured['rows_sent']} rows of its hold-out"
        f" (`{measured['holdout']}`), with intervals of 95 %. Times were taken under"
        " whatever else the server did meanwhile."
    )
    return ["", "## Measured", "", head, "", *_table(("figure", "value"), rows)]


def _calibration(when: str, found: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (f"calibration error{when}", _figure(found["error"])),
        (f"Brier score of the top label{when}", _number(found["brier"])),
        (f"log loss{when}", _number(found["log_loss"])),
        (f"score less share that is right{when}", _figure(found["confidence_gap"])),
    ]


def _beside(whom: str, found: Mapping[str, Any], version: int | None) -> list[tuple[str, str]]:
    name = whom if version is None else f"{whom} ({version})"
    if found["difference"] is None:
        return [(f"against {name}", _ours(found["reason"]))]
    return [
        (f"accuracy of {name}", _figure(found["accuracy"])),
        (f"accuracy less that of {name}", _figure(found["difference"])),
    ]


def _check(check: Mapping[str, Any]) -> tuple[str, str, str]:
    passed = {True: "yes", False: "no", None: "not judged"}[check["passed"]]
    return f"`{check['name']}`", passed, _ours(check["sentence"])


def _first_labels(labels: tuple[str, ...]) -> Iterable[tuple[int, str]]:
    return enumerate(labels[:_LABELS_MAX])


def _figure(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "not defined"
    value, lower, upper = (_number(figure[name]) for name in ("value", "lower", "upper"))
    return f"{value} ({lower} to {upper})"


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4g}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return a table; its cells are Markdown already."""
    lines = [head, ("---",) * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _ours(value: object) -> str:
    """Return a text that we wrote, for a line or a cell."""
    if value is None:
        return "not known"
    return _harmless(str(value)).replace("|", "\\|")


def _theirs(value: object) -> str:
    """Return a stranger's text as one line that Markdown and HTML take for nothing else."""
    if value is None:
        return "not said"
    text = " ".join(_printable(str(value)).split())
    return _harmless(_MARKS.sub(r"\\\1", text))


def _harmless(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _fenced(text: str) -> list[str]:
    """Return a text as it came, in a fence that is longer than any in it."""
    lines = [_printable(line) for line in text.replace("\t", "    ").splitlines()]
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}markdown", *lines, fence]


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
