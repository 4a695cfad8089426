import gzip
import zlib

import pytest

from service.api.compression import coding_of, compress

pytestmark = pytest.mark.anyio

LARGE = b"a text that repeats itself " * 10_000


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, None),
        (b"", None),
        (b"gzip", "gzip"),
        (b"deflate", "deflate"),
        (b"gzip, deflate, br", "gzip"),
        (b"deflate, GZIP ; Q=0.5", "deflate"),
        (b"deflate;q=0.5, gzip;q=0.4", "deflate"),
        (b"*", "gzip"),
        (b"gzip;q=0, *", "deflate"),
        (b"br, zstd", None),
        (b"identity", None),
        (b"gzip;q=0", None),
        (b"gzip;q=0.2, identity", None),
        (b"gzip;q=x", None),
        (b"gzip;q=nan", None),
        (b"\xff\xfe", None),
    ],
)
def test_the_coding_is_the_one_that_the_client_prefers(
    accepted: bytes | None, coding: str | None
) -> None:
    assert coding_of(accepted) == coding


async def test_a_body_is_compressed_as_asked() -> None:
    body, coding = await compress(LARGE, b"gzip")
    assert (gzip.decompress(body), coding) == (LARGE, "gzip")
    body, coding = await compress(LARGE[:5000], b"deflate")
    assert (zlib.decompress(body), coding) == (LARGE[:5000], "deflate")


async def test_a_body_stays_as_it_is_where_nothing_is_gained() -> None:
    assert await compress(LARGE, None) == (LARGE, None)
    assert await compress(b"small", b"gzip") == (b"small", None)
    noise = bytes(x * x * 2654435761 >> 13 & 255 for x in range(1100))
    assert len(zlib.compress(noise, 1)) > len(noise), "what this test needs"
    assert await compress(noise, b"gzip") == (noise, None)
