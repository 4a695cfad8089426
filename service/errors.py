"""What the service raises on purpose: one flat tree, without a word of HTTP.

TenantryError                    (service/engine/errors.py, with the engine's own)
├── MalformedRequest             the body or a parameter cannot be read
├── UnacceptableRequest          read, but beyond what may be asked; names the limit
├── InputTooLong                 longer than the backbone reads, and it may not be cut
├── BodyTooLarge                 more bytes than the limit for this route
├── WrongMediaType               a content type or encoding that the route does not take
├── NotAuthenticated             no key, or one that is not known
├── NotPermitted                 the key's scopes do not cover this
├── ForeignHost                  an open server was called under another host or origin
├── UnknownPath                  no such route
├── UnknownTenant                no such tenant, or not one that the caller may see
├── UnknownAdapter               the tenant has no adapter of that name
├── UnknownVersion               the adapter has no version of that number
├── UnknownKey                   the tenant has no key of that id
├── NoLiveVersion                the adapter has versions, but none is live
├── Conflict                     the thing is in use, or exists with another content
├── RevisionMismatch             If-Match names another revision than the current one
├── AdapterUnreadable            the stored files no longer match their digest
├── AdapterQuarantined           the adapter gave non-finite numbers and is out of service
├── TenantLimited                the tenant is beyond a limit of its own; says when it is not
├── QueueFull                    the server has as much accepted work as it may hold
├── EngineFailed                 the engine's thread has ended; the process is about to
├── Stopping                     the server is draining and takes nothing new
├── DeadlinePassed               the caller's deadline passed before the answer was there
├── StoreFull                    the state directory cannot take the write
├── StateDamaged                 the state directory or a backup of it is not whole
└── InvalidSettings              the configuration cannot be used; raised at start-up only
"""

from service.engine.errors import TenantryError


class MalformedRequest(TenantryError):
    """The body or a parameter cannot be read."""


class UnacceptableRequest(TenantryError):
    """Read, but beyond what may be asked; the text names the limit."""


class InputTooLong(TenantryError):
    """Longer than the backbone reads, and the caller wants nothing cut."""


class BodyTooLarge(TenantryError):
    """More bytes than the limit for this route."""


class WrongMediaType(TenantryError):
    """A content type or encoding that the route does not take."""


class NotAuthenticated(TenantryError):
    """No key, or one that is not known."""


class NotPermitted(TenantryError):
    """The key's scopes do not cover this."""


class ForeignHost(TenantryError):
    """An open server was called under another host or origin."""


class UnknownPath(TenantryError):
    """No such route."""


class UnknownTenant(TenantryError):
    """No such tenant, or not one that the caller may see."""


class UnknownAdapter(TenantryError):
    """The tenant has no adapter of that name."""


class UnknownVersion(TenantryError):
    """The adapter has no version of that number."""


class UnknownKey(TenantryError):
    """The tenant has no key of that id."""


class NoLiveVersion(TenantryError):
    """The adapter has versions, but none is live."""


class Conflict(TenantryError):
    """The thing is in use, or exists with another content."""


class RevisionMismatch(TenantryError):
    """If-Match names another revision than the current one."""


class AdapterUnreadable(TenantryError):
    """The stored files no longer match their digest."""


class AdapterQuarantined(TenantryError):
    """The adapter gave non-finite numbers and is out of service."""


class TenantLimited(TenantryError):
    """The tenant is beyond a limit of its own; says when it is not any more."""

    def __init__(self, what: str, retry_after_s: float) -> None:
        super().__init__(what)
        self.retry_after_s = retry_after_s


class QueueFull(TenantryError):
    """The server has as much accepted work as it may hold."""


class EngineFailed(TenantryError):
    """The engine's thread has ended; the process is about to."""


class Stopping(TenantryError):
    """The server is draining and takes nothing new."""


class DeadlinePassed(TenantryError):
    """The caller's deadline passed before the answer was there."""


class StoreFull(TenantryError):
    """The state directory cannot take the write."""


class StateDamaged(TenantryError):
    """The state directory or a backup of it is not whole; raised by the operator's tools only."""


class InvalidSettings(TenantryError):
    """The configuration cannot be used; raised at start-up only."""
