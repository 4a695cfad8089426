"""The documents that routes answer, as the OpenAPI document shows them.

Routes build plain dictionaries; a contract test holds what they answer against these models.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.registry.records import TenantSettings

EXAMPLE_DIGEST = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
EXAMPLE_BACKBONE = "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
EXAMPLE_ID = "EO7QMySw7AzTawIMLwAAgACf_wktMVhT2LDREl4ZXyt2mR3U"


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


class AdapterLine(Document):
    """One adapter of a tenant."""

    tenant: str
    adapter: str
    versions: int = Field(description="how many there are")
    latest: int
    live: int | None
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
    state: Literal["validated", "live", "retired"]
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


class RolloutRequest(Document):
    """Which version of an adapter answers."""

    live: int | None = Field(ge=1, description="the version's number; null: none")


class RolloutDocument(Document):
    """A rollout as it is."""

    live: int | None
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
