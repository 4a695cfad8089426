"""The bill of materials: what a bundle was made of and with, as CycloneDX 1.6.

The subject is the bundle, with every file that it holds but the manifest, which names the bill
itself. Its parts are the source model, with every file that was read, and each Python package that
had a part in the export; the formulation holds the command. `bundle.json` says most of this too;
the bill says it in the words that scanners and registries read.

Source: https://cyclonedx.org/docs/1.6/json/
"""

import platform
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import orjson

from exporter.provenance.packages import Package, loaded_packages
from service.engine import digest
from service.engine.bundle import Manifest

SPECIFICATION = "1.6"

_BUNDLE, _SOURCE, _PYTHON = "bundle", "source-model", "python"
_TOOL = "tenantry"
_UNKNOWN = "unknown"
_TASKS = {"text": "text-classification", "image": "image-classification"}


def bill_of_materials(manifest: Manifest, packages: Sequence[Package] | None = None) -> bytes:
    """Return the bill of a proven manifest that names every other file of the bundle.

    `packages` are those that took part; None: those that this process has loaded.
    """
    known = loaded_packages() if packages is None else packages
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "version": 1,
        "metadata": _metadata(manifest),
        "components": [_source(manifest), _python(), *map(_library, known)],
        "dependencies": _dependencies(known),
        "formulation": [_formula(manifest)],
    }
    # The same making has the same number, and no other has.
    number = uuid.uuid5(uuid.NAMESPACE_URL, digest.of_document(document))
    document["serialNumber"] = f"urn:uuid:{number}"
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)


def _metadata(manifest: Manifest) -> dict[str, Any]:
    tool = {
        "type": "application",
        "bom-ref": _TOOL,
        "name": _TOOL,
        "version": manifest.versions[_TOOL],
    }
    return {
        "timestamp": manifest.exported_at,
        "lifecycles": [{"phase": "build"}],
        "tools": {"components": [tool]},
        "authors": [{"name": manifest.exported_by}],
        "component": {
            "type": "machine-learning-model",
            "bom-ref": _BUNDLE,
            "name": f"{manifest.source.name} (Tenantry bundle)",
            "version": manifest.source.revision,
            **_licensed(None, manifest.licence),
            "components": _files(_BUNDLE, manifest.files),
            "modelCard": {
                "modelParameters": _parameters(manifest),
                "quantitativeAnalysis": {"performanceMetrics": _metrics(manifest)},
            },
        },
    }


def _source(manifest: Manifest) -> dict[str, Any]:
    """Return the model that was exported, with the digest of every file that was read of it."""
    source = manifest.source
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": _SOURCE,
        "name": source.name,
        "version": source.revision,
        **_licensed(None, manifest.licence),
        "components": _files(_SOURCE, source.files),
        "modelCard": {"modelParameters": _parameters(manifest)},
    }
    owner, _, name = source.name.partition("/")
    if owner and name:  # a name on the hub; a folder's has no slash
        at = quote(source.revision, safe="")
        component["purl"] = f"pkg:huggingface/{quote(owner)}/{quote(name)}@{at}"
    return component


def _parameters(manifest: Manifest) -> dict[str, Any]:
    return {
        "task": _TASKS[manifest.task],
        "architectureFamily": manifest.family,
        "modelArchitecture": manifest.source.architecture,
    }


def _metrics(manifest: Manifest) -> list[dict[str, str]]:
    parity = manifest.parity
    found = {
        "max_probability_error": parity.max_probability_error,
        "max_embedding_error": parity.max_embedding_error,
        "max_neighbour_error": parity.max_neighbour_error,
        "label_agreement": parity.label_agreement,
    }
    return [{"type": name, "value": repr(value), "slice": "fp32"} for name, value in found.items()]


def _files(owner: str, digests: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "type": "file",
            "bom-ref": f"{owner}/{name}",
            "name": name,
            "hashes": [{"alg": "SHA-256", "content": found.removeprefix("sha256:")}],
        }
        for name, found in sorted(digests.items())
    ]


def _python() -> dict[str, Any]:
    return {
        "type": "platform",
        "bom-ref": _PYTHON,
        "name": platform.python_implementation(),
        "version": platform.python_version(),
        "properties": [{"name": "tenantry:machine", "value": platform.machine()}],
    }


def _library(package: Package) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": _reference(package),
        "name": package.name,
        "version": package.version,
        "purl": _reference(package),
        **_licensed(package.expression, package.licence),
    }


def _reference(package: Package) -> str:
    """Return the package URL, which also names the component inside of the bill."""
    name = package.name.lower().replace("_", "-")
    return f"pkg:pypi/{quote(name)}@{quote(package.version, safe='')}"


def _licensed(expression: str | None, name: str | None) -> dict[str, Any]:
    if expression is not None:
        return {"licenses": [{"expression": expression}]}
    if name is None or name == _UNKNOWN:
        return {}
    return {"licenses": [{"license": {"name": name}}]}


def _dependencies(packages: Sequence[Package]) -> list[dict[str, Any]]:
    return [
        {"ref": _BUNDLE, "dependsOn": [_SOURCE]},
        {"ref": _TOOL, "dependsOn": [_PYTHON, *map(_reference, packages)]},
    ]


def _formula(manifest: Manifest) -> dict[str, Any]:
    """Return how the bundle was made: one command."""
    return {
        "workflows": [
            {
                "bom-ref": "export",
                "uid": "export",
                "name": "tenantry export",
                "taskTypes": ["build"],
                "steps": [{"commands": [{"executed": manifest.command}]}],
            }
        ]
    }
