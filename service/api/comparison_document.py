"""What a comparison of canary and live looks like on the wire."""

from typing import Any, Literal

from pydantic import Field

from service.api.schemas import Document


class ArmDocument(Document):
    """One version's own rows, since the trial began; null: not defined yet."""

    version: int
    rows: int = Field(description="texts or images answered")
    requests: int = Field(description="answered")
    failed: int = Field(description="requests that ended in a 5xx")
    labelled: int
    accuracy: float | None
    failure_ratio: float | None
    latency_p50_s: float | None = Field(
        description="of the newest requests without a twin, as the next"
    )
    latency_p95_s: float | None
    slow_ratio: float | None = Field(description="requests beyond the latency objective")


class DifferenceDocument(Document):
    """Canary less live, with an interval of 95 %."""

    point: float
    lower: float
    upper: float
    canary: int = Field(description="rows or requests that it rests on")
    live: int
    paired: bool = Field(description="whether both are of the same texts")


class DifferencesDocument(Document):
    """Null where the rows are too few."""

    accuracy: DifferenceDocument | None = Field(description="holds whenever one looks")
    failures: DifferenceDocument | None = Field(description="holds whenever one looks")
    latency_p95_s: DifferenceDocument | None = Field(description="of one look")


class AgreementDocument(Document):
    """How often both said the same of the same text."""

    rows: int
    ratio: float | None


class EvidenceDocument(Document):
    """That the canary is worse; `proof_log10` of one of them proves it."""

    accuracy: float
    failures: float
    latency: float


class TrialDocument(Document):
    """What is known of the two versions, since both answer."""

    since: str
    arms: dict[Literal["canary", "live"], ArmDocument]
    paired: int = Field(description="labelled rows that both answered")
    agreement: AgreementDocument
    differences: DifferencesDocument
    evidence_log10: EvidenceDocument
    proof_log10: float
    latency_objective_s: float
    labels_told_by_answers: bool = Field(
        description="which rows get labels depends on the answers; accuracies are not of all rows"
    )


class RollbackDocument(Document):
    """The last rollback that nobody asked for."""

    at: str
    revision: int
    reason: str
    evidence: dict[str, Any]


class ComparisonDocument(Document):
    """A canary against the live version."""

    tenant: str
    adapter: str
    revision: int
    live: int | None
    canary: int | None
    percent: float | None
    verdict: Literal[
        "no_canary", "collecting", "no_difference_yet", "worse", "better", "rolled_back"
    ]
    sentence: str
    cause: Literal["accuracy", "failures", "latency", "quarantine"] | None
    automatic_rollback: Literal["off", "canary", "live"]
    trial: TrialDocument | None
    last_rollback: RollbackDocument | None
