"""Who comes in, and what they see: the operator everything, a tenant's key its own report.

Keys are those of the service. Without an admin key the sidecar is open, and answers only to what
was meant for this machine.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from monitoring.errors import InvalidMonitorSettings, UnknownWatched
from monitoring.web.problems import ForeignHost, NotAuthenticated, NotPermitted
from service.credentials.admin_keys import AdminKeys, UnusableAdminKeys
from service.credentials.bearer import Headers, bearer
from service.credentials.loopback import foreign

_REFUSED = "send the header Authorization: Bearer <key>, with a key that the service knows"


@dataclass(frozen=True, slots=True)
class Caller:
    """Someone whom a gate let in."""

    tenant: str | None = None  # whose key it is; None: the operator's

    @property
    def is_operator(self) -> bool:
        """Say whether the caller sees everything."""
        return self.tenant is None

    def require_operator(self) -> None:
        """Raise `NotPermitted` for a tenant's key."""
        if not self.is_operator:
            raise NotPermitted("this is for the operator alone: it needs an admin key")

    def require_sight(self, tenant: str) -> None:
        """Raise `UnknownWatched` for another tenant, in the words for one that is not there."""
        if not self.is_operator and self.tenant != tenant:
            raise unknown_tenant(tenant)


OPERATOR = Caller()


def unknown_tenant(tenant: str) -> UnknownWatched:
    """Return the error that tells of a tenant that is not there, or not for this caller."""
    return UnknownWatched(f"there is nothing of a tenant {tenant[:80]!r} in the log")


class KnowsKeys(Protocol):
    """Finds tenants by their keys; `TenantKeys` is such."""

    def tenant_of(self, key: bytes) -> str | None:
        """Return the tenant whose key this is, None for one that is wrong or revoked."""
        ...


class Gate(Protocol):
    """Decides who comes in."""

    @property
    def keyed(self) -> bool:
        """Say whether there is an admin key."""
        ...

    def admit(self, headers: Headers) -> Caller:
        """Return the caller; raise `NotAuthenticated` or `ForeignHost`."""
        ...


class KeyGate:
    """Lets in who shows an admin key, or the key of a tenant."""

    keyed = True

    def __init__(self, admin_keys: AdminKeys, tenant_keys: KnowsKeys) -> None:
        self._admin_keys = admin_keys
        self._tenant_keys = tenant_keys

    def admit(self, headers: Headers) -> Caller:
        """Return the caller of a request that carries a key."""
        key = bearer(headers)
        if key is not None and self._admin_keys.hold(key):
            return OPERATOR
        return _holder(key, self._tenant_keys)


class OpenGate:
    """Lets in who is on this machine and calls it by a loopback name, as the operator.

    Who shows a key all the same is who the key says, so that a tenant's view can be tried out.
    """

    keyed = False

    def __init__(self, tenant_keys: KnowsKeys) -> None:
        self._tenant_keys = tenant_keys

    def admit(self, headers: Headers) -> Caller:
        """Return the caller of a request that was meant for this machine."""
        reason = foreign(headers)
        if reason is not None:
            raise ForeignHost(reason)
        if b"authorization" in headers:
            return _holder(bearer(headers), self._tenant_keys)
        return OPERATOR


def gate_of(
    admin_key: str | None, admin_key_file: Path | None, tenant_keys: KnowsKeys
) -> KeyGate | OpenGate:
    """Return the gate that the settings ask for.

    Raises `InvalidMonitorSettings` where there is a file of admin keys that cannot be used.
    """
    if admin_key is None and admin_key_file is None:
        return OpenGate(tenant_keys)
    try:
        return KeyGate(AdminKeys(admin_key, admin_key_file), tenant_keys)
    except UnusableAdminKeys as error:
        raise InvalidMonitorSettings(str(error)) from None


def _holder(key: bytes | None, tenant_keys: KnowsKeys) -> Caller:
    tenant = None if key is None else tenant_keys.tenant_of(key)
    if tenant is None:
        raise NotAuthenticated(_REFUSED)
    return Caller(tenant)
