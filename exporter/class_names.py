"""The names of a model's classes, in their order: given, or as a config has them.

`LABEL_0` and its like are what `transformers` writes where nobody named the classes. Nobody would
learn anything from such an answer, so they are not taken for names.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig

from exporter.errors import UnreadableModel, UnsupportedModel
from exporter.source import read_document
from service.engine.errors import InvalidAdapter
from service.engine.findings import Findings
from service.engine.lora_tensors import LABELS_MIN, check_label_names

LABELS_MAX = 65_536  # the class index of a prediction id has two bytes

_PLACEHOLDER = re.compile("LABEL_[0-9]+")
_METADATA, _CONFIG = "metadata.json", "config.json"
_ADVICE = "--labels FILE names them, one a line, in the order of the classes"


def own_names(config: PretrainedConfig, given: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a fine-tuned model's classes.

    Raises `UnreadableModel` where nothing names them, and `UnsupportedModel` where the names are
    none or are not as many as the model has classes.
    """
    names = tuple(given) or _named(config.id2label)
    if names is None:
        raise UnreadableModel(f"the model's {_CONFIG} does not name its classes; {_ADVICE}")
    if len(names) != config.num_labels:
        raise UnsupportedModel(
            f"{len(names)} labels are named, and the model has {config.num_labels} classes"
        )
    return _checked(names)


def merged_names(config: PretrainedConfig, adapter: Path, given: Sequence[str]) -> tuple[str, ...]:
    """Return the names of an adapter's classes; `config` is that of its base.

    They are looked for in this order: given ones, `labels` of the folder's `metadata.json`,
    `id2label` of its `config.json`, that of the base. Raises as `own_names` does.
    """
    names = tuple(given) or _in_folder(adapter) or _named(config.id2label)
    if names is None:
        raise UnreadableModel(f"nothing in {adapter} names the classes of the adapter; {_ADVICE}")
    return _checked(names)


def read_names(path: Path) -> tuple[str, ...]:
    """Return the labels of a file, one a line; raise `UnreadableModel`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableModel(f"{path}: {error}; it must hold one label a line") from error
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise UnreadableModel(f"{path} holds no label; it must hold one a line")
    return _checked([line.strip() for line in lines])


def _in_folder(adapter: Path) -> tuple[str, ...] | None:
    labels = _document(adapter / _METADATA).get("labels")
    if isinstance(labels, list) and labels:
        return tuple(map(str, labels))
    return _named(_document(adapter / _CONFIG).get("id2label"))


def _document(path: Path) -> Mapping[str, object]:
    return read_document(path) if path.is_file() else {}


def _named(by_class: Any) -> tuple[str, ...] | None:
    """Return `id2label` in the order of the classes; None where it names none."""
    if not isinstance(by_class, dict) or not by_class:
        return None
    try:
        numbered = {int(number): str(label) for number, label in by_class.items()}
        names = tuple(numbered[number] for number in range(len(numbered)))
    except (KeyError, ValueError) as error:
        raise UnreadableModel(
            f"id2label of the model's {_CONFIG} does not number the classes 0, 1, 2; {_ADVICE}"
        ) from error
    return None if all(map(_PLACEHOLDER.fullmatch, names)) else names


def _checked(names: Sequence[str]) -> tuple[str, ...]:
    if not LABELS_MIN <= len(names) <= LABELS_MAX:
        raise UnsupportedModel(
            f"{len(names)} labels; a classifier has {LABELS_MIN} to {LABELS_MAX:,}"
        )
    findings = Findings()
    check_label_names(names, "labels", findings)
    try:
        findings.settle()
    except InvalidAdapter as error:
        raise UnsupportedModel(f"the labels cannot be served: {error}") from error
    return tuple(names)
