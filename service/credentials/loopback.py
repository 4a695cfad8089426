"""Requests that were meant for this machine: what a server without keys answers to.

The checks are against DNS rebinding and foreign pages in a local browser: a page cannot forge the
Host that its browser sends, nor the Origin.
"""

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from service.credentials.bearer import Headers


@lru_cache(maxsize=256)  # asked of every request to an open server
def is_loopback(host: str) -> bool:
    """Say whether `host`, a name or an address, can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def foreign(headers: Headers) -> str | None:
    """Say why a request was not meant for this machine's own server, None where it was."""
    host = headers.get(b"host", b"").decode("latin-1")
    if not is_loopback(_name(host)):
        return f"without an admin key this server answers to localhost only, not to {host!r}"
    origin = headers.get(b"origin")
    if origin is not None and _authority(origin.decode("latin-1")) != host.lower():
        return "without an admin key this server answers to its own pages only"
    return None


def _name(host: str) -> str:
    """Return the host without its port, and an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
