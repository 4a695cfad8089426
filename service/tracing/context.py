"""W3C trace context: what a caller sends of its trace, and what an answer says of ours.

https://www.w3.org/TR/trace-context/ ; what is malformed is taken for not sent, as it asks.
"""

import re
from dataclasses import dataclass
from random import getrandbits

# Later versions may append fields.
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE_BYTES_MAX = 512  # which everyone must pass on; more is left out as a whole
_MEMBERS_MAX = 32
_SIMPLE_KEY = r"[a-z][a-z0-9_\-*/]{0,255}"
_TENANT_KEY = r"[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}"
_VALUE = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER = re.compile(f"({_SIMPLE_KEY}|{_TENANT_KEY})=({_VALUE})")


@dataclass(frozen=True, slots=True)
class Incoming:
    """The span of a caller's that this request belongs to."""

    trace_id: str  # 32 hexadecimal digits
    parent_id: str  # 16
    sampled: bool  # whether the caller says that it records
    state: bytes = b""  # `tracestate` as it came


def parse_traceparent(header: bytes, state: bytes = b"") -> Incoming | None:
    """Return what the headers `traceparent` and `tracestate` say; None where it is malformed."""
    match = _TRACEPARENT.fullmatch(header)
    if match is None:
        return None
    version, trace, parent, flags, more = match.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    if not trace.strip(b"0") or not parent.strip(b"0"):
        return None
    sampled = bool(int(flags, 16) & 1)
    return Incoming(trace.decode("ascii"), parent.decode("ascii"), sampled, state)


def traceparent_of(trace_id: str, span_id: str, *, sampled: bool) -> bytes:
    """Return the header for a span of ours."""
    return f"00-{trace_id}-{span_id}-{'01' if sampled else '00'}".encode("ascii")


def new_trace_id() -> str:
    """Return 32 random hexadecimal digits that are not all zero."""
    return _random(128)


def new_span_id() -> str:
    """Return 16 random hexadecimal digits that are not all zero."""
    return _random(64)


def _random(bits: int) -> str:
    while not (found := getrandbits(bits)):
        pass
    return f"{found:0{bits // 4}x}"


def parse_tracestate(header: bytes) -> list[tuple[str, str]]:
    """Return the members of a `tracestate`, none where it is malformed or too long."""
    if not header or len(header) > _STATE_BYTES_MAX or not header.isascii():
        return []
    found: dict[str, str] = {}
    for part in header.decode("ascii").split(","):
        member = part.strip(" \t")
        if not member:
            continue
        match = _MEMBER.fullmatch(member)
        if match is None or match[1] in found:
            return []
        found[match[1]] = match[2]
    return list(found.items()) if len(found) <= _MEMBERS_MAX else []
