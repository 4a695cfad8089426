"""The documents that routes answer, as the OpenAPI document shows them.

Routes build plain dictionaries; a contract test holds what they answer against these models.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.credentials.scopes import Scope
from service.registry.records import TenantSettings
from service.registry.rollout_document import REASON_CHARACTERS_MAX

EXAMPLE_DIGEST = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
EXAMPLE_BACKBONE = "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
EXAMPLE_ID = "EO7QMySw7AzTawIMLwAAgACf_wktMVhT2LDREl4ZXyt2mR3U"
# Four red pixels.
EXAMPLE_IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR42m"
    "M8ISfHwMDAxMDAwMDAAAANBAEIf62CUQAAAABJRU5ErkJggg=="
)


class Document(BaseModel):
    """The ground of all documents."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class AnsweringModel(Document):
    """Which version answered, and on what."""

    tenant: str
    adapter: str
    version: int
    digest: str = Field(description="the adapter's, read from where the answer was computed")
    backbone: str = Field(description="the bundle's digest")
    precision: str
    provider: str


class Prediction(Document):
    """The answer to one input."""

    id: str = Field(description="what a label needs to find this prediction; 48 characters")
    label: str
    score: float = Field(description="the label's probability")
    scores: dict[str, float] | None = Field(None, description="every label's; with `scores: all`")
    embedding: list[float] | None = Field(None, description="mean-pooled, not normalised")
    truncated: bool | None = Field(None, description="true where the input was cut; else absent")
    calibrated: bool | None = Field(
        None, description="true where a fitted temperature was applied; else absent"
    )
    audit: bool | None = Field(None, description="true where a label is asked for; else absent")


class PredictAnswer(Document):
    """One prediction an input, in their order."""

    model: AnsweringModel
    predictions: list[Prediction]


class TenantDocument(TenantSettings):
    """A tenant."""

    name: str
    created_at: str


class TenantList(Document):
    """All tenants that the caller may see."""

    tenants: list[TenantDocument]


class KeyRequest(Document):
    """What a new key is to be good for."""

    scopes: list[Scope] = Field(min_length=1, description="`admin` includes the others")


class KeyDocument(Document):
    """A key of a tenant, without what opens."""

    id: str = Field(description="what the audit trail calls it: `key:<id>@<tenant>`")
    tenant: str
    scopes: list[Scope]
    created_at: str
    actor: str = Field(description="who made it")


class MadeKeyDocument(KeyDocument):
    """A key that was just made."""

    key: str = Field(description="for `Authorization: Bearer`; shown this once, kept nowhere")


class KeyList(Document):
    """A tenant's keys."""

    keys: list[KeyDocument]


class UsageTotal(Document):
    """What was used."""

    requests: int = Field(description="that were answered")
    texts: int
    tokens: int
    compute_s: float = Field(description="the tenant's part of the forward passes' time")
    limited: int = Field(description="requests that a limit of the tenant's own refused (429)")


class UsageDay(UsageTotal):
    """What was used on one day, in UTC."""

    day: str


class UsageDocument(Document):
    """What a tenant used."""

    tenant: str
    since: str = Field(description="the first day")
    until: str = Field(description="the last day, itself included")
    total: UsageTotal
    days: list[UsageDay] = Field(description="those on which anything was used, oldest first")


class CanaryDocument(Document):
    """A version that answers a share of the requests."""

    version: int = Field(ge=1)
    percent: float = Field(gt=0, le=100, description="of the requests, by `routing_key`")


class AdapterLine(Document):
    """One adapter of a tenant."""

    tenant: str
    adapter: str
    versions: int = Field(description="how many there are")
    latest: int
    live: int | None
    canary: CanaryDocument | None
    shadows: list[int] = Field(description="versions that answer as well, for the log alone")
    created_at: str


class AdapterList(Document):
    """A tenant's adapters."""

    adapters: list[AdapterLine]


class VersionDocument(Document):
    """One version of an adapter."""

    tenant: str
    adapter: str
    version: int
    digest: str
    backbone: str
    state: Literal["rejected", "validated", "shadow", "canary", "live", "retired"]
    labels: list[str]
    metadata: dict[str, Any]
    report: dict[str, Any]
    bytes: int
    created_at: str


class VersionList(Document):
    """An adapter's versions."""

    versions: list[VersionDocument]


class AdapterDocument(AdapterLine):
    """One adapter and its rollout's revision."""

    revision: int = Field(description="of its rollout document; 0: there was none yet")


class ForceDocument(Document):
    """Why a rejected version is rolled out all the same; kept in the audit trail."""

    reason: str = Field(min_length=1, max_length=REASON_CHARACTERS_MAX)


class RolloutRequest(Document):
    """Which versions of an adapter answer; what is left out is not there any more."""

    live: int | None = Field(ge=1, description="the version's number; null: none")
    canary: CanaryDocument | None = None
    shadow: list[int] | None = Field(
        None, description="versions that answer too, for the log alone"
    )
    force: ForceDocument | None = Field(
        None, description="lets rejected versions in; needs the scope `admin`"
    )


class RolloutDocument(Document):
    """A rollout as it is."""

    live: int | None
    canary: CanaryDocument | None = None
    shadow: list[int] = []
    force: ForceDocument | None = None
    revision: int = Field(description="also the ETag; 0: nothing was rolled out yet")
    previous: int | None = Field(description="the revision that a rollback returns to")
    actor: str | None = Field(description="who wrote this revision")
    created_at: str | None


class AuditLineDocument(Document):
    """Who changed what, when, from what and to what."""

    id: int
    at: str
    actor: str
    action: str
    tenant: str | None
    adapter: str | None
    before: Any
    after: Any


class AuditDocument(Document):
    """Some lines of the audit trail, oldest first."""

    lines: list[AuditLineDocument]
    cursor: int | None = Field(description="gives the next lines; null at the end")


class ProblemItem(Document):
    """One thing that is wrong, and where."""

    where: str
    what: str


class FeedbackAnswer(Document):
    """What became of the labels of one request."""

    accepted: int = Field(description="labels that are kept, on disk")
    refused: int
    problems: list[ProblemItem] = Field(description="why: one a refused label, at most 100")
    problems_left_out: int = Field(description="refused labels that `problems` does not name")


class ProblemDocument(Document):
    """An error, after RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    problems: list[ProblemItem] | None = Field(None, description="for uploads: all of them")


class OipOutputTensor(Document):
    """One output tensor; `data` is flat."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class OipAnswer(Document):
    """An inference answer of the Open Inference Protocol v2."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    id: str
    parameters: dict[str, Any]
    outputs: list[OipOutputTensor]


class OipError(Document):
    """An error on the routes of the Open Inference Protocol."""

    error: str
