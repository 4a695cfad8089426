"""Every picture is decoded as `transformers.image_utils.load_image` does it, or refused."""

import base64
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from service.engine.errors import ImageTooLarge, InvalidImage, TenantryError, UnsupportedImage
from service.engine.images.decode import KINDS, data_url, decode
from service.engine.images.limits import Limits
from tests.fakes.hostile_pictures import png_chunk
from tests.fakes.pictures import MODES, as_transformers_loads, drawn, encoded, exif_of

EVERY_MODE = [(kind, mode) for kind, modes in MODES.items() for mode in modes]
LIMITS = Limits()


def same(ours: Image.Image, theirs: Image.Image) -> bool:
    return ours.mode == theirs.mode and np.array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize(("kind", "mode"), EVERY_MODE)
@given(width=st.integers(1, 40), height=st.integers(1, 40), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_pixels_are_those_of_transformers(
    kind: str, mode: str, width: int, height: int, seed: int
) -> None:
    data = encoded(drawn(width, height, seed, mode), kind)
    assert same(decode(data, None, LIMITS).image, as_transformers_loads(data))


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize(("kind", "mode"), [x for x in EVERY_MODE if x[0] not in {"GIF", "BMP"}])
def test_a_picture_is_turned_upright(kind: str, mode: str, orientation: int) -> None:
    data = encoded(drawn(31, 17, 1, mode), kind, orientation)
    picture = decode(data, None, LIMITS)
    assert same(picture.image, as_transformers_loads(data))
    assert (picture.image.width == 17) == (5 <= orientation <= 8)


@pytest.mark.parametrize("key", ["Raw profile type exif", "XML:com.adobe.xmp"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_png_may_tell_its_orientation_in_a_text(key: str, compressed: bool) -> None:
    exif = exif_of(6)
    about = PngInfo()
    if key.startswith("XML"):
        about.add_itxt(key, '<x tiff:Orientation="6"/>', zip=compressed)
    else:
        about.add_text(key, f"\nexif\n  {len(exif)}\n{exif.hex()}", compressed)
    data = encoded(drawn(31, 17), "PNG", pnginfo=about)
    picture = decode(data, None, LIMITS)
    assert picture.image.size == (17, 31)
    assert same(picture.image, as_transformers_loads(data))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    first, *others = (drawn(20, 12, seed) for seed in range(4))
    data = encoded(first, kind, save_all=True, append_images=others, duration=50)
    assert same(decode(data, None, LIMITS).image, as_transformers_loads(data))


@pytest.mark.parametrize(("colours", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_a_png_of_16_bits_a_channel_comes_out_as_from_transformers(
    colours: int, channels: int
) -> None:
    values = np.random.default_rng(colours).integers(0, 256, (5, 1 + 7 * channels * 2))
    values[:, 0] = 0  # how a row is filtered: not at all
    header = struct.pack(">LLBBBBB", 7, 5, 16, colours, 0, 0, 0)
    pixels = zlib.compress(values.astype(np.uint8).tobytes())
    chunks = [png_chunk(b"IHDR", header), png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
    image = decode(data, None, LIMITS).image
    assert same(image, as_transformers_loads(data))
    if colours == 2:
        # Of the 16 bits of a colour Pillow keeps the upper eight; of those of a grey, it clips.
        assert np.array_equal(np.asarray(image).reshape(5, -1), values[:, 1::2])


@pytest.mark.parametrize("transparency", [0, b"\x00\x80" * 20])
def test_what_is_transparent_keeps_its_colour(transparency: int | bytes) -> None:
    palette = drawn(20, 12).quantize(40)
    data = encoded(palette, "PNG", transparency=transparency)
    assert same(decode(data, None, LIMITS).image, as_transformers_loads(data))
    data = encoded(palette, "GIF", transparency=7)
    assert same(decode(data, None, LIMITS).image, as_transformers_loads(data))


def test_a_picture_tells_where_it_came_from() -> None:
    data = encoded(drawn(9, 5), "WEBP")
    picture = decode(data, "image/webp", LIMITS)
    assert (picture.kind, picture.bytes) == ("WebP", len(data))
    assert picture.fingerprint == decode(data, None, LIMITS).fingerprint
    assert picture.fingerprint != decode(encoded(drawn(9, 5, 1), "WEBP"), None, LIMITS).fingerprint


@pytest.mark.parametrize(
    ("declared", "taken"),
    [
        ("image/png", True),
        ("IMAGE/PNG; charset=binary", True),
        ("application/octet-stream", True),
        ("image/jpeg", False),
        ("image/tiff", False),
        ("text/html", False),
        ("", False),
    ],
)
def test_the_declared_type_must_be_that_of_the_bytes(declared: str, taken: bool) -> None:
    data = encoded(drawn(9, 5), "PNG")
    if taken:
        assert decode(data, declared, LIMITS).kind == "PNG"
        return
    with pytest.raises(UnsupportedImage, match="declared"):
        decode(data, declared, LIMITS)


@pytest.mark.parametrize(
    ("data", "looks"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG or HTML"),
        (b"\xef\xbb\xbf\n<!doctype html><html></html>", "SVG or HTML"),
        (b"PK\x03\x04" + bytes(60), "ZIP"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\x00\x00\x00\x20ftypheic" + bytes(60), "HEIC or AVIF"),
        (b"II*\x00" + bytes(60), "TIFF"),
        (b"https://pictures.example/1.png", "a URL"),
        (b"BMW drives", None),
        (b"RIFF\x04\x00\x00\x00WAVE", None),
        (b"\x00", None),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, looks: str | None) -> None:
    with pytest.raises(UnsupportedImage) as caught:
        decode(data, None, LIMITS)
    assert all(kind in str(caught.value) for kind in KINDS)
    assert (looks or "JPEG") in str(caught.value)
    assert ("look like" in str(caught.value)) == (looks is not None)


@pytest.mark.parametrize(
    ("limits", "names"),
    [
        (Limits(bytes=100), "bytes"),
        (Limits(pixels=30 * 20 - 1), "30 x 20 pixels, and a picture has at most 599"),
        (Limits(side=29), "a side has at most 29"),
        (Limits(aspect=1), "one side is at most 1 times the other"),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_each_limit_is_named_where_it_is_passed(kind: str, limits: Limits, names: str) -> None:
    with pytest.raises(ImageTooLarge, match=names):
        decode(encoded(drawn(30, 20), kind), None, limits)


def test_an_image_of_no_bytes_is_refused() -> None:
    with pytest.raises(InvalidImage, match="no bytes"):
        decode(b"", None, LIMITS)


def test_a_data_url_gives_its_bytes_and_type() -> None:
    data = encoded(drawn(9, 5), "PNG")
    text = base64.b64encode(data).decode()
    assert data_url(f"data:image/png;base64,{text}", LIMITS) == (data, "image/png")
    assert data_url(f"DATA:Image/PNG;name=a.png;BASE64,{text}", LIMITS) == (data, "image/png")
    assert data_url(f"data:;base64,{text}", LIMITS) == (data, None)


@given(st.binary(max_size=300))
def test_every_byte_comes_through_a_data_url(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    assert data_url(f"data:image/gif;base64,{text}", LIMITS) == (data, "image/gif")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "iVBORw0KGgo=",
        "data:image/png,iVBORw0KGgo=",
        "data:image/png;base64;iVBORw0KGgo=",
        "data:image/png;base64,iVBORw0KGgo",  # without its padding
        "data:image/png;base64,iVBOR w0KGgo=",
        "data:image/png;base64,iVBORw0KGgo=\n",
        "data:image/png;base64,iVBORw0KGg%3D",
        "data:image/png;base64,-_BORw0KGgo=",  # the URL-safe alphabet
        "data:image/png;base64,iVBO\u00e9w0KGgo=",
        "data:image/png;base64,=",
        "data:" + "a" * 1000 + ";base64,iVBORw0KGgo=",
        "https://pictures.example/1.png",
    ],
)
def test_what_is_no_data_url_in_base64_is_refused(text: str) -> None:
    with pytest.raises(InvalidImage) as caught:
        data_url(text, LIMITS)
    assert "iVBO" not in str(caught.value)


def test_a_data_url_is_measured_before_it_is_decoded() -> None:
    limits = Limits(bytes=300)
    assert data_url("data:;base64," + "A" * 400, limits) == (bytes(300), None)
    for size in (404, 40_000_000):
        with pytest.raises(ImageTooLarge, match="300"):
            data_url("data:;base64," + "!" * size, limits)


@given(st.binary(max_size=2000), st.sampled_from(["", *MODES]))
@settings(max_examples=300)
def test_noise_is_refused_as_such(noise: bytes, kind: str) -> None:
    head = encoded(drawn(9, 5), kind)[:26] if kind else b""
    with pytest.raises(TenantryError):
        decode(head + noise, None, LIMITS)
