"""The metadata of an upload, gathered from what lies beside the adapter and from what is given.

Labels are looked for in this order: given ones, `labels` of `metadata.json`, `id2label` of a
`config.json` in the folder, `id2label` of the base model's where its path is a folder here. Names
that are only placeholders (`LABEL_0`) are not taken from a config: nobody would learn anything
from such an answer, and another order of the true ones is another version.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from service.client.errors import UnusablePackage
from service.client.package import CONFIG_FILE, METADATA_FILE

_MODEL_CONFIG = "config.json"
_MANIFEST = "bundle.json"
_PLACEHOLDER = re.compile("LABEL_[0-9]+")
_NO_LABELS = (
    "name them in the order of the classes: `--labels FILE` with one a line, or `labels` in"
    f" {METADATA_FILE}"
)


def metadata_of(
    folder: Path | None, given: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Return an upload's metadata: what the folder says, and over it what is given.

    Fields of `given` that are None count as not given. The own classifier of a dedicated bundle
    needs no labels: the service knows them. Raises `UnusablePackage` where a file
    cannot be read, or where nothing says what the labels are.
    """
    document: dict[str, object] = {}
    if folder is not None and (folder / METADATA_FILE).is_file():
        document = dict(_object(folder / METADATA_FILE))
    document |= {name: value for name, value in (given or {}).items() if value is not None}
    if "labels" not in document and document.get("dedicated") is not True:
        if folder is None:
            raise UnusablePackage("nothing says what the labels are", advice=_NO_LABELS)
        document["labels"] = _labels_of(folder)
    return document


def read_labels(path: Path) -> list[str]:
    """Return the labels of a file, one a line; raise `UnusablePackage`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnusablePackage(f"{path} cannot be read: {error}", advice=_NO_LABELS) from error
    while lines and not lines[-1].strip():
        lines.pop()
    empty = [number for number, line in enumerate(lines, 1) if not line.strip()]
    if empty or not lines:
        where = f" in line {empty[0]}" if empty else ""
        raise UnusablePackage(f"{path} holds no label{where}", advice=_NO_LABELS)
    return [line.strip() for line in lines]


def bundle_digest(folder: Path) -> str:
    """Return the digest of an exported bundle; raise `UnusablePackage`."""
    try:
        data = (folder / _MANIFEST).read_bytes()
    except OSError as error:
        raise UnusablePackage(
            f"{folder} is no bundle: {error.strerror}: {_MANIFEST}",
            advice="give the directory that `tenantry export` wrote",
        ) from error
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _labels_of(folder: Path) -> list[str]:
    placeholders: Path | None = None
    for config in _configs(folder):
        labels = _named_classes(config)
        if labels is None:
            continue
        if all(_PLACEHOLDER.fullmatch(label) for label in labels):
            placeholders = config
            continue
        return labels
    if placeholders is not None:
        raise UnusablePackage(
            f"{placeholders} has only placeholders for labels (LABEL_0, ...)", advice=_NO_LABELS
        )
    raise UnusablePackage(f"nothing in {folder} says what the labels are", advice=_NO_LABELS)


def _configs(folder: Path) -> list[Path]:
    """Return the model configs that may name the classes, the nearest first."""
    found = [folder / _MODEL_CONFIG]
    if (folder / CONFIG_FILE).is_file():
        base = _object(folder / CONFIG_FILE).get("base_model_name_or_path")
        if isinstance(base, str) and base:
            found.append(Path(base) / _MODEL_CONFIG)
    return [path for path in found if path.is_file()]


def _named_classes(config: Path) -> list[str] | None:
    """Return `id2label` of a model's config as a list, None where it has none."""
    named = _object(config).get("id2label")
    if not isinstance(named, dict) or not named:
        return None
    try:
        by_class = {int(number): label for number, label in named.items()}
    except ValueError as error:
        raise UnusablePackage(f"id2label of {config} is not numbered: {error}") from error
    labels = [by_class.get(number) for number in range(len(by_class))]
    if not _are_texts(labels):
        raise UnusablePackage(f"id2label of {config} does not name the classes 0, 1, 2 and so on")
    return [str(label) for label in labels]


def _are_texts(labels: Sequence[object]) -> bool:
    return all(isinstance(label, str) for label in labels)


def _object(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UnusablePackage(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(document, dict):
        raise UnusablePackage(f"{path} is no JSON object")
    return document
