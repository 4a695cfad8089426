"""What an adapter version is: the document whose digest names it."""

from collections.abc import Mapping
from typing import Any

from service.engine import digest
from service.engine.lora_config import CONFIG_FILE, canonical_config
from service.engine.safetensors_file import WEIGHTS_FILE
from service.uploads.archive import HOLDOUT_FILE
from service.uploads.metadata import Metadata


def identity_of(
    config: Mapping[str, object], files: Mapping[str, bytes], metadata: Metadata
) -> dict[str, Any]:
    """Return the identity of a valid adapter; `digest.of_document` of it is the adapter's name.

    It covers the weights byte for byte, and of config and metadata what changes answers: the same
    folder packed twice is one version, another order of labels is another. A temperature that is
    still to be fitted is named by what it will be fitted on.
    """
    weights = files[WEIGHTS_FILE]
    identity: dict[str, Any] = {
        "files": {CONFIG_FILE: config_digest(config), WEIGHTS_FILE: digest.of_bytes(weights)},
        "metadata": metadata.answering(),
    }
    return _with_holdout(identity, files, metadata)


def identity_of_own_head(
    bundle_digest: str, files: Mapping[str, bytes], metadata: Metadata
) -> dict[str, Any]:
    """Return the identity of a dedicated bundle's own head, which is that of the bundle.

    So another bundle's head is another version, though labels and metadata are the same.
    """
    identity: dict[str, Any] = {
        "bundle": bundle_digest,
        "files": {},
        "metadata": metadata.answering(),
    }
    return _with_holdout(identity, files, metadata)


def _with_holdout(
    identity: dict[str, Any], files: Mapping[str, bytes], metadata: Metadata
) -> dict[str, Any]:
    if metadata.wants_temperature:
        identity["temperature_of"] = {HOLDOUT_FILE: digest.of_bytes(files[HOLDOUT_FILE])}
    return identity


def fitted(identity: Mapping[str, Any], metadata: Metadata) -> dict[str, Any]:
    """Return the identity once the temperature is there: that of an upload which had named it."""
    assert not metadata.wants_temperature, "this is for when it was fitted"
    kept = {name: value for name, value in identity.items() if name != "temperature_of"}
    return {**kept, "metadata": metadata.answering()}


def config_digest(config: Mapping[str, object]) -> str:
    """Return the digest of what of a valid config changes answers."""
    return digest.of_document(canonical_config(config))
