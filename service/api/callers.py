"""Who calls: the gates that let a request in, and the caller that they make of it."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from service.errors import ForeignHost, NotAuthenticated
from service.settings import Settings, is_loopback

Headers = Mapping[bytes, bytes]

_REFUSED = "send the header Authorization: Bearer <key>, with a key that this server knows"


@dataclass(frozen=True, slots=True)
class Caller:
    """Someone whom a gate let in."""

    actor: str  # how the audit trail names them


class Gate(Protocol):
    """Decides who comes in."""

    def admit(self, headers: Headers) -> Caller:
        """Return the caller; raise `NotAuthenticated` or `ForeignHost`."""


class KeyGate:
    """Lets in who shows the admin key."""

    def __init__(self, admin_key: str) -> None:
        self._key = admin_key.encode("ascii")
        self._admin = Caller("admin")

    def admit(self, headers: Headers) -> Caller:
        """Return the caller of a request that carries the key."""
        scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(key.strip(), self._key):
            raise NotAuthenticated(_REFUSED)
        return self._admin


class OpenGate:
    """Lets in who is on this machine and calls it by a loopback name.

    The checks are against DNS rebinding and foreign pages in a local browser: a page cannot forge
    the Host that its browser sends, nor the Origin.
    """

    def __init__(self) -> None:
        self._operator = Caller("operator")

    def admit(self, headers: Headers) -> Caller:
        """Return the caller of a request that was meant for this machine."""
        host = headers.get(b"host", b"").decode("latin-1")
        if not is_loopback(_name(host)):
            raise ForeignHost(
                f"without an admin key this server answers to localhost only, not to {host!r}"
            )
        origin = headers.get(b"origin")
        if origin is not None and _authority(origin.decode("latin-1")) != host.lower():
            raise ForeignHost("without an admin key this server answers to its own pages only")
        return self._operator


def gate_of(settings: Settings) -> Gate:
    """Return the gate that the settings ask for."""
    if settings.admin_key is None:
        return OpenGate()
    return KeyGate(settings.admin_key.get_secret_value())


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
