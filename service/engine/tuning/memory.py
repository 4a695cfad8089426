"""What was measured on this machine, kept in one file of the state directory.

It is believed as long as everything that it depends on is as it was; whatever changed is named.
"""

import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from service.engine.bundle import Bundle
from service.engine.device import describe_gpu
from service.engine.errors import ProviderUnavailable
from service.engine.processor import processor_flags, processor_model, processors
from service.engine.tuning.search import Found, Wanted, read_wanted
from service.engine.tuning.setup import Setup, read_setup
from service.engine.tuning.trial import Trial

MEMORY = "provider.json"  # in the state directory, as are
ENGINES = "tensorrt"  # what TensorRT built
_FORMAT = 2
_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "openvino", "tenantry")
_WORDS = {
    "bundle": "the bundle is another one",
    "processor": "the processor is another one",
    "processors": "there is another number of processors",
    "gpu": "the GPU or its driver is another one",
    "versions": "other versions are installed",
}

Key = dict[str, object]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """What was found best of the setups that somebody asked for, where that was not all."""

    wanted: Wanted
    by: str  # `auto`, or `tune`
    best: Setup


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered."""

    by: str  # `auto`, or `tune`
    workload: str
    trials: tuple[Trial, ...]
    best: Setup | None  # of everything; None where a part alone was measured
    parts: tuple[Part, ...] = ()


def merged(before: Record | None, wanted: Wanted, by: str, workload: str, found: Found) -> Record:
    """Return what to remember: a part of the setups does not say which of all is best."""
    assert found.best is not None, "only what runs is remembered"
    best = found.best.setup
    had = before or Record(by, workload, (), None)
    new = {trial.setup for trial in found.trials}
    trials = (*(trial for trial in had.trials if trial.setup not in new), *found.trials)
    if wanted.anything:
        return Record(by, workload, trials, best, had.parts)
    parts = (*(part for part in had.parts if part.wanted != wanted), Part(wanted, by, best))
    return Record(had.by, workload, trials, had.best, parts)


def key_of(bundle: Bundle) -> Key:
    """Return everything that a measurement depends on."""
    return {
        "bundle": bundle.digest,
        "processor": [platform.machine(), processor_model(), *sorted(processor_flags())],
        "processors": processors(),
        "gpu": _gpu(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def recall(file: Path | None, key: Mapping[str, object]) -> Record | None:
    """Return what is remembered for this key; None, and a line in the log, where nothing is."""
    if file is None or not file.is_file():
        return None
    try:
        document = orjson.loads(file.read_bytes())
        had = document["key"] if document["format"] == _FORMAT else {}
        changed = [words for name, words in _WORDS.items() if had[name] != key[name]]
        if changed:
            logger.info("measuring the providers again: %s", " and ".join(changed))
            return None
        best = document["best"]
        return Record(
            by=str(document["by"]),
            workload=str(document["workload"]),
            trials=tuple(_read_trial(each) for each in document["trials"]),
            best=None if best is None else read_setup(best),
            parts=tuple(_read_part(each) for each in document.get("parts", ())),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        logger.info("measuring the providers again: %s cannot be read: %r", file, error)
        return None


def remember(file: Path | None, key: Mapping[str, object], record: Record) -> None:
    """Write the record in one step; nothing where there is no file."""
    if file is None:
        return
    document = {
        "format": _FORMAT,
        "key": dict(key),
        "by": record.by,
        "workload": record.workload,
        "best": None if record.best is None else record.best.document(),
        "parts": [_part_document(part) for part in record.parts],
        "trials": [trial_document(trial) for trial in record.trials],
    }
    part = file.with_suffix(".part")
    part.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    part.replace(file)


_FIGURES: Sequence[str] = (
    "tokens_per_second",
    "inputs_per_second",
    "milliseconds",
    "filled",
    "error",
    "agreement",
)


def trial_document(trial: Trial) -> dict[str, object]:
    """Return the trial as JSON has it; NaN becomes null."""
    figures = {name: getattr(trial, name) for name in _FIGURES}
    return {"setup": trial.setup.document(), "verdict": trial.verdict, **figures}


def _part_document(part: Part) -> dict[str, object]:
    return {"wanted": part.wanted.document(), "by": part.by, "best": part.best.document()}


def _read_part(document: Mapping[str, Any]) -> Part:
    wanted = read_wanted(document["wanted"])
    return Part(wanted, str(document["by"]), read_setup(document["best"]))


def _read_trial(document: Mapping[str, object]) -> Trial:
    figures: dict[str, float | None] = {}
    for name in _FIGURES:
        value = document[name]
        if value is not None and not isinstance(value, int | float):
            raise TypeError(f"{name} is a number")
        figures[name] = None if value is None else float(value)
    setup = document["setup"]
    if not isinstance(setup, dict):
        raise TypeError("setup is an object")
    return Trial(read_setup(setup), str(document["verdict"]), **figures)


def _gpu() -> dict[str, str] | None:
    try:
        return describe_gpu()
    except ProviderUnavailable:
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
