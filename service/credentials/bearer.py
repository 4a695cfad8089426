"""The key that a request carries: `Authorization: Bearer <key>` (RFC 6750)."""

from collections.abc import Mapping

Headers = Mapping[bytes, bytes]  # by name in lower case, a repeated one as its list


def bearer(headers: Headers) -> bytes | None:
    """Return the key that a request carries, None where it carries none."""
    scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
    key = key.strip()
    return key if scheme.lower() == b"bearer" and key else None
