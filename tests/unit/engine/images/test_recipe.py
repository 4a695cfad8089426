"""A recipe says what transformers' slow processor would do, or names what it cannot say."""

import re
from typing import Any

import pytest
from PIL.Image import Resampling

from service.engine.errors import UnsupportedRecipe
from service.engine.images.recipe import Recipe, read_recipe
from service.engine.images.settings import ToShorterSide, ToSize

HALF = (0.5, 0.5, 0.5)
VIT = "ViTImageProcessor"
BIT = "BitImageProcessor"
CONVNEXT = "ConvNextImageProcessor"


def read(processor: str = VIT, **settings: Any) -> Recipe:
    return read_recipe({"image_processor_type": processor, **settings})


def test_the_file_of_google_vit_base() -> None:
    recipe = read_recipe(
        {
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "ViTImageProcessor",
            "image_std": [0.5, 0.5, 0.5],
            "resample": 2,
            "rescale_factor": 0.00392156862745098,
            "size": {"height": 224, "width": 224},
        }
    )
    assert recipe == Recipe(
        ToSize(224, 224), Resampling.BILINEAR, None, 1 / 255, HALF, HALF, bgr=False
    )
    assert (recipe.height, recipe.width) == (224, 224)


def test_the_file_of_microsoft_resnet_50() -> None:
    recipe = read_recipe(
        {
            "crop_pct": 0.875,
            "do_normalize": True,
            "do_resize": True,
            "feature_extractor_type": "ConvNextFeatureExtractor",
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
            "resample": 3,
            "size": 224,
        }
    )
    assert recipe.resize == ToShorterSide(256)
    assert recipe.crop == ToSize(224, 224)
    assert recipe.resample is Resampling.BICUBIC


def test_convnext_keeps_the_shape_below_384_pixels_only() -> None:
    assert read(CONVNEXT, size={"shortest_edge": 383}).resize == ToShorterSide(437)
    recipe = read(CONVNEXT, size={"shortest_edge": 384}, crop_pct=0.5)
    assert (recipe.resize, recipe.crop) == (ToSize(384, 384), None)


@pytest.mark.parametrize(
    ("model_type", "resize", "crop"),
    [
        ("vit", ToSize(224, 224), None),
        ("swin", ToSize(224, 224), None),
        ("deit", ToSize(256, 256), ToSize(224, 224)),
        ("dinov2", ToShorterSide(224), ToSize(224, 224)),
        ("convnext", ToSize(384, 384), None),
        ("resnet", ToSize(384, 384), None),
    ],
)
def test_without_a_name_the_model_tells_the_processor(
    model_type: str, resize: object, crop: object
) -> None:
    recipe = read_recipe({}, model_type)
    assert (recipe.resize, recipe.crop) == (resize, crop)
    assert read_recipe({"image_processor_type": VIT}, model_type) == read()


@pytest.mark.parametrize("suffix", ["", "Fast", "Pil"])
def test_all_names_of_a_processor_mean_the_same(suffix: str) -> None:
    assert read(BIT + suffix, data_format="channels_first", device=None) == read(BIT)
    assert read_recipe({"feature_extractor_type": "ViTFeatureExtractor"}) == read(VIT)


@pytest.mark.parametrize(
    "recipe",
    [
        read(),
        read(BIT, size=300, crop_size=[100, 200], do_normalize=False, resample=5),
        read(BIT, do_resize=False, do_rescale=False, image_mean=0.1, image_std=[0.1, 0.2, 0.3]),
        read(CONVNEXT, size=224, crop_pct=0.9),
        read("MobileViTImageProcessor"),
        read("MobileViTImageProcessor", do_flip_channel_order=False),
    ],
)
def test_a_recipe_is_read_back_from_what_it_says(recipe: Recipe) -> None:
    document = recipe.document()
    assert read_recipe(document) == recipe
    assert None not in document.values()


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"image_processor_type": "DetrImageProcessor"}, "DetrImageProcessor"),
        ({"image_processor_type": 7}, "image_processor_type"),
        ({"feature_extractor_type": "Wav2Vec2FeatureExtractor"}, "Wav2Vec2FeatureExtractor"),
        ({}, "image_processor_type"),
    ],
)
def test_a_processor_that_is_not_known_is_named(settings: dict[str, Any], names: str) -> None:
    with pytest.raises(UnsupportedRecipe, match=names):
        read_recipe(settings)
    with pytest.raises(UnsupportedRecipe, match="bert"):
        read_recipe({}, "bert")


@pytest.mark.parametrize(
    ("processor", "settings", "names"),
    [
        (VIT, {"size": {"shortest_edge": 224}}, "`size`"),
        (VIT, {"size": {"height": 224}}, "`size`"),
        (VIT, {"size": "large"}, "`size`"),
        (VIT, {"size": 0}, "`size`"),
        (VIT, {"size": True}, "`size`"),
        (VIT, {"size": [224, 99_999]}, "`size`"),
        (VIT, {"do_resize": False}, "`do_resize`.*fixed"),
        (VIT, {"do_center_crop": True}, "`do_center_crop`"),
        (VIT, {"do_pad": True}, "`do_pad`.*not known"),
        (VIT, {"do_flip_channel_order": True}, "`do_flip_channel_order`"),
        (VIT, {"do_normalize": "yes"}, "`do_normalize`"),
        (VIT, {"auto_map": {"AutoImageProcessor": "own.Processor"}}, "`auto_map`"),
        (VIT, {"data_format": "channels_last"}, "`data_format`"),
        (VIT, {"resample": 99}, "`resample`"),
        (VIT, {"resample": None}, "`resample`"),
        (VIT, {"resample": "bicubic"}, "`resample`"),
        (VIT, {"rescale_factor": None}, "`rescale_factor`"),
        (VIT, {"rescale_factor": float("nan")}, "`rescale_factor`"),
        (VIT, {"image_mean": [0.5, 0.5]}, "`image_mean`"),
        (VIT, {"image_mean": [0.5, 0.5, "0.5"]}, "`image_mean`"),
        (VIT, {"image_std": [0.5, 0, 0.5]}, "`image_std`"),
        (BIT, {"size": {"longest_edge": 224}}, "`size`"),
        (BIT, {"size": {"shortest_edge": 224, "longest_edge": 300}}, "`size`.*longest_edge"),
        (BIT, {"size": {"max_height": 224, "max_width": 224}}, "`size`"),
        (BIT, {"do_center_crop": False}, "`size`.*fixed"),
        (BIT, {"crop_size": {"shortest_edge": 224}}, "`crop_size`"),
        (BIT, {"use_square_size": True}, "`use_square_size`"),
        (CONVNEXT, {"size": {"height": 224, "width": 224}}, "`size`"),
        (CONVNEXT, {"do_resize": None}, "`do_resize`"),
        (CONVNEXT, {"size": 224, "crop_pct": 0}, "`crop_pct`"),
        (CONVNEXT, {"size": 224, "crop_pct": 1e-9}, "`crop_pct`"),
        (CONVNEXT + "Fast", {}, "`resample`"),
        ("SiglipImageProcessor", {"size": 224}, "`size`"),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_its_value(
    processor: str, settings: dict[str, Any], names: str
) -> None:
    with pytest.raises(UnsupportedRecipe, match=names) as caught:
        read(processor, **settings)
    said = re.match(r"\w+: `(\w+)` is ", str(caught.value))
    assert said is not None
    value = settings.get(said[1])
    assert str(caught.value).startswith(f"{processor}: `{said[1]}` is {value!r}: ")


def test_settings_without_effect_are_passed_over() -> None:
    unused = {
        "do_convert_rgb": True,
        "do_center_crop": None,
        "crop_size": None,
        "crop_pct": 0.9,
        "do_pad": False,
        "processor_class": "ViTProcessor",
        "input_data_format": None,
        "return_tensors": None,
    }
    assert read(VIT, **unused) == read(VIT)
