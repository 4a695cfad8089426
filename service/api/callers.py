"""Who calls: the gates that let a request in, and the caller that they make of it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from service.credentials.admin_keys import AdminKeys, UnusableAdminKeys
from service.credentials.bearer import Headers, bearer
from service.credentials.loopback import foreign
from service.credentials.scopes import SCOPES, Scope, covers, listed
from service.errors import (
    ForeignHost,
    InvalidSettings,
    NotAuthenticated,
    NotPermitted,
    UnknownTenant,
)
from service.settings import Settings

_REFUSED = "send the header Authorization: Bearer <key>, with a key that this server knows"
_EVERY_SCOPE = frozenset(SCOPES)


@dataclass(frozen=True, slots=True)
class Caller:
    """Someone whom a gate let in, and what they may do."""

    actor: str  # how the audit trail names them
    tenant: str | None = None  # whose key it is; None: the operator's, who may do everything
    scopes: frozenset[Scope] = _EVERY_SCOPE

    def sees(self, tenant: str) -> bool:
        """Say whether a tenant is there for this caller."""
        return self.tenant is None or self.tenant == tenant

    def holds(self, scope: Scope) -> bool:
        """Say whether the caller has a scope, for every tenant that it sees."""
        return self.tenant is None or covers(self.scopes, scope)

    def require(self, scope: Scope, tenant: str) -> None:
        """Raise `UnknownTenant` for a tenant that is not seen, `NotPermitted` without the scope.

        Another tenant is told of in the very words in which the registry tells of one that does
        not exist.
        """
        self.require_sight(tenant)
        self.require_scope(scope)

    def require_sight(self, tenant: str) -> None:
        """Raise `UnknownTenant` for a tenant that is not there for this caller."""
        if not self.sees(tenant):
            raise UnknownTenant(f"there is no tenant {tenant[:80]!r}")

    def require_scope(self, scope: Scope) -> None:
        """Raise `NotPermitted` for a caller without the scope."""
        if not self.holds(scope):
            held = ", ".join(listed(self.scopes))
            raise NotPermitted(f"this needs a key with the scope {scope}; this one has {held}")

    def require_operator(self) -> None:
        """Raise `NotPermitted` for everyone but the operator."""
        if self.tenant is not None:
            raise NotPermitted("this is for the operator alone: it needs an admin key")


OPERATOR = Caller("operator")
# Whoever asks what everyone may know, the probes for one.
ANONYMOUS = Caller("anonymous", "", frozenset())


class KnownKey(Protocol):
    """What a tenant's key opens; the registry's records are such."""

    @property
    def id(self) -> str:
        """Return what the key is called where it must not be shown."""
        ...

    @property
    def tenant(self) -> str:
        """Return whose key it is."""
        ...

    @property
    def scopes(self) -> Collection[Scope]:
        """Return what the key is good for."""
        ...


# Finds a tenant's key in memory; None for one that is wrong or revoked.
Authenticate = Callable[[str], KnownKey | None]


class Gate(Protocol):
    """Decides who comes in."""

    def admit(self, headers: Headers) -> Caller:
        """Return the caller; raise `NotAuthenticated` or `ForeignHost`."""


class KeyGate:
    """Lets in who shows an admin key, or the key of a tenant."""

    def __init__(self, admin_keys: AdminKeys, authenticate: Authenticate) -> None:
        self._admin_keys = admin_keys
        self._authenticate = authenticate
        self._admin = Caller("admin")

    def admit(self, headers: Headers) -> Caller:
        """Return the caller of a request that carries a key."""
        key = _bearer(headers)
        if self._admin_keys.hold(key):
            return self._admin
        return _holder(key, self._authenticate)


class OpenGate:
    """Lets in who is on this machine and calls it by a loopback name; as the operator.

    Who shows a key all the same is who the key says, so that a tenant's client can be tried out.
    """

    def __init__(self, authenticate: Authenticate) -> None:
        self._authenticate = authenticate

    def admit(self, headers: Headers) -> Caller:
        """Return the caller of a request that was meant for this machine."""
        refusal = foreign(headers)
        if refusal is not None:
            raise ForeignHost(refusal)
        if b"authorization" in headers:
            return _holder(_bearer(headers), self._authenticate)
        return OPERATOR


def gate_of(settings: Settings, authenticate: Authenticate) -> Gate:
    """Return the gate that the settings ask for.

    `authenticate` finds the keys of tenants. Raises `InvalidSettings` where there is a file of
    admin keys that cannot be used.
    """
    if not settings.keyed:
        return OpenGate(authenticate)
    key = settings.admin_key
    given = None if key is None else key.get_secret_value()
    try:
        admin_keys = AdminKeys(given, settings.admin_key_file)
    except UnusableAdminKeys as error:
        raise InvalidSettings(str(error)) from None
    return KeyGate(admin_keys, authenticate)


def _bearer(headers: Headers) -> bytes:
    """Return the key that a request carries; raise `NotAuthenticated` where it carries none."""
    key = bearer(headers)
    if key is None:
        raise NotAuthenticated(_REFUSED)
    return key


def _holder(key: bytes, authenticate: Authenticate) -> Caller:
    # Keys are ASCII, and what is not cannot be one; no other text is looked at in another way.
    found = authenticate(key.decode("ascii")) if key.isascii() else None
    if found is None:
        raise NotAuthenticated(_REFUSED)
    return Caller(f"key:{found.id}@{found.tenant}", found.tenant, frozenset(found.scopes))
