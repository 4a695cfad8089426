"""The model to export: read from a directory or, where there is a network, from the hub."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from tokenizers import Tokenizer
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from exporter.errors import UnreadableModel
from service.engine import digest

_READ = ("*.json", "*.safetensors", "*.txt", "*.model", "README.md", "LICENSE*")
_NAMED = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A checkpoint as a classification model in float32, with what it did not hold."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    path: Path
    name: str
    revision: str
    files: dict[str, str]  # file name -> digest
    missing: frozenset[str]  # modules of which the checkpoint held no weights
    licence: str


def find_model(model: str, revision: str | None) -> tuple[Path, str, str]:
    """Return (directory, name, revision) of a local directory or a hub name."""
    path = Path(model)
    if path.is_dir():
        return path, path.resolve().name, revision or "local"
    if path.exists() or model.startswith((".", "/", "~")):
        raise UnreadableModel(f"{model}: not a directory; give the folder that holds config.json")
    try:
        found = Path(snapshot_download(model, revision=revision, allow_patterns=list(_READ)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UnreadableModel(
            f"{model}: no such directory, and the hub did not give it: {error}"
        ) from error
    return found, model, found.name


def load_model(model: str, revision: str | None = None) -> LoadedModel:
    """Load a checkpoint; nothing of it is executed, and only safetensors are read.

    Raises `UnreadableModel` where a file is missing or is not what it should be.
    """
    path, name, found_revision = find_model(model, revision)
    if not (path / "config.json").is_file():
        raise UnreadableModel(f"{path}: no config.json there")
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        raise UnreadableModel(
            f"{path}: no *.safetensors there; other formats can hold code and are not read"
        )
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        with fresh_heads_expected():
            config = AutoConfig.from_pretrained(path, **options)
            loaded, info = AutoModelForSequenceClassification.from_pretrained(
                path,
                config=config,
                use_safetensors=True,
                output_loading_info=True,
                attn_implementation="eager",
                dtype="float32",
                **options,
            )
            tokenizer = AutoTokenizer.from_pretrained(path, use_fast=True, **options)
    except (OSError, ValueError, KeyError) as error:
        raise UnreadableModel(f"{path}: {error}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UnreadableModel(f"{path}: no fast tokenizer; a tokenizer.json is needed")
    missing = {key.rsplit(".", 1)[0] for key in info["missing_keys"]}
    held = [*weights, *(path / n for n in _NAMED if (path / n).is_file())]
    return LoadedModel(
        model=loaded.eval(),
        tokenizer=tokenizer,
        path=path,
        name=name,
        revision=found_revision,
        files={file.name: digest.of_file(file) for file in held},
        missing=frozenset(missing),
        licence=_licence(path),
    )


@contextlib.contextmanager
def fresh_heads_expected() -> Iterator[None]:
    """Keep `transformers` from warning of heads that a pre-trained checkpoint never holds."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def serving_tokenizer(tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    """Return the checkpoint's tokenizer with its own padding and truncation cleared.

    Raises `UnreadableModel` where it has no tokens for an empty text: such a text would have no
    first token, and the head of most families looks at nothing else.
    """
    copy: Tokenizer = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copy.no_padding()
    copy.no_truncation()
    if not copy.encode("").ids:
        raise UnreadableModel("the tokenizer adds no special tokens; its post-processor is missing")
    return copy


def _licence(path: Path) -> str:
    """Return the licence that the model card names in its front matter, or "unknown"."""
    card = path / "README.md"
    if card.is_file():
        head = card.read_text(encoding="utf-8", errors="replace").split("---")
        for line in head[1].splitlines() if len(head) > 2 else []:
            if line.startswith("license:"):
                return line.partition(":")[2].strip()
    return "unknown"
