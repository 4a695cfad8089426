"""Preprocessing: from the bytes of a JPEG to what the graph takes, here and by transformers.

python -m benchmarks.images_preprocess [--quick]
"""

import io
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import BitImageProcessor, ViTImageProcessor
from transformers.image_utils import load_image

from benchmarks.report import Bar, Report, Rows, arguments, publish
from benchmarks.rounds import Contestant, interleave, timed
from service.engine.images.decode import decode
from service.engine.images.figures import figures_of
from service.engine.images.limits import Limits
from service.engine.images.preprocess import pixel_values
from service.engine.images.recipe import Recipe, read_recipe

SIZES = {"224 x 224": (224, 224), "640 x 480": (640, 480), "4000 x 3000": (4000, 3000)}
PROCESSORS = {
    "ViT, 224": ViTImageProcessor(),
    "BiT (DINOv2), 256 cropped to 224": BitImageProcessor(size={"shortest_edge": 256}),
}
PIXELS = 2_500_000  # of one round, in as many pictures as that makes
TOLERANCE = 1e-5

HERE = "here"
SLOW = "transformers, use_fast=False"
FAST = "transformers, use_fast=True (torchvision)"
DECODED = "Pillow, decoded only"

Prepare = Callable[[bytes], NDArray[np.float32]]


def jpegs(width: int, height: int, count: int) -> list[bytes]:
    """Return pictures of soft shapes and fine noise, about as large as photographs are."""
    rng = np.random.default_rng(1)
    files = []
    for _ in range(count):
        coarse = rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3), dtype=np.uint8)
        soft = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        noise = rng.normal(0, 6, (height, width, 3))
        pixels = np.clip(np.asarray(soft) + noise, 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=85)
        files.append(file.getvalue())
    return files


def prepared_here(recipe: Recipe) -> Prepare:
    """Return what the service does to an image, the log's figures included."""
    limits = Limits()

    def prepare(data: bytes) -> NDArray[np.float32]:
        picture = decode(data, None, limits)
        figures_of(picture)
        return pixel_values(picture.image, recipe)

    return prepare


def prepared_by(processor: object) -> Prepare:
    """Return what transformers does to one."""
    assert callable(processor)

    def prepare(data: bytes) -> NDArray[np.float32]:
        image = load_image(Image.open(io.BytesIO(data)))
        values: NDArray[np.float32] = np.asarray(
            processor(image, return_tensors="pt")["pixel_values"][0]
        )
        return values

    return prepare


def decoded(data: bytes) -> NDArray[np.float32]:
    """Decode a picture, and do nothing with it."""
    load_image(Image.open(io.BytesIO(data)))
    return np.empty(0, dtype=np.float32)


def contestant(prepare: Prepare, files: Sequence[bytes]) -> Contestant:
    """Return a contestant that prepares each file, one by one."""

    def work() -> int:
        for data in files:
            prepare(data)
        return len(files)

    return timed(work)


def stages(files: Sequence[bytes], recipe: Recipe, rounds: int) -> tuple[str, str, str]:
    """Return the median milliseconds of decoding, of the figures, and of what is left."""
    limits = Limits()
    found: list[tuple[float, float, float]] = []
    for _ in range(rounds):
        for data in files:
            start = time.perf_counter()
            picture = decode(data, None, limits)
            decoded_s = time.perf_counter()
            figures_of(picture)
            figured_s = time.perf_counter()
            pixel_values(picture.image, recipe)
            end = time.perf_counter()
            found.append((decoded_s - start, figured_s - decoded_s, end - figured_s))
    decoding, figures, rest = (f"{1e3 * x:.2f}" for x in np.median(found, axis=0))
    return decoding, figures, rest


def fast_of(processor: object) -> object:
    """Return the torchvision processor with the same settings."""
    settings = processor.to_dict()  # type: ignore[attr-defined]
    kind = getattr(__import__("transformers"), settings["image_processor_type"] + "Fast")
    return kind(**{k: v for k, v in settings.items() if k != "image_processor_type"})


def main() -> None:
    """Measure, show, keep."""
    options = arguments(__doc__ or "").parse_args()
    torch.set_num_threads(1)
    has_fast = find_spec("torchvision") is not None
    rows: list[tuple[str, ...]] = []
    steps: list[tuple[str, ...]] = []
    bars: list[Bar] = []
    measured: dict[str, object] = {}
    largest = 0.0
    for size_name, size in SIZES.items():
        files = jpegs(*size, max(2, min(32, PIXELS // (size[0] * size[1]))))
        for name, processor in PROCESSORS.items():
            rounds = 2 if options.quick else 11
            prepares = {
                HERE: prepared_here(read_recipe(processor.to_dict())),
                SLOW: prepared_by(processor),
                DECODED: decoded,
            }
            if has_fast:
                prepares[FAST] = prepared_by(fast_of(processor))
            difference = np.abs(prepares[HERE](files[0]) - prepares[SLOW](files[0])).max()
            largest = max(largest, float(difference))
            title = f"{size_name}, {name}"
            rates = interleave(
                {who: contestant(prepare, files) for who, prepare in prepares.items()},
                rounds,
                title=title,
            )
            rows += [
                (title, who, f"{rates.median(who):,.1f}", str(rates.ratio(HERE, who)))
                for who in prepares
            ]
            bars.append(Bar(f"{title}: here / {SLOW}", rates.ratio(HERE, SLOW).median, 1.0))
            measured[title] = rates.document()
            recipe = read_recipe(processor.to_dict())
            steps.append((title, *stages(files, recipe, rounds)))
    report = Report(
        "images_preprocess",
        "How many pictures a second become what the graph takes, on one thread?",
        {
            "pictures": "2 to 32 drawn JPEGs of each size, quality 85, one at a time",
            "work": "from bytes in memory to float32 [3, 224, 224]; here with the checks before the"
            " decoder and the figures for the log",
        },
    )
    bars.append(Bar("largest difference from use_fast=False", largest, TOLERANCE, at_least=False))
    report.bars = bars
    columns = ("", "check and decode", "figures", "resize, crop, normalise")
    report.tables = [
        Rows("pictures a second", ("", "", "pictures/s", "here / this"), rows),
        Rows("milliseconds a picture, here", columns, steps),
    ]
    if not has_fast:
        report.notes.append("torchvision is not installed, so use_fast=True was not measured.")
    report.measured = measured
    publish(report, options)


if __name__ == "__main__":
    main()
