"""From bytes that a stranger sent to the pixels of an upright RGB picture.

The pixels are those of `transformers.image_utils.load_image`: Pillow's, turned upright by their
EXIF orientation, converted with `convert("RGB")`.
"""

import binascii
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Image import DecompressionBombError, Image, Transpose
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from service.engine.errors import ImageTooLarge, InvalidImage, UnsupportedImage
from service.engine.images import bmp, gif, jpeg, png, webp
from service.engine.images.carved import Carved
from service.engine.images.limits import Limits

_READERS: dict[str, tuple[Callable[[bytes, Limits], Carved], type[ImageFile]]] = {
    jpeg.KIND: (jpeg.carve, JpegImageFile),
    png.KIND: (png.carve, PngImageFile),
    webp.KIND: (webp.carve, WebPImageFile),
    gif.KIND: (gif.carve, GifImageFile),
    bmp.KIND: (bmp.carve, BmpImageFile),
}
KINDS = tuple(_READERS)

_MEDIA_TYPES = {
    "image/jpeg": jpeg.KIND,
    "image/jpg": jpeg.KIND,
    "image/pjpeg": jpeg.KIND,
    "image/png": png.KIND,
    "image/apng": png.KIND,
    "image/x-png": png.KIND,
    "image/webp": webp.KIND,
    "image/gif": gif.KIND,
    "image/bmp": bmp.KIND,
    "image/x-bmp": bmp.KIND,
    "image/x-ms-bmp": bmp.KIND,
}
_UNDECLARED = {"application/octet-stream", "binary/octet-stream"}

# What an upright picture needs, by EXIF orientation.
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}

# All that Pillow raises for a damaged picture.
_DAMAGED = (
    ArithmeticError,
    AttributeError,
    DecompressionBombError,
    EOFError,
    LookupError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

_URL = re.compile(
    r"data:([a-z0-9.+/-]*)((?:;[a-z0-9.+-]+=[a-z0-9.+-]+)*)(;base64)?,", re.IGNORECASE
)
_HEAD_MAX = 256  # characters of a data URL before its comma


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture: upright, RGB, eight bits a channel."""

    image: Image  # mode RGB
    kind: str  # one of KINDS
    bytes: int  # as it came
    fingerprint: int  # 64 bits of the bytes as they came


def decode(data: bytes, declared: str | None, limits: Limits) -> Picture:
    """Return the picture; `declared` is the media type that came with it, if any.

    Raises `ImageTooLarge` from what the header says, before anything is decoded; `UnsupportedImage`
    where the bytes are no picture of a kind that is taken, or not of the declared one; and
    `InvalidImage` where they are damaged.
    """
    if len(data) > limits.bytes:
        raise ImageTooLarge(f"the image has {len(data)} bytes, and the limit is {limits.bytes}")
    if not data:
        raise InvalidImage("the image has no bytes")
    kind = _sniffed(data)
    _check_declared(declared, kind)
    carve, reader = _READERS[kind]
    try:
        carved = carve(data, limits)
        image = _decoded(carved, reader)
    except _DAMAGED as error:
        raise InvalidImage(f"the {kind} cannot be decoded: it is damaged") from error
    digest = blake2b(data, digest_size=8).digest()
    return Picture(image, kind, len(data), int.from_bytes(digest, "big"))


def _decoded(carved: Carved, reader: type[ImageFile]) -> Image:
    image: Image = reader(BytesIO(b"".join(carved.parts)))
    if image.size != (carved.width, carved.height):
        raise ValueError("the decoder reads another size than the header says")
    image.load()
    # It tells how to make an alpha channel, of which there is none in RGB.
    image.info.pop("transparency", None)
    turn = _TURNS.get(carved.orientation)
    if turn is not None:
        image = image.transpose(turn)
    return image.convert("RGB")


def _sniffed(data: bytes) -> str:
    """Return the kind that the first bytes tell, one of KINDS."""
    if data.startswith(jpeg.MAGIC):
        return jpeg.KIND
    if data.startswith(png.MAGIC):
        return png.KIND
    if data.startswith(gif.MAGICS):
        return gif.KIND
    if webp.is_webp(data):
        return webp.KIND
    if bmp.is_bmp(data):
        return bmp.KIND
    looks = _looks_like(data)
    raise UnsupportedImage(
        f"the bytes are none of {', '.join(KINDS)}" + (f": they look like {looks}" if looks else "")
    )


def _looks_like(data: bytes) -> str | None:
    """Return what else the bytes may be, for the person who sent them."""
    if data[:4] in {b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"}:
        return "TIFF"
    if data[4:8] == b"ftyp":
        return "HEIC or AVIF"
    if data.startswith((b"data:", b"http:", b"https:")):
        return "a URL in place of the image"
    if data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "SVG or HTML"
    if data.startswith(b"%PDF"):
        return "PDF"
    if data.startswith(b"PK\x03\x04"):
        return "a ZIP archive"
    return None


def _check_declared(declared: str | None, kind: str) -> None:
    if declared is None:
        return
    media_type = declared.partition(";")[0].strip().lower()
    if media_type in _UNDECLARED:
        return
    meant = _MEDIA_TYPES.get(media_type)
    if meant is None:
        raise UnsupportedImage(f"the declared type is none of {', '.join(sorted(_MEDIA_TYPES))}")
    if meant != kind:
        raise UnsupportedImage(f"the image was declared as {meant}, and its bytes are {kind}")


def data_url(text: str, limits: Limits) -> tuple[bytes, str | None]:
    """Return the bytes and the declared media type of a base64 data URL (RFC 2397).

    Raises `ImageTooLarge` before it decodes what is too long, and `InvalidImage` where the text is
    no such URL: without `;base64`, with percent escapes, line breaks or the URL-safe alphabet, or
    without its padding.
    """
    found = _URL.match(text[:_HEAD_MAX])
    if found is None:
        raise InvalidImage("an image must be a data URL: data:image/png;base64,...")
    if found[3] is None:
        raise InvalidImage("a data URL of an image must be in base64: data:image/png;base64,...")
    encoded = len(text) - found.end()
    if encoded // 4 * 3 > limits.bytes + 2:
        raise ImageTooLarge(
            f"the image has about {encoded // 4 * 3} bytes, and the limit is {limits.bytes}"
        )
    try:
        data = binascii.a2b_base64(text[found.end() :], strict_mode=True)
    except ValueError as error:
        raise InvalidImage(
            "a data URL does not hold base64 (RFC 4648, section 4, with padding and no line breaks)"
        ) from error
    return data, found[1].lower() or None
