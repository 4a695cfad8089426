"""Files that only somebody with bad intentions, or a broken disk, would send for a picture."""

import struct
import zlib

from tests.fakes.pictures import drawn, encoded

MIB = 1 << 20


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk with its length and checksum."""
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))


def png(width: int, height: int, *others: bytes, rows: bytes | None = None) -> bytes:
    """Return a PNG of grey pixels with other chunks before them; all black unless `rows` say."""
    header = struct.pack(">LLBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((width + 1) * height) if rows is None else rows)
    chunks = [png_chunk(b"IHDR", header), *others]
    chunks += [png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def text_bomb() -> bytes:
    """Return a PNG of 8 x 8 pixels with 2 GiB of text and a profile of 64 MiB, all deflated."""
    zeros = zlib.compress(bytes(MIB))
    texts = [png_chunk(b"zTXt", b"k%d\x00\x00" % i + zeros) for i in range(2048)]
    return png(8, 8, *texts, png_chunk(b"iCCP", b"p\x00\x00" + _deflated_zeros(64)))


def orientation_bomb() -> bytes:
    """Return a PNG whose EXIF data are in a text that inflates to 64 MiB."""
    zeros = _deflated_zeros(64)
    return png(8, 8, png_chunk(b"zTXt", b"Raw profile type exif\x00\x00" + zeros))


def orientation_storm() -> bytes:
    """Return a PNG with 12,000 texts that may tell which way up it is, each 1 MiB once inflated."""
    zeros = zlib.compress(bytes(MIB))
    xmp = png_chunk(b"iTXt", b"XML:com.adobe.xmp\x00\x01\x00\x00\x00" + zeros)
    raw = png_chunk(b"zTXt", b"Raw profile type exif\x00\x00" + zeros)
    return png(8, 8, (xmp + raw) * 6000)


def _deflated_zeros(mebibytes: int) -> bytes:
    deflater = zlib.compressobj(1)
    return b"".join([*(deflater.compress(bytes(MIB)) for _ in range(mebibytes)), deflater.flush()])


def pixel_bomb() -> bytes:
    """Return a PNG of 8 x 8 pixels whose data go on for 64 MiB behind the last of them."""
    whole = png(8, 8)
    at = whole.index(b"IDAT") - 4
    return whole[:at] + png_chunk(b"IDAT", _deflated_zeros(64)) + png_chunk(b"IEND", b"")


def huge_png() -> bytes:
    """Return a PNG whose header promises 2 ** 62 pixels."""
    return png(0x7FFFFFFF, 0x7FFFFFFF, rows=b"")


def jpeg_segment(code: int, body: bytes) -> bytes:
    """Return a marker segment."""
    return bytes([0xFF, code]) + struct.pack(">H", 2 + len(body)) + body


def exif_bomb() -> bytes:
    """Return a JPEG whose EXIF data, 64 KiB, have 4,000 entries that each hold all the rest.

    A reader that follows them takes 60 MiB, and 250 times that if such segments are joined.
    """
    count, size = 4000, 17_000
    entries = (struct.pack(">HHLL", 0xC000 + i, 7, size, 12 * count + 14) for i in range(count))
    data = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08" + struct.pack(">H", count) + b"".join(entries)
    return _with_segments(jpeg_segment(0xE1, (data + bytes(size))[:65_533]))


def giant_exif() -> bytes:
    """Return a JPEG with 12 MiB of EXIF data in many segments."""
    segment = jpeg_segment(0xE1, b"Exif\x00\x00" + bytes(65_000))
    return _with_segments(segment * (12 * MIB // len(segment)))


def many_segments() -> bytes:
    """Return a JPEG with a million comments."""
    return _with_segments(jpeg_segment(0xFE, b"") * 1_000_000)


def huge_jpeg() -> bytes:
    """Return a JPEG whose header promises 65,500 x 65,500 pixels."""
    data = encoded(drawn(8, 8), "JPEG")
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", 65_500, 65_500) + data[at + 9 :]


def scan_bomb() -> bytes:
    """Return a progressive JPEG of 16 Mi pixels whose last scan is there 3,000 times more."""
    data = encoded(drawn(8, 8).resize((4096, 4096)), "JPEG", progressive=True, quality=1)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * 3000 + data[-2:]


def many_frames() -> bytes:
    """Return a GIF of 100,000 frames."""
    screen, frame = _gif()
    return screen + frame * 100_000 + b";"


def huge_gif() -> bytes:
    """Return a GIF whose frame is 65,535 x 65,535 pixels, on a screen of one."""
    screen, frame = _gif()
    screen = screen[:6] + struct.pack("<HH", 1, 1) + screen[10:]
    return screen + struct.pack("<BHHHH", 0x2C, 0, 0, 65_535, 65_535) + frame[9:] + b";"


def comment_bomb() -> bytes:
    """Return a GIF with a comment of 12 MiB, whose blocks a reader may join one by one."""
    screen, frame = _gif()
    comment = b"!\xfe" + (b"\xff" + bytes(255)) * (12 * MIB // 256) + b"\x00"
    return screen + comment + frame + b";"


def _gif() -> tuple[bytes, bytes]:
    """Return a screen with its colours, and a frame."""
    data = encoded(drawn(4, 4, mode="L"), "GIF")
    colours = 3 << (data[10] & 7) + 1
    return data[: 13 + colours], data[data.index(b",", 13 + colours) : -1]


def huge_webp() -> bytes:
    """Return a WebP whose header promises 16,384 x 16,384 pixels."""
    bits = 16_383 | 16_383 << 14
    body = b"VP8L" + struct.pack("<LBL", 9, 0x2F, bits) + bytes(5)
    return b"RIFF" + struct.pack("<L", 4 + len(body)) + b"WEBP" + body


def lying_webp() -> bytes:
    """Return a WebP whose header says 8 x 8 pixels, and whose picture is 16,384 x 16,384."""
    header = b"VP8X" + struct.pack("<LB3x", 10, 0) + b"\x07\x00\x00\x07\x00\x00"
    body = header + huge_webp()[12:]
    return b"RIFF" + struct.pack("<L", 4 + len(body)) + b"WEBP" + body


def huge_bmp() -> bytes:
    """Return a BMP of 30,000 x 30,000 pixels, without any of them."""
    header = struct.pack("<LllHHLLllLL", 40, 30_000, 30_000, 1, 1, 0, 0, 0, 0, 2, 0)
    return b"BM" + struct.pack("<LLL", 62, 0, 62) + header + b"\x00\x00\x00\x00\xff\xff\xff\x00"


def run_length_bmp() -> bytes:
    """Return a BMP in run-length codes, which Pillow reads byte by byte in Python."""
    header = struct.pack("<LllHHLLllLL", 40, 5000, 5000, 1, 8, 1, 0, 0, 0, 2, 0)
    return b"BM" + struct.pack("<LLL", 62, 0, 62) + header + bytes(8) + b"\x00\x00" * 5000


def _with_segments(segments: bytes) -> bytes:
    data = encoded(drawn(8, 8), "JPEG")
    return data[:2] + segments + data[2:]


# Each with what becomes of it: the error's name, or None where it does no harm and is answered.
HOSTILE = {
    "a PNG with bombs of text": (text_bomb, None),
    "a PNG with a bomb for its orientation": (orientation_bomb, None),
    "a PNG with a storm of orientations": (orientation_storm, None),
    "a PNG with pixels beyond its last": (pixel_bomb, None),
    "a PNG of 2 ** 62 pixels": (huge_png, "ImageTooLarge"),
    "a JPEG with entries that overlap": (exif_bomb, None),
    "a JPEG with 12 MiB of EXIF data": (giant_exif, None),
    "a JPEG with a million comments": (many_segments, "InvalidImage"),
    "a JPEG of 4 Gi pixels": (huge_jpeg, "ImageTooLarge"),
    "a JPEG with 3,000 scans": (scan_bomb, "ImageTooLarge"),
    "a GIF of 100,000 frames": (many_frames, "ImageTooLarge"),
    "a GIF whose frame is huge": (huge_gif, "ImageTooLarge"),
    "a GIF with a comment of 12 MiB": (comment_bomb, None),
    "a WebP of 256 Mi pixels": (huge_webp, "ImageTooLarge"),
    "a WebP that lies about its size": (lying_webp, "InvalidImage"),
    "a BMP of 900 M pixels": (huge_bmp, "ImageTooLarge"),
    "a BMP in run-length codes": (run_length_bmp, "InvalidImage"),
}
