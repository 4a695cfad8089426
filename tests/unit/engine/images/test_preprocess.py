"""What the graph takes of an image is what transformers' slow processors make of it."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import (
    BaseImageProcessor,
    BeitImageProcessor,
    BitImageProcessor,
    CLIPImageProcessor,
    ConvNextImageProcessor,
    DeiTImageProcessor,
    MobileViTImageProcessor,
    SiglipImageProcessor,
    ViTImageProcessor,
)

from service.engine.bundle import PREPROCESSOR_FILE, Bundle, ImageInput
from service.engine.errors import InvalidBundle, InvalidImage, UnsupportedImage
from service.engine.images.decode import decode
from service.engine.images.limits import Limits
from service.engine.images.preprocess import Preprocessor, pixel_values
from service.engine.images.recipe import read_recipe
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.pictures import (
    MODES,
    as_transformers_loads,
    as_transformers_prepares,
    drawn,
    encoded,
)
from tests.needs import needs_data

TOLERANCE = 1e-5
SIDES = st.integers(1, 90)
FLOATS = st.floats(0.05, 1)
CHANNELS = st.one_of(FLOATS, st.tuples(FLOATS, FLOATS, FLOATS).map(list))
EXACT = st.fixed_dictionaries({"height": SIDES, "width": SIDES})
SHORTER = st.fixed_dictionaries({"shortest_edge": SIDES})

COMMON: dict[str, st.SearchStrategy[Any]] = {
    "resample": st.integers(0, 5),
    "do_rescale": st.booleans(),
    "rescale_factor": st.sampled_from([1 / 255, 1 / 127.5, 0.00392156862745098, 1.0]),
}
NORMAL = {"do_normalize": st.booleans(), "image_mean": CHANNELS, "image_std": CHANNELS}
CROP = {"crop_size": st.one_of(SIDES, EXACT)}

PROCESSORS: dict[type[BaseImageProcessor], dict[str, st.SearchStrategy[Any]]] = {
    ViTImageProcessor: COMMON | NORMAL | {"size": st.one_of(SIDES, EXACT)},
    SiglipImageProcessor: COMMON | NORMAL | {"size": EXACT},
    DeiTImageProcessor: COMMON | NORMAL | CROP | {"size": EXACT, "do_resize": st.booleans()},
    BeitImageProcessor: COMMON | NORMAL | CROP | {"size": EXACT, "do_resize": st.booleans()},
    BitImageProcessor: COMMON
    | NORMAL
    | CROP
    | {"size": st.one_of(SIDES, SHORTER, EXACT), "do_resize": st.booleans()},
    CLIPImageProcessor: COMMON | NORMAL | CROP | {"size": SHORTER},
    ConvNextImageProcessor: COMMON
    | NORMAL
    | {
        "size": st.one_of(st.integers(2, 90), st.just({"shortest_edge": 384})),
        "crop_pct": st.floats(0.3, 1.5),
    },
    MobileViTImageProcessor: COMMON
    | CROP
    | {"size": st.one_of(SHORTER, EXACT), "do_flip_channel_order": st.booleans()},
}


def check(image: Image.Image, processor: BaseImageProcessor) -> None:
    expected = as_transformers_prepares(image, processor)
    recipe = read_recipe(orjson.loads(processor.to_json_string()))
    values = pixel_values(image, recipe)
    assert values.dtype == np.float32
    assert values.shape == (3, recipe.height, recipe.width) == expected.shape
    assert np.abs(values - expected).max() <= TOLERANCE
    again = read_recipe(recipe.document())
    assert np.array_equal(pixel_values(image, again), values)


@pytest.mark.parametrize("kind", PROCESSORS)
@given(data=st.data(), width=st.integers(1, 120), height=st.integers(1, 120))
@settings(max_examples=60)
def test_every_setting_of_every_processor(
    kind: type[BaseImageProcessor], data: st.DataObject, width: int, height: int
) -> None:
    chosen = data.draw(st.fixed_dictionaries({}, optional=PROCESSORS[kind]))
    check(drawn(width, height, data.draw(st.integers(0, 9))), kind(**chosen))


@pytest.mark.parametrize("kind", PROCESSORS)
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 100), (100, 1), (3, 300), (300, 3), (2, 3), (700, 7), (641, 480)]
)
def test_pictures_of_extreme_shapes(kind: type[BaseImageProcessor], size: tuple[int, int]) -> None:
    check(drawn(*size), kind())


@pytest.mark.parametrize("resample", Image.Resampling)
@pytest.mark.parametrize("size", [(640, 480), (480, 640), (300, 900), (900, 300), (255, 256)])
def test_photographs_of_ordinary_shapes(resample: Image.Resampling, size: tuple[int, int]) -> None:
    check(drawn(*size), BitImageProcessor(size={"shortest_edge": 256}, resample=resample))


@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
@pytest.mark.parametrize("kind", MODES)
def test_files_come_out_as_from_transformers(kind: str, orientation: int | None) -> None:
    processor = BitImageProcessor(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32})
    recipe = read_recipe(processor.to_dict())
    for mode in MODES[kind]:
        held = None if kind in {"GIF", "BMP"} else orientation
        data = encoded(drawn(61, 43, 3, mode), kind, held)
        expected = as_transformers_prepares(as_transformers_loads(data), processor)
        values = pixel_values(decode(data, None, Limits()).image, recipe)
        assert np.abs(values - expected).max() <= TOLERANCE


@pytest.mark.parametrize("kind", PROCESSORS)
def test_real_pictures(kind: type[BaseImageProcessor]) -> None:
    with np.load(needs_data("clothing_small_32") / "data.npz") as archive:
        pictures = archive["x_train"] if "x_train" in archive else archive[archive.files[0]]
        pictures = np.asarray(pictures[:40])
    processor = kind()
    recipe = read_recipe(processor.to_dict())
    for number, values in enumerate(pictures):
        data = encoded(Image.fromarray(values), ["JPEG", "PNG", "WEBP"][number % 3], number % 9)
        expected = as_transformers_prepares(as_transformers_loads(data), processor)
        made = pixel_values(decode(data, None, Limits()).image, recipe)
        assert np.abs(made - expected).max() <= TOLERANCE


def image_bundle(folder: Path, document: object, height: int = 32, width: int = 24) -> Bundle:
    (folder / PREPROCESSOR_FILE).write_bytes(orjson.dumps(document))
    image = ImageInput(channels=3, height=height, width=width, tokens=5)
    manifest = manifest_of().model_copy(update={"task": "image", "image": image})
    return Bundle(folder, BACKBONE, manifest, {})


DOCUMENT = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 24}}


def test_a_preprocessor_makes_what_the_graph_takes(tmp_path: Path) -> None:
    preprocessor = Preprocessor(image_bundle(tmp_path, DOCUMENT))
    first, second = encoded(drawn(50, 40), "PNG"), encoded(drawn(9, 50, 1), "JPEG", 6)
    one, two = preprocessor.encode([first, (second, "image/jpeg")])
    assert one.values.shape == two.values.shape == (3, 32, 24)
    assert len(one) == one.tokens == 5
    assert (one.figures.width, one.figures.height, one.figures.bytes) == (50, 40, len(first))
    assert (two.figures.width, two.figures.height) == (50, 9)
    processor = ViTImageProcessor(size={"height": 32, "width": 24})
    expected = as_transformers_prepares(as_transformers_loads(second), processor)
    assert np.abs(two.values - expected).max() <= TOLERANCE


def test_a_preprocessor_refuses_what_it_cannot_take(tmp_path: Path) -> None:
    preprocessor = Preprocessor(image_bundle(tmp_path, DOCUMENT), Limits(bytes=10_000))
    data = encoded(drawn(50, 40), "PNG")
    with pytest.raises(InvalidImage):
        preprocessor.encode([data, data[:-9]])
    with pytest.raises(UnsupportedImage):
        preprocessor.encode([(data, "image/jpeg")])
    assert preprocessor.encode([]) == []


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (DOCUMENT | {"size": 32}, r"\(3, 32, 32\).*\(3, 32, 24\)"),
        (DOCUMENT | {"resample": 9}, "`resample`"),
        ([], "not a JSON object"),
    ],
)
def test_a_bundle_whose_preprocessor_does_not_fit_is_refused(
    tmp_path: Path, document: object, says: str
) -> None:
    with pytest.raises(InvalidBundle, match=says):
        Preprocessor(image_bundle(tmp_path, document))


def test_a_bundle_for_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidBundle, match="takes texts"):
        Preprocessor(Bundle(tmp_path, BACKBONE, manifest_of(), {}))


def test_a_preprocessor_that_is_no_json_is_refused(tmp_path: Path) -> None:
    bundle = image_bundle(tmp_path, {})
    (tmp_path / PREPROCESSOR_FILE).write_bytes(b"{")
    with pytest.raises(InvalidBundle, match="not JSON"):
        Preprocessor(bundle)
