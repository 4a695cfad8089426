"""What the registry holds, as values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.credentials.scopes import Scope
from service.engine.windows import Windows
from service.errors import UnacceptableRequest

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)

State = Literal["rejected", "validated", "shadow", "canary", "live", "retired", "deleted"]
# What the upload gate said of a version; its state, as long as no rollout names it.
Verdict = Literal["rejected", "validated"]
# How a version came to answer: by the rollout, beside it, beside the canary as its equal, or by its
# number in the path.
RolloutRole = Literal["live", "canary", "shadow"]
Role = Literal["live", "canary", "paired", "shadow", "pinned"]


def check_name(name: str, what: str) -> None:
    """Raise `UnacceptableRequest` where a tenant or an adapter may not be called so."""
    if not _NAME.fullmatch(name):
        raise UnacceptableRequest(
            f"{name[:80]!r} cannot be the name of {what}: 1 to 63 of a-z, 0-9 and -, the first"
            " of them no -"
        )


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, serialize_by_alias=True)


# One in eleven days; of much less than that, the wait for the next one is no number any more.
_Rate = Annotated[float, Field(ge=1e-6, allow_inf_nan=False)]


class Rates(_Document):
    """A tenant's own limits; None: only those of the server."""

    requests_per_s: _Rate | None = None
    tokens_per_s: _Rate | None = None
    concurrent_requests: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class Logged(_Document):
    """What the event log keeps of a tenant's predictions."""

    text: bool = Field(False, description="the texts themselves, redacted")
    embedding: bool = Field(True, description="their embeddings")
    sample: float = Field(1.0, ge=0.0, le=1.0, description="share of the predictions")


class TenantSettings(_Document):
    """A tenant's settings; every field has a default."""

    kind: str = Field(
        "standard", alias="class", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="its class"
    )
    weight: float = Field(1.0, ge=0.001, le=1000.0, description="its share under load")
    rates: Rates = Rates()
    log: Logged = Logged()

    def document(self) -> dict[str, Any]:
        """Return the settings as they go over the wire."""
        return self.model_dump(mode="json", by_alias=True)


DEFAULTS = TenantSettings()


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant."""

    name: str
    settings: TenantSettings
    created_at: str  # ISO 8601, UTC


@dataclass(frozen=True, slots=True)
class Version:
    """One numbered version of an adapter."""

    tenant: str
    adapter: str
    version: int
    digest: str
    backbone: str  # digest of the bundle that it was judged against
    state: State
    labels: tuple[str, ...]
    metadata: Mapping[str, Any]
    report: Mapping[str, Any]
    extras: Mapping[str, str]  # other files of the upload and their digests
    bytes: int
    created_at: str
    verdict: Verdict = "validated"


@dataclass(frozen=True, slots=True)
class Named:
    """What the reference in a prediction id stands for, a deleted version too."""

    tenant: str
    adapter: str
    version: int
    digest: str
    labels: tuple[str, ...]
    deleted: bool


@dataclass(frozen=True, slots=True)
class Canary:
    """A version that answers a share of the requests."""

    version: int
    percent: float  # 0 < percent <= 100

    def document(self) -> dict[str, Any]:
        """Return it as it stands in a rollout document."""
        return {"version": self.version, "percent": self.percent}


@dataclass(frozen=True, slots=True)
class AdapterSummary:
    """One line of a tenant's list of adapters."""

    tenant: str
    adapter: str
    versions: int
    latest: int
    live: int | None
    created_at: str  # of its first version that is still there
    canary: Canary | None = None
    shadows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rollout:
    """Which versions of an adapter answer; revision 0 is before the first document."""

    tenant: str
    adapter: str
    revision: int
    live: int | None
    previous: int | None  # the revision that a rollback returns to; None: there is none
    actor: str | None
    created_at: str | None
    canary: Canary | None = None
    shadows: tuple[int, ...] = ()
    forced: str | None = None  # why a rejected version may be named
    reason: str | None = None  # why the controller made it; the audit trail keeps that

    @property
    def canary_version(self) -> int | None:
        """Return the number of its canary."""
        return None if self.canary is None else self.canary.version

    def document(self) -> dict[str, Any]:
        """Return what a `PUT` of the same rollout would send."""
        document: dict[str, Any] = {"live": self.live}
        if self.canary is not None:
            document["canary"] = self.canary.document()
        if self.shadows:
            document["shadow"] = list(self.shadows)
        if self.forced is not None:
            document["force"] = {"reason": self.forced}
        return document

    def roles(self) -> dict[int, RolloutRole]:
        """Return the versions that it names and what each of them is."""
        roles: dict[int, RolloutRole] = dict.fromkeys(self.shadows, "shadow")
        if self.canary is not None:
            roles[self.canary.version] = "canary"
        if self.live is not None:
            roles[self.live] = "live"
        return roles


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes: one version, and what the registry knows of it at that moment."""

    tenant: str
    adapter: str
    version: int
    digest: str
    labels: tuple[str, ...]
    calibrated: bool
    settings: TenantSettings = DEFAULTS
    role: Role = "pinned"
    revision: int = 0  # of the rollout that sent the request here
    shadows: tuple["Route", ...] = ()  # other versions that answer the same texts, for the log
    windows: Windows | None = None  # of texts beyond the limit; None: they are truncated
    twin_share: float = 0.0  # of its requests, that the other of live and canary answers too
    alone: bool | None = None  # beside a canary: whether it was drawn that the other one does not,
    keyed: bool | None = None  # and whether a routing key drew which of the two answers


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is known of a tenant's key; the key itself is not."""

    id: str  # 16 hexadecimal digits, the key's second part
    tenant: str
    scopes: frozenset[Scope]
    created_at: str
    actor: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant asked for, as numbers to add."""

    requests: int  # answered
    texts: int
    tokens: int
    compute_s: float
    limited: int  # requests that a limit of the tenant's own refused


@dataclass(frozen=True, slots=True)
class UsageLine:
    """A tenant's usage of one day, by UTC."""

    day: date
    requests: int
    texts: int
    tokens: int
    compute_s: float
    limited: int


@dataclass(frozen=True, slots=True)
class AuditLine:
    """Who changed what, when, from what and to what."""

    id: int
    at: str
    actor: str
    action: str
    tenant: str | None
    adapter: str | None
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Proof:
    """Why the controller changes a rollout."""

    reason: str  # in words; the first of them names the kind: `accuracy: ...`
    evidence: Mapping[str, Any]  # for the audit trail


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some lines, oldest first; `cursor` gives the page behind them, None at the end."""

    lines: tuple[AuditLine, ...]
    cursor: int | None


@dataclass(frozen=True, slots=True)
class RegistryLimits:
    """How much one registry may hold."""

    tenants_max: int = 10_000
    adapters_per_tenant_max: int = 1_000
    adapters_max: int = 10_000
    versions_per_adapter_max: int = 1_000
    shadows_max: int = 4  # of one rollout
    keys_per_tenant_max: int = 100
