"""A checkpoint's encoder, wired for its task, and what the manifest says of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import orjson

from exporter.banked import Banks
from exporter.errors import UnsupportedModel
from exporter.families.catalogue import family_of, image_family_of
from exporter.families.family import Assembled, AssembledImages, Family, ImageFamily
from exporter.graph import write_graph
from exporter.images.graph import write_image_graph
from exporter.source import LoadedModel, serving_tokenizer
from service.engine.bundle import (
    PREPROCESSOR_FILE,
    TOKENIZER_FILE,
    HeadStep,
    ImageInput,
    Target,
)
from service.engine.errors import UnsupportedRecipe
from service.engine.images.recipe import Recipe, read_recipe

_SHORTEST = 4  # tokens that a limit must leave a text
_CHANNELS = 3  # of every picture that is preprocessed


@dataclass(frozen=True, slots=True)
class Traits:
    """What the manifest says of an encoder and its inputs."""

    task: Literal["text", "image"]
    hidden_size: int
    max_length: int
    pooling: Literal["first", "mean", "own"]
    position_offset: int = 0
    token_types: bool = False
    image: ImageInput | None = None


class Backbone(Protocol):
    """A wired encoder that can be written."""

    @property
    def traits(self) -> Traits:
        """Return what the manifest says of it."""
        ...

    @property
    def head(self) -> tuple[HeadStep, ...]:
        """Return the steps of its head."""
        ...

    def write(self, part: Path, graph: str) -> tuple[Target, ...]:
        """Write the graph, under that name, and what prepares its inputs; return the targets."""
        ...


@dataclass(frozen=True, slots=True)
class TextBackbone:
    """An encoder of packed texts, and its tokenizer."""

    loaded: LoadedModel
    assembled: Assembled
    banks: Banks
    traits: Traits

    @property
    def head(self) -> tuple[HeadStep, ...]:
        """Return the steps of its head."""
        return self.assembled.head

    def write(self, part: Path, graph: str) -> tuple[Target, ...]:
        """Write graph and tokenizer; return the targets."""
        serving_tokenizer(self.loaded.tokenizer).save(str(part / TOKENIZER_FILE))
        return write_graph(self.assembled, self.banks, part / graph)


@dataclass(frozen=True, slots=True)
class ImageBackbone:
    """An encoder of images, and what is done to an image before it."""

    recipe: Recipe
    assembled: AssembledImages
    banks: Banks
    traits: Traits

    @property
    def head(self) -> tuple[HeadStep, ...]:
        """Return the steps of its head."""
        return self.assembled.head

    def write(self, part: Path, graph: str) -> tuple[Target, ...]:
        """Write graph and preprocessor, every setting of it spelled out; return the targets."""
        document = orjson.dumps(
            self.recipe.document(), option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2
        )
        (part / PREPROCESSOR_FILE).write_bytes(document)
        return write_image_graph(self.assembled, self.banks, part / graph)


def family_for(loaded: LoadedModel) -> Family | ImageFamily:
    """Return the family of a checkpoint; raise `UnsupportedModel` naming those there are."""
    kind = loaded.model.config.model_type
    return family_of(kind) if loaded.task == "text" else image_family_of(kind)


def wire(loaded: LoadedModel, banks: Banks, max_length: int | None) -> Backbone:
    """Return the encoder, its targets wrapped by `banks`.

    `max_length` is what was asked for, in tokens; None is the model's own limit. Raises
    `UnsupportedModel`.
    """
    if loaded.task == "text":
        return _wire_text(loaded, banks, max_length)
    if max_length is not None:
        raise UnsupportedModel(
            "--max-length is of texts; the size of images is that of the model's own preprocessor"
        )
    return _wire_images(loaded, banks)


def _wire_text(loaded: LoadedModel, banks: Banks, max_length: int | None) -> TextBackbone:
    config = loaded.model.config
    assembled = family_of(config.model_type).assemble(loaded.model, banks)
    longest = min(assembled.max_length, int(min(loaded.tokenizer.model_max_length, 1 << 30)))
    if max_length is not None:
        if not _SHORTEST <= max_length <= assembled.max_length:
            raise UnsupportedModel(
                f"--max-length {max_length}: the model takes {_SHORTEST} to {assembled.max_length}"
            )
        longest = max_length
    traits = Traits(
        task="text",
        hidden_size=config.hidden_size,
        max_length=longest,
        pooling="mean" if assembled.pooling == "mean" else "first",
        position_offset=assembled.position_offset,
        token_types=assembled.token_types,
    )
    return TextBackbone(loaded, assembled, banks, traits)


def _wire_images(loaded: LoadedModel, banks: Banks) -> ImageBackbone:
    config = loaded.model.config
    family = image_family_of(config.model_type)
    try:
        recipe = read_recipe(loaded.preprocessor, config.model_type)
    except UnsupportedRecipe as error:
        raise UnsupportedModel(f"{loaded.path}/preprocessor_config.json: {error}") from error
    assembled = family.assemble(loaded.model, banks, (recipe.height, recipe.width))
    if assembled.image.channels != _CHANNELS:
        raise UnsupportedModel(
            f"{config.model_type}: num_channels={assembled.image.channels} is not supported, only"
            f" {_CHANNELS}, which is what a preprocessor makes of any picture"
        )
    traits = Traits(
        task="image",
        hidden_size=assembled.hidden_size,
        max_length=assembled.image.tokens,
        pooling="own",
        image=assembled.image,
    )
    return ImageBackbone(recipe, assembled, banks, traits)
