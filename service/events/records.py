"""Events that must not be lost: labels, references, rollouts, quarantines and the like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.events.image_figures import ImageFigures
from service.events.predictions import FloatArray, IntArray, Role


@dataclass(frozen=True, slots=True)
class Label:
    """A label that came back for a prediction; what the prediction's id says, and the truth."""

    tenant: str
    adapter: str
    version: int
    digest: str
    prediction_id: str
    predicted_s: int  # when it was predicted, seconds since 1970
    class_index: int  # what was predicted, and how sure
    confidence: float
    live: bool
    canary: bool
    audit: bool
    audit_probability: float
    label_index: int
    label: str
    group: str | None
    actor: str  # the key that sent it, by its id
    time_s: float  # when it was received
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """What a version answered to its hold-out: the healthy state that drift is measured from."""

    tenant: str
    adapter: str
    version: int
    digest: str
    backbone: str
    precision: str
    provider: str
    time_s: float
    labels: tuple[str, ...]  # the classes' names
    class_index: IntArray  # [n], predicted
    label_index: IntArray  # [n], true
    probabilities: FloatArray  # [n, classes]
    embeddings: FloatArray | None  # [n, hidden], not normalised
    base_embeddings: FloatArray | None  # [n, hidden]
    tokens: Sequence[int | None]  # None of images, and so the next two
    unknown: Sequence[int | None]
    truncated: Sequence[bool | None]
    actor: str | None = None
    images: ImageFigures | None = None

    def __len__(self) -> int:
        return len(self.class_index)


@dataclass(frozen=True, slots=True)
class RolloutEvent:
    """A change of an adapter's rollout document."""

    tenant: str
    adapter: str
    revision: int  # of the new document
    before: Mapping[str, Any] | None
    after: Mapping[str, Any]
    actor: str
    time_s: float
    reason: str | None = None  # of a forced one, or of one that the controller made


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A version that gave numbers that are not finite, and is out of service."""

    tenant: str
    adapter: str
    version: int
    digest: str
    reason: str
    time_s: float
    backbone: str | None = None
    precision: str | None = None
    provider: str | None = None


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Images that one version was to answer and that could not be decoded: how many, since when.

    They are no predictions. They are counted, so that a storm of them does not fill the log.
    """

    tenant: str
    adapter: str
    version: int
    digest: str
    backbone: str
    role: Role
    count: int  # since the last event of the same version and role
    time_s: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Requests that one version was to answer and that ended in a 5xx: how many, since when.

    They are no predictions. They are counted, so that a storm of them does not fill the log.
    """

    tenant: str
    adapter: str
    version: int
    digest: str
    backbone: str
    role: Role
    code: str  # of the problem, as `docs/reference/errors.md` lists them
    count: int  # of requests, since the last event of the same version, role and code
    time_s: float


DurableEvent = Label | Reference | RolloutEvent | Quarantine | Undecodable | Failure
