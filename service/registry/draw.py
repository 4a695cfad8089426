"""The draw that decides between live and canary: one position for each routing key.

A position is a number from 0 up to, but not including, 100. The canary answers where it is below
the canary's percent, so raising 10 to 20 keeps the keys that had the canary at 10. Anyone can
compute it: SHA-256 of `tenant/adapter/key` in UTF-8, of its first 8 bytes, read as a big-endian
number, the upper 53 bits, divided by 2**53 and times 100. (53 bits are what a double holds.)
"""

import hashlib

_BITS = 53


def position(tenant: str, adapter: str, key: str) -> float:
    """Return where a routing key stands for an adapter, in [0, 100).

    >>> round(position("acme", "routing", "user-42"), 6)
    99.119367
    """
    text = f"{tenant}/{adapter}/{key}".encode(errors="surrogatepass")
    drawn = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> (64 - _BITS)
    return 100.0 * drawn / (1 << _BITS)
