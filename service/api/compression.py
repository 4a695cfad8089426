"""Compressed answers, for clients that ask for them."""

import asyncio
import zlib

_SMALLEST_BYTES = 1024  # below, the headers weigh as much as what is saved
_INLINE_BYTES = 64 << 10  # takes a millisecond, which is what others may be kept waiting for
_FAST = 1
_BITS = {"gzip": 31, "deflate": 15}  # zlib's names of the two formats


def coding_of(accepted: bytes | None) -> str | None:
    """Return which coding a client prefers by its Accept-Encoding; None: none that we have."""
    if accepted is None:
        return None
    weights: dict[str, float] = {}
    for part in accepted.decode("latin-1").lower().split(","):
        name, _, parameter = part.partition(";")
        weights[name.strip()] = _weight(parameter)
    anything = weights.get("*", 0.0)
    best = max(_BITS, key=lambda name: weights.get(name, anything))  # gzip, where they are equal
    weight = weights.get(best, anything)
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else None


def _weight(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


async def compress(body: bytes, accepted: bytes | None) -> tuple[bytes, str | None]:
    """Return a body as the client wants it, and its coding; small ones stay as they are."""
    if len(body) < _SMALLEST_BYTES:
        return body, None
    coding = coding_of(accepted)
    if coding is None:
        return body, None
    if len(body) <= _INLINE_BYTES:
        smaller = zlib.compress(body, _FAST, _BITS[coding])
    else:
        smaller = await asyncio.to_thread(zlib.compress, body, _FAST, _BITS[coding])
    return (smaller, coding) if len(smaller) < len(body) else (body, None)
