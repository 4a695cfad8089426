"""What the server answers, as values; each keeps the document that it was read from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from service.client.errors import Problem
from service.client.reading import Document

# Everything that the server said, fields that this client does not know among them.
_whole = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Model:
    """Which version answered, and on what."""

    tenant: str
    adapter: str
    version: int
    digest: str
    backbone: str
    precision: str
    provider: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one input; `id` is what a label needs to find it."""

    id: str
    label: str
    score: float
    scores: Mapping[str, float] | None  # every label's; None where only the top was asked for
    embedding: tuple[float, ...] | None  # None where it was not asked for
    truncated: bool  # whether the input was cut
    calibrated: bool  # whether a fitted temperature was applied
    audit: bool  # whether a label is asked for
    document: Document = _whole


@dataclass(frozen=True, slots=True)
class Predicted:
    """One prediction an input, in their order."""

    model: Model
    predictions: tuple[Prediction, ...]
    document: Document = _whole


@dataclass(frozen=True, slots=True)
class Label:
    """What a prediction should have been."""

    id: str
    label: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Feedback:
    """How many labels are kept, and why others are not: the first hundred of those."""

    accepted: int
    refused: int
    problems: tuple[Problem, ...]
    document: Document = _whole


@dataclass(frozen=True, slots=True)
class Rates:
    """A tenant's own limits; None: only those of the server."""

    requests_per_s: float | None
    tokens_per_s: float | None
    concurrent_requests: int | None


@dataclass(frozen=True, slots=True)
class Logged:
    """What the event log keeps of a tenant's predictions."""

    text: bool
    embedding: bool
    sample: float


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant and its settings."""

    name: str
    kind: str  # its class
    weight: float
    rates: Rates
    log: Logged
    created_at: str
    document: Document = _whole

    def settings(self) -> dict[str, Any]:
        """Return what a `put_tenant` of the same settings would send."""
        known = ("class", "weight", "rates", "log")
        return {name: self.document[name] for name in known if name in self.document}


@dataclass(frozen=True, slots=True)
class PutTenant:
    """A tenant that was made, or changed."""

    tenant: Tenant
    created: bool


@dataclass(frozen=True, slots=True)
class Key:
    """A key, without its secret."""

    id: str
    tenant: str
    scopes: tuple[str, ...]
    created_at: str
    actor: str  # who made it
    document: Document = _whole


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key, shown this once; the secret is no part of the representation."""

    id: str
    tenant: str
    scopes: tuple[str, ...]
    key: str = field(repr=False)
    document: Document = _whole


@dataclass(frozen=True, slots=True)
class Canary:
    """A version that answers some percent of the requests."""

    version: int
    percent: float


@dataclass(frozen=True, slots=True)
class Adapter:
    """One adapter of a tenant."""

    tenant: str
    adapter: str
    versions: int  # how many there are
    latest: int
    live: int | None
    canary: Canary | None
    shadows: tuple[int, ...]
    created_at: str
    revision: int | None  # of its rollout; None in lists
    document: Document = _whole


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an adapter."""

    tenant: str
    adapter: str
    version: int
    digest: str
    backbone: str
    state: str  # rejected, validated, shadow, canary, live or retired
    labels: tuple[str, ...]
    metadata: Document
    report: Document
    bytes: int
    created_at: str
    document: Document = _whole


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A version that was uploaded; `created` is false where the content was there already."""

    version: Version
    created: bool


@dataclass(frozen=True, slots=True)
class Rollout:
    """Which versions of an adapter answer; revision 0: nothing was rolled out yet."""

    live: int | None
    canary: Canary | None
    shadow: tuple[int, ...]
    forced: str | None  # why a rejected version may be among them
    revision: int
    previous: int | None  # the revision that a rollback returns to
    actor: str | None
    created_at: str | None
    document: Document = _whole


@dataclass(frozen=True, slots=True)
class Used:
    """What was used."""

    requests: int  # answered
    texts: int
    tokens: int
    compute_s: float  # the tenant's part of the forward passes' time
    limited: int  # requests that a limit of its own refused


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant used between two days, both of them included, in UTC."""

    tenant: str
    since: date
    until: date
    total: Used
    days: tuple[tuple[date, Used], ...]  # those on which anything was used, oldest first
    document: Document = _whole


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
    document: Document = _whole


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some lines, oldest first; `cursor` gives the page behind them, None at the end."""

    lines: tuple[AuditLine, ...]
    cursor: int | None


@dataclass(frozen=True, slots=True)
class Backbone:
    """The bundle that the server serves."""

    digest: str
    name: str  # of the model that it was exported from
    document: Document = _whole


@dataclass(frozen=True, slots=True)
class Ready:
    """Whether requests are welcome, and why not."""

    ready: bool
    reason: str | None
