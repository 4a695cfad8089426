"""Hostile files are refused, or do no harm: in little memory, with the project's own errors."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.errors import InvalidImage, TenantryError, UnsupportedImage
from service.engine.images.decode import decode
from service.engine.images.limits import Limits
from tests.fakes.hostile_pictures import HOSTILE, png, png_chunk
from tests.fakes.pictures import drawn, encoded

LIMITS = Limits()
ROOT = Path(__file__).parents[4]

# Decodes each file under a limit of memory and of processor time, neither of which comes near to
# what the file asks for, and prints what became of each.
CONFINED = """
import json, resource, sys
from pathlib import Path
from service.engine.errors import TenantryError
from service.engine.images.decode import decode
from service.engine.images.limits import Limits

memory = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (memory + (48 << 20),) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
found = {}
for path in sys.argv[1:]:
    try:
        decode(Path(path).read_bytes(), None, Limits())
        found[path] = None
    except TenantryError as error:
        found[path] = [type(error).__name__, str(error)]
print(json.dumps(found))
"""

FILES = {
    "JPEG": encoded(drawn(64, 48), "JPEG", 6, quality=90),
    "progressive JPEG": encoded(drawn(64, 48), "JPEG", progressive=True),
    "PNG": encoded(drawn(64, 48), "PNG", 6),
    "palette PNG": encoded(drawn(64, 48).quantize(99), "PNG", transparency=3),
    "WebP": encoded(drawn(64, 48), "WEBP", 6),
    "lossless WebP": encoded(drawn(64, 48, mode="RGBA"), "WEBP", lossless=True),
    "GIF": encoded(drawn(64, 48), "GIF"),
    "animated GIF": encoded(
        drawn(64, 48), "GIF", save_all=True, append_images=[drawn(64, 48, 1)], transparency=2
    ),
    "animated WebP": encoded(
        drawn(64, 48), "WEBP", save_all=True, append_images=[drawn(64, 48, 1)]
    ),
    "BMP": encoded(drawn(64, 48), "BMP"),
    "palette BMP": encoded(drawn(64, 48).quantize(99), "BMP"),
}


def test_hostile_files_need_little_memory_and_time(tmp_path: Path) -> None:
    expected = {}
    for number, (make, error) in enumerate(HOSTILE.values()):
        path = tmp_path / str(number)
        path.write_bytes(make())
        expected[str(path)] = error
    command = [sys.executable, "-W", "error", "-c", CONFINED, *expected]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {path: error and error[0] for path, error in found.items()} == expected


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("sixteenth", range(16))
def test_a_truncated_file_is_refused(name: str, sixteenth: int) -> None:
    data = FILES[name]
    cut = data[: len(data) * sixteenth // 16]
    with pytest.raises((InvalidImage, UnsupportedImage)):
        decode(cut, None, LIMITS)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_lacks_one_byte_is_refused(name: str) -> None:
    with pytest.raises(InvalidImage, match="truncated"):
        decode(FILES[name][:-1], None, LIMITS)


@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=6),
)
@settings(max_examples=600)
def test_a_damaged_file_is_decoded_or_refused(name: str, damage: list[tuple[int, int]]) -> None:
    data = bytearray(FILES[name])
    for at, value in damage:
        # Headers are where damage does most.
        data[at % (200 if at % 2 else len(data))] = value
    with suppress(TenantryError):
        assert decode(bytes(data), None, Limits(pixels=1 << 20)).image.mode == "RGB"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xff\xd8\xff\xd9", "holds no picture"),
        (b"\xff\xd8\xff\xda\x00\x02\xff\xd9", "before any frame"),
        (b"\xff\xd8\xff\xe0\x00\x01\xff\xd9", "no length"),
        (b"\xff\xd8\xff\xc0\x00\x04\x08\x00\xff\xd9", "half of one"),
        (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IEND", b""), "begin with its header"),
        (png(4, 4).replace(b"IDAT", b"iDAT"), "holds no picture"),
        (
            png(4, 4)[:33] + png_chunk(b"IDAT", b"") + png_chunk(b"teXt", b"") + png(4, 4)[33:],
            "between the parts",
        ),
        (png(4, 4, *[png_chunk(b"teSt", b"")] * 40_000), "more than 32768 chunks"),
        (png(0, 4), "no picture"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "holds no picture"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00?", "unknown kind"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00!\xfe" + b"\x01\x00" * 300_000 + b"\x00;", "blocks"),
        (b"RIFF\x04\x00\x00\x00WEBP", "holds no picture"),
        (b"RIFF\x0c\x00\x00\x00WEBPVP8 \x00\x00\x00\x00", "without its header"),
        (b"RIFF\x0c\x00\x00\x00WEBPVP8L\x00\x00\x00\x00", "without its header"),
        (b"RIFF\x0c\x00\x00\x00WEBPVP8X\x00\x00\x00\x00", "out of place"),
        (b"RIFF\x0c\x00\x00\x00WEBPANMF\x00\x00\x00\x00", "before its header"),
        (
            b"RIFF"
            + (4 + 8 * 5000).to_bytes(4, "little")
            + b"WEBP"
            + b"junk\x00\x00\x00\x00" * 5000,
            "more than 4096 chunks",
        ),
    ],
)
def test_a_malformed_file_says_how(data: bytes, says: str) -> None:
    with pytest.raises(InvalidImage, match=says):
        decode(data, None, LIMITS)


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG"])
def test_an_animation_may_not_have_too_many_frames(name: str) -> None:
    frames = [drawn(8, 8, seed) for seed in range(4)]
    data = encoded(frames[0], name, save_all=True, append_images=frames[1:])
    assert decode(data, None, Limits(frames=4)).image.size == (8, 8)
    with pytest.raises(TenantryError, match="more than 3 frames"):
        decode(data, None, Limits(frames=3))


def test_what_follows_a_picture_is_not_looked_at() -> None:
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP"):
        data = encoded(drawn(9, 5), kind)
        whole = decode(data, None, LIMITS).image.tobytes()
        assert decode(data + b"trailing", None, LIMITS).image.tobytes() == whole


def test_a_stray_terminator_in_a_gif_is_stepped_over() -> None:
    data = encoded(drawn(9, 5), "GIF")
    assert decode(data[:-1] + b"\x00;", None, LIMITS).image.size == (9, 5)
