"""The bill of materials beside the manifest: both must tell the same of the bundle's making."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from service.engine.bundle import SBOM_FILE, Manifest
from service.engine.strict_json import UnreadableJson, parse_object

FORMAT = "CycloneDX"
SPECIFICATION = "1.6"

_BYTES_MAX = 64 << 20
_MODEL = "source-model"
_OLD = "it was exported before bundles had one; export the model again with the command in the card"


def bill_problems(path: Path, manifest: Manifest) -> Iterator[str]:
    """Yield where the bill is missing, is none, or tells another thing than the manifest."""
    if SBOM_FILE not in manifest.files:
        yield f"the manifest names no {SBOM_FILE}: {_OLD}"
        return
    try:
        bill = parse_object((path / SBOM_FILE).read_bytes(), bytes_max=_BYTES_MAX)
    except (OSError, UnreadableJson) as error:
        yield f"{SBOM_FILE} cannot be read: {error}"
        return
    said = (bill.get("bomFormat"), bill.get("specVersion"))
    if said != (FORMAT, SPECIFICATION):
        yield f"{SBOM_FILE} is {said[0]!r} {said[1]!r}, not {FORMAT} {SPECIFICATION}"
        return
    try:
        yield from _contradictions(bill, manifest)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        yield f"{SBOM_FILE} is not of the form that an export writes: {error!r}"


def _contradictions(bill: Mapping[str, Any], manifest: Manifest) -> Iterator[str]:
    components = {part["bom-ref"]: part for part in bill["components"]}
    files = {name: found for name, found in manifest.files.items() if name != SBOM_FILE}
    subject = bill["metadata"]["component"]
    yield from _other_digests("of the bundle", _hashes(subject["components"]), files)
    source = components[_MODEL]
    yield from _other_digests(
        "of the source model", _hashes(source["components"]), manifest.source.files
    )
    if (source["name"], source["version"]) != (manifest.source.name, manifest.source.revision):
        yield f"{SBOM_FILE} names the source {source['name']} {source['version']}"
    executed = bill["formulation"][0]["workflows"][0]["steps"][0]["commands"][0]["executed"]
    if executed != manifest.command:
        yield f"{SBOM_FILE} has another command than the manifest: {executed}"
    libraries = {part["name"].lower(): part["version"] for part in bill["components"]}
    for name, version in manifest.versions.items():
        if libraries.get(name.lower()) != version:
            found = libraries.get(name.lower(), "nothing")
            yield f"{SBOM_FILE} says {found} of {name}, the manifest {version}"


def _hashes(parts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {part["name"]: f"sha256:{part['hashes'][0]['content']}" for part in parts}


def _other_digests(
    where: str, told: Mapping[str, str], expected: Mapping[str, str]
) -> Iterator[str]:
    for name in sorted(told.keys() | expected.keys()):
        if told.get(name) != expected.get(name):
            yield (
                f"{SBOM_FILE} says {told.get(name, 'nothing')} of {name} {where}, the manifest"
                f" {expected.get(name, 'nothing')}"
            )
