"""A report, as the OpenAPI document shows it."""

from typing import Any

REPORT_EXAMPLE: dict[str, Any] = {
    "rank": 8,
    "adapter_bytes": 299544,
    "verified_backbone": True,
    "content": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "license": "CC-BY-4.0",
    "signed_by": None,
    "ignored": ["tokenizer.json"],
    "probe": {"texts": 5, "passed": True},
    "holdout_rows": 500,
    "verdict": "validated",
    "summary": "validated: accuracy 0.946 on 500 rows of the hold-out",
    "checks": [
        {
            "name": "accuracy_drop_from_live",
            "value": -0.03,
            "lower": -0.061249,
            "upper": 0.001488,
            "threshold": 0.02,
            "passed": True,
            "sentence": "accuracy less that of the live version 2 is +3 points (95 %: "
            "-0.149 to +6.12): not surely more than 2 points below it",
        },
        {
            "name": "accuracy_drop_from_baseline",
            "value": -0.076,
            "lower": -0.11214,
            "upper": -0.039254,
            "threshold": 0.0,
            "passed": True,
            "sentence": "accuracy less that of nearest centroids on the bare backbone "
            "is +7.6 points (95 %: +3.93 to +11.2): not surely below it",
        },
        {
            "name": "calibration_error",
            "value": 0.022143,
            "lower": 0.0,
            "upper": 0.054384,
            "threshold": None,
            "passed": None,
            "sentence": "the calibration error is 2.21 points, at least 0 points; no limit is set",
        },
    ],
    "measured": {
        "rows": 500,
        "rows_sent": 500,
        "holdout": "sha256:4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865",
        "accuracy": {"value": 0.946, "lower": 0.922573, "upper": 0.962626},
        "macro_f1": 0.945951,
        "calibration": {
            "error": {"value": 0.022143, "lower": 0.0, "upper": 0.054384},
            "squared": {"value": 0.00049, "lower": -0.001977, "upper": 0.002958},
            "plug_in": 0.027453,
            "bins": 15,
            "brier": 0.042158,
            "log_loss": 0.164767,
            "confidence_gap": {"value": -0.022605, "lower": -0.040511, "upper": -0.0047},
        },
        "uncalibrated": None,
        "repaired": {
            "error": {"value": 0.0, "lower": 0.0, "upper": 0.038614},
            "squared": {"value": -0.000392, "lower": -0.002275, "upper": 0.001491},
            "plug_in": 0.020402,
            "bins": 15,
            "brier": 0.041471,
            "log_loss": 0.161238,
            "confidence_gap": {"value": -0.002357, "lower": -0.020223, "upper": 0.01551},
        },
        "temperature": {"applied": 1.0, "fitted": 0.8036, "at_bound": False},
        "live": {
            "version": 2,
            "digest": "sha256:3f79bb7b435b05321651daefd374cdc681dc06faa65e374e38337b88ca046dea",
            "accuracy": {"value": 0.916, "lower": 0.888401, "upper": 0.937256},
            "difference": {"value": 0.03, "lower": -0.001488, "upper": 0.061249},
            "reason": None,
        },
        "baseline": {
            "rows": 500,
            "accuracy": {"value": 0.87, "lower": 0.837679, "upper": 0.896679},
            "difference": {"value": 0.076, "lower": 0.039254, "upper": 0.11214},
            "reason": None,
        },
        "latency": {"p50_s": 0.001869, "p95_s": 0.002008, "jobs": 8},
    },
}
