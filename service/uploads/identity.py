"""What an adapter version is: the document whose digest names it."""

from collections.abc import Mapping
from typing import Any

from service.engine import digest
from service.engine.lora_config import CONFIG_FILE, canonical_config
from service.engine.safetensors_file import WEIGHTS_FILE
from service.uploads.metadata import Metadata


def identity_of(config: Mapping[str, object], weights: bytes, metadata: Metadata) -> dict[str, Any]:
    """Return the identity of a valid adapter; `digest.of_document` of it is the adapter's name.

    It covers the weights byte for byte, and of config and metadata what changes answers: the same
    folder packed twice is one version, another order of labels is another.
    """
    return {
        "files": {CONFIG_FILE: config_digest(config), WEIGHTS_FILE: digest.of_bytes(weights)},
        "metadata": metadata.answering(),
    }


def config_digest(config: Mapping[str, object]) -> str:
    """Return the digest of what of a valid config changes answers."""
    return digest.of_document(canonical_config(config))
