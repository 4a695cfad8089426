"""The draw that decides between live and canary: one position for each routing key.

A position is a number from 0 up to, but not including, 100. The canary answers where it is below
the canary's percent, so raising 10 to 20 keeps the keys that had the canary at 10. Anyone can
compute it: SHA-256 of `tenant/adapter/key` in UTF-8, of its first 8 bytes, read as a big-endian
number, the upper 53 bits, divided by 2**53 and times 100. (53 bits are what a double holds.)
"""

import hashlib

_BITS = 53
_ALONE_ONE_IN = 8


def position(tenant: str, adapter: str, key: str) -> float:
    """Return where a routing key stands for an adapter, in [0, 100).

    >>> round(position("acme", "routing", "user-42"), 6)
    99.119367
    """
    text = f"{tenant}/{adapter}/{key}".encode(errors="surrogatepass")
    drawn = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> (64 - _BITS)
    return 100.0 * drawn / (1 << _BITS)


def goes_alone(tenant: str, adapter: str, request_id: str) -> bool:
    """Return whether the canary answers a request without a twin: one in eight of them.

    A twin rides in the canary's own pass and makes it longer, so latency is judged by these. Of the
    request's id, which is in the log: whoever reads it knows which ones were chosen.

    >>> sum(goes_alone("acme", "support", f"request-{n}") for n in range(8_000))
    973
    """
    text = f"{tenant}/{adapter}/{request_id}".encode(errors="surrogatepass")
    return hashlib.blake2b(text, digest_size=1).digest()[0] % _ALONE_ONE_IN == 0
