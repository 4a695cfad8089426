"""Profiles: between which shapes TensorRT builds an engine, so that it never builds another.

An engine serves every shape from `least` to `most`, and is fastest at `best`, the largest pass of
short texts. They are what a static layout can give: nothing else is ever fed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from service.engine.bank import input_names
from service.engine.bundle import Bundle
from service.engine.execution.provider import Shaping
from service.engine.packing import Shape

Dimensions = dict[str, tuple[int, ...]]  # by the graph's inputs


@dataclass(frozen=True, slots=True)
class Profile:
    """The shapes of every input: smallest, usual, largest."""

    least: Dimensions
    best: Dimensions
    most: Dimensions

    def options(self) -> dict[str, str]:
        """Return them as ONNX Runtime's TensorRT provider takes them."""
        return {
            "trt_profile_min_shapes": _words(self.least),
            "trt_profile_opt_shapes": _words(self.best),
            "trt_profile_max_shapes": _words(self.most),
        }


def profile_of(bundle: Bundle, shaping: Shaping, slots: int, names: frozenset[str]) -> Profile:
    """Return the profile for the named inputs of a bundle's graph, with a bank of `slots`."""
    shapes = shaping.grid(bundle).shapes
    usual = max(shaping.grid(bundle).by_row[0], key=lambda shape: shape.capacity)
    rank = bundle.manifest.max_rank
    every = [
        _text(shape, shaping, width, count) | _image(bundle, shape, width)
        for shape in shapes
        for width in _widths(shape, shaping, slots, rank)
        for count in _counts(shape, shaping)
    ]
    width = shaping.layout.columns(4 * rank)
    count = shaping.layout.texts(1, usual.capacity)
    best = _text(usual, shaping, width, count) | _image(bundle, usual, width)
    bank = _bank(bundle, slots)
    return Profile(
        least=_named({name: _least(every, name) for name in every[0]}, names) | bank,
        best=_named(best, names) | bank,
        most=_named({name: _most(every, name) for name in every[0]}, names) | bank,
    )


def _widths(shape: Shape, shaping: Shaping, slots: int, rank: int) -> tuple[int, int]:
    """Return the fewest and the most columns that a block of the shape's passes has."""
    layout = shaping.layout
    together = min(slots, layout.block(shape.capacity))  # a text has one token at least
    return layout.columns(1), layout.columns(together * rank)


def _counts(shape: Shape, shaping: Shaping) -> tuple[int, int]:
    layout = shaping.layout
    return layout.texts(1, shape.capacity), layout.texts(shape.capacity, shape.capacity)


def _text(shape: Shape, shaping: Shaping, width: int, count: int) -> Dimensions:
    grid = (shape.rows, shape.tokens)
    blocks = shape.capacity // shaping.layout.block(shape.capacity)
    per_token = ("ids", "positions", "texts", "token_types", "adapters")
    found: Dimensions = dict.fromkeys(per_token, grid)
    return found | {"first": (count,), "columns": (blocks, width), "owners": (blocks, width)}


def _image(bundle: Bundle, shape: Shape, width: int) -> Dimensions:
    image = bundle.manifest.image
    if image is None:
        return {}
    size = (shape.rows, image.channels, image.height, image.width)
    return {"pixels": size, "columns": (shape.rows, width)}


def _bank(bundle: Bundle, slots: int) -> Dimensions:
    targets = bundle.manifest.targets
    rows = (slots + 1) * bundle.manifest.max_rank
    widths = [width for t in targets for width in (t.in_features, t.out_features)]
    return {name: (rows, w) for name, w in zip(input_names(targets), widths, strict=True)}


def _named(dimensions: Dimensions, names: frozenset[str]) -> Dimensions:
    return {name: each for name, each in dimensions.items() if name in names}


def _least(every: list[Dimensions], name: str) -> tuple[int, ...]:
    return tuple(map(min, zip(*(each[name] for each in every), strict=True)))


def _most(every: list[Dimensions], name: str) -> tuple[int, ...]:
    return tuple(map(max, zip(*(each[name] for each in every), strict=True)))


def _words(dimensions: Mapping[str, tuple[int, ...]]) -> str:
    return ",".join(f"{name}:{'x'.join(map(str, each))}" for name, each in dimensions.items())
