"""The report of a distillation: `report.json` for programs, `README.md` for people."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from exporter.distill.compute import Compute
from exporter.distill.measurement import Comparison

REPORT_FILE = "report.json"
CARD_FILE = "README.md"

_MISSING = "-"


def report(
    command: str,
    run: Mapping[str, Any],
    classes: Sequence[str],
    comparison: Comparison,
    losses: Sequence[float],
    compute: Compute,
) -> dict[str, Any]:
    """Return the report; intervals are [value, lower, upper] of 95 %, null where undefined."""
    return {
        "run": dict(run),
        "labels": list(classes),
        "loss_by_epoch": list(losses),
        "measured": comparison.document(),
        "measured_with": str(compute),
        "command": command,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in ("tenantry", "torch", "transformers")},
    }


def card(document: Mapping[str, Any], licence: str) -> str:
    """Return the student's model card."""
    run, measured = document["run"], document["measured"]
    data, recipe = run["data"], run["recipe"]
    lines = "\n".join(comparison_lines(document))
    return f"""---
license: {licence}
tags:
- text-classification
- distillation
---

# A student of {run["teacher"]["name"]}

{len(document["labels"])} labels, texts up to {run["max_length"]} tokens.

## Teacher and student

On {measured["texts"]:,} held-out texts ({data["held_out"]}), {measured["labelled"]:,} of them
labelled; intervals of 95 %. Tokens a second with {document["measured_with"]}.

{lines}

They give the same label to {_share(measured["agreement"])} of the texts; the student's answers
diverge from the teacher's by {measured["divergence"]:.3g} nats. The student is
{measured["speed_ratio"]:.2f} times as fast.

## Training

{data["training_rows"]:,} texts of `{data["file"]}`, {data["training_labelled"]:,} of them labelled;
{recipe["epochs"]} epochs in batches of {recipe["batch"]} at a rate of {recipe["rate"]:g}, answers
softened at a temperature of {recipe["weights"]["temperature"]:g}, a share of
{recipe["weights"]["labels"]:g} for true labels and {recipe["weights"]["states"]:g} for embeddings;
seed {recipe["seed"]}.

Made {document["made_at"]} by `{document["command"]}`. Make its bundle with
`tenantry export DIR --dedicated --out BUNDLE`.
"""


def comparison_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the comparison as the lines of a Markdown table."""
    measured = document["measured"]
    lines = ["| | teacher | student |", "|---|---|---|"]
    for words, key, show in (
        ("layers", "layers", str),
        ("parameters", "parameters", lambda count: f"{count:,}"),
        ("accuracy", "accuracy", _share),
        ("calibration error, debiased", "calibration_error", _figure),
        ("calibration error, plug-in", "calibration_error_plug_in", _plain),
        ("Brier score of top labels", "brier", _figure),
        ("tokens a second", "tokens_per_second", lambda rate: f"{rate:,.0f}"),
    ):
        cells = [_cell(measured[who][key], show) for who in ("teacher", "student")]
        lines.append(f"| {words} | {cells[0]} | {cells[1]} |")
    return lines


def _cell(value: Any, show: Any) -> str:
    return _MISSING if value is None or value == [None] * 3 else str(show(value))


def _plain(value: float) -> str:
    return f"{value:.3f}"


def _share(estimate: Sequence[float]) -> str:
    value, lower, upper = estimate
    return f"{value:.1%} ({lower:.1%} to {upper:.1%})"


def _figure(estimate: Sequence[float]) -> str:
    value, lower, upper = estimate
    return f"{value:.3f} ({lower:.3f} to {upper:.3f})"
