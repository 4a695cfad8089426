"""Pictures that the demo draws itself: toy blocks on a conveyor belt, by day and by night."""

import io
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

SHAPES = ("ball", "brick", "star")
COLOURS = {
    "red": (205, 55, 50),
    "green": (60, 160, 80),
    "blue": (55, 90, 200),
    "yellow": (230, 195, 60),
}
_BELT = (150, 148, 140)
_DRAWN = 4  # times as large, and made smaller: smooth edges
_GREY_NOISE = 9.0


@dataclass(frozen=True, slots=True)
class Drawing:
    """One picture as a file, and what is on it."""

    file: bytes  # PNG
    shape: str
    colour: str


def draw_many(count: int, seed: int, *, night: bool = False) -> list[Drawing]:
    """Return so many pictures, each shape as often as the others; the same for the same seed."""
    chance = random.Random(seed)
    shapes = [SHAPES[number % len(SHAPES)] for number in range(count)]
    chance.shuffle(shapes)
    return [_draw(shape, chance, night=night) for shape in shapes]


def _draw(shape: str, chance: random.Random, *, night: bool) -> Drawing:
    name = chance.choice(sorted(COLOURS))
    width, height = chance.randrange(72, 112), chance.randrange(64, 88)
    shade = chance.uniform(0.8, 1.2)
    ground = tuple(round(part * chance.uniform(0.9, 1.1)) for part in _BELT)
    image = Image.new("RGB", (width * _DRAWN, height * _DRAWN), ground)
    radius = height * _DRAWN * chance.uniform(0.36, 0.45)
    centre = (
        image.width / 2 + chance.uniform(-0.06, 0.06) * image.width,
        image.height / 2 + chance.uniform(-0.04, 0.04) * image.height,
    )
    colour = tuple(min(255, round(part * shade)) for part in COLOURS[name])
    _paint(ImageDraw.Draw(image), shape, centre, radius, chance.uniform(-0.4, 0.4), colour)
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    noise = Image.effect_noise((width, height), _GREY_NOISE).convert("RGB")
    image = Image.blend(image, noise, 0.12)
    if night:  # the hall is dark, and the camera moves
        image = ImageEnhance.Brightness(image).enhance(chance.uniform(0.25, 0.4))
        image = image.filter(ImageFilter.GaussianBlur(2.0))
    file = io.BytesIO()
    image.save(file, "PNG")
    return Drawing(file.getvalue(), shape, name)


def _paint(
    draw: ImageDraw.ImageDraw,
    shape: str,
    centre: tuple[float, float],
    radius: float,
    turned: float,
    colour: tuple[int, ...],
) -> None:
    x, y = centre
    if shape == "ball":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    elif shape == "brick":
        draw.polygon(_corners(centre, (1.0, 1.0, 1.0, 1.0), radius, turned), fill=colour)
    else:
        draw.polygon(_corners(centre, (1.0, 0.38) * 5, radius, turned), fill=colour)


def _corners(
    centre: tuple[float, float], reach: Sequence[float], radius: float, turned: float
) -> list[tuple[float, float]]:
    """Return the corners of a polygon, each at its reach of the radius."""
    step = 2 * math.pi / len(reach)
    return [
        (
            centre[0] + far * radius * math.sin(turned + place * step),
            centre[1] - far * radius * math.cos(turned + place * step),
        )
        for place, far in enumerate(reach)
    ]
