"""The model to export: read from a directory or, where there is a network, from the hub."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import safe_open
from tokenizers import Tokenizer
from transformers import (
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from exporter.errors import UnreadableModel, UnsupportedModel
from exporter.families.catalogue import refuse_unsupported
from service.engine import digest
from service.engine.errors import TenantryError
from service.engine.strict_json import UnreadableJson, parse_object

# What a loader may read of a checkpoint; of all that is there the digest is kept.
_READ = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "README.md", "LICENSE*")


_CONFIG = "config.json"
_WEIGHTS = "*.safetensors"
_PREPROCESSOR = "preprocessor_config.json"
_TOKENIZER = "tokenizer.json"
_BESIDE_TOKENIZER = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_DOCUMENT_BYTES_MAX = 16 << 20
_OPTIONS: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}

# What is no fault of a checkpoint's: our own errors, an extra or memory that is missing.
_OF_OTHERS = (TenantryError, ModuleNotFoundError, MemoryError)
_WORDS_MAX = 300


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A checkpoint as a classification model in float32, with what it did not hold."""

    model: PreTrainedModel
    reader: PreTrainedTokenizerFast | Mapping[str, Any]  # or the parsed preprocessor_config.json
    path: Path
    name: str
    revision: str
    files: dict[str, str]  # file name -> digest
    missing: frozenset[str]  # modules of which the checkpoint held no weights
    licence: str

    @property
    def task(self) -> Literal["text", "image"]:
        """Return what the model classifies."""
        return "text" if isinstance(self.reader, PreTrainedTokenizerFast) else "image"

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Return the tokenizer of a text model."""
        assert isinstance(self.reader, PreTrainedTokenizerFast), "an image model has none"
        return self.reader

    @property
    def preprocessor(self) -> Mapping[str, Any]:
        """Return what the `preprocessor_config.json` of an image model says."""
        assert not isinstance(self.reader, PreTrainedTokenizerFast), "a text model has none"
        return self.reader


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
    _require_files(path)
    config = _config(path)
    with fresh_heads_expected():
        loaded, missing = _model(path, config)
        reader = _preprocessor(path) if _of_images(config) else _tokenizer(path)
    with _naming(path):
        return LoadedModel(
            model=loaded.eval(),
            reader=reader,
            path=path,
            name=name,
            revision=found_revision,
            files=digests_of(path),
            missing=missing,
            licence=_licence(path),
        )


def refuse_images(model: str, revision: str | None = None) -> None:
    """Raise `UnsupportedModel` where a model is one of images; nothing but its config is read."""
    path, name, _ = find_model(model, revision)
    _require_files(path)
    if _of_images(_config(path)):
        raise UnsupportedModel(
            f"{name} is a model of images; teachers and students are models of texts"
        )


def read_document(path: Path) -> dict[str, object]:
    """Return the JSON object that a file holds; raise `UnreadableModel`."""
    try:
        return parse_object(path.read_bytes(), bytes_max=_DOCUMENT_BYTES_MAX)
    except OSError as error:
        raise UnreadableModel(f"{path} cannot be read: {error.strerror}") from error
    except UnreadableJson as error:
        raise UnreadableModel(f"{path}: {error}") from error


@contextlib.contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Raise `UnreadableModel` with the file's name, whatever a library raises of it.

    `tokenizers` raises a bare `Exception`, and `transformers` whatever its code comes upon.
    """
    try:
        yield
    except _OF_OTHERS:
        raise
    except Exception as error:
        raise UnreadableModel(f"{file}: {_words(error)}") from error


def _words(error: Exception) -> str:
    """Return what an error says, in one line."""
    said = " ".join(str(error).split())[:_WORDS_MAX] or type(error).__name__
    return f"{said} is not known" if isinstance(error, KeyError) else said


def _require_files(path: Path) -> None:
    if not (path / _CONFIG).is_file():
        raise UnreadableModel(f"{path}: no {_CONFIG} there")
    if not any(path.glob(_WEIGHTS)):
        raise UnreadableModel(
            f"{path}: no {_WEIGHTS} there; other formats can hold code and are not read"
        )


def _config(path: Path) -> PretrainedConfig:
    file = path / _CONFIG
    refuse_unsupported(read_document(file))
    with _naming(file):
        config: PretrainedConfig = AutoConfig.from_pretrained(path, **_OPTIONS)
    return config


def _model(path: Path, config: PretrainedConfig) -> tuple[PreTrainedModel, frozenset[str]]:
    """Return the model, and the modules that the checkpoint holds no weights of."""
    try:
        model, info = _class_of(config).from_pretrained(
            path,
            config=config,
            use_safetensors=True,
            output_loading_info=True,
            attn_implementation="eager",
            dtype="float32",
            **_OPTIONS,
        )
    except _OF_OTHERS:
        raise
    except Exception as error:
        for file in path.glob(f"{_WEIGHTS}.index.json"):
            read_document(file)
        weights = sorted(path.glob(_WEIGHTS))
        for file in weights:
            with _naming(file), safe_open(file, framework="pt"):
                pass
        raise UnreadableModel(
            f"{path / _CONFIG}: the model that it describes cannot be made of"
            f" {', '.join(file.name for file in weights[:3])}: {_words(error)}"
        ) from error
    return model, frozenset(key.rsplit(".", 1)[0] for key in info["missing_keys"])


def _of_images(config: PretrainedConfig) -> bool:
    """Say whether a config is of an image model; one of text and images is taken for text."""
    kind = type(config)
    return kind in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING and (
        kind not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    )


def _class_of(config: PretrainedConfig) -> type[PreTrainedModel]:
    """Return the class that classifies with a config's model.

    A family that has several (DeiT, with a teacher or without) gives its first, whichever the
    checkpoint was saved from: the encoder is the same.
    """
    classes = (
        MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING
        if _of_images(config)
        else MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    )
    found: Any = classes.get(type(config), None)
    if found is None:
        raise UnsupportedModel(
            f"the model type {config.model_type!r} is none that `transformers` classifies texts or"
            " images with"
        )
    chosen: type[PreTrainedModel] = found[0] if isinstance(found, tuple) else found
    return chosen


def _tokenizer(path: Path) -> PreTrainedTokenizerFast:
    file = path / _TOKENIZER
    try:
        with _naming(file if file.is_file() else path):
            tokenizer = AutoTokenizer.from_pretrained(path, use_fast=True, **_OPTIONS)
    except UnreadableModel:
        for name in _BESIDE_TOKENIZER:  # or it is one of these that is damaged
            if (path / name).is_file():
                read_document(path / name)
        raise
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UnreadableModel(f"{path}: no fast tokenizer; a tokenizer.json is needed")
    return tokenizer


def _preprocessor(path: Path) -> Mapping[str, Any]:
    """Return the parsed file; nothing of it is executed."""
    file = path / _PREPROCESSOR
    if not file.is_file():
        raise UnreadableModel(
            f"{path}: no {_PREPROCESSOR}, which says what is done to an image before the model"
        )
    return read_document(file)


def digests_of(path: Path) -> dict[str, str]:
    """Return the digest of every file of a checkpoint that loading it may read, by name."""
    files = {file for pattern in _READ for file in path.glob(pattern) if file.is_file()}
    return {file.name: digest.of_file(file) for file in sorted(files)}


def loaded_for(loaded: LoadedModel, labels: int) -> tuple[PreTrainedModel, frozenset[str]]:
    """Load a checkpoint again, with a head for so many labels, in float32.

    Returns the model and the modules that the checkpoint held no weights of, or of another size:
    they are drawn at random.
    """
    with fresh_heads_expected(), _naming(loaded.path):
        model, info = type(loaded.model).from_pretrained(
            loaded.path,
            num_labels=labels,
            use_safetensors=True,
            attn_implementation="eager",
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            dtype="float32",
            **_OPTIONS,
        )
    keys = [*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])]
    return model.eval(), frozenset(key.rpartition(".")[0] for key in keys)


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
