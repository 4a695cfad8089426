"""What other servers' wires answer: Text Embeddings Inference, Hugging Face and vLLM.

Routes build plain values; contract tests hold what they answer against these models.
"""

from typing import Any, Literal

from pydantic import ConfigDict, Field, RootModel

from service.api.schemas import Document


class ScoredLabel(Document):
    """A label and its score."""

    score: float
    label: str


class TeiPredictions(RootModel[list[ScoredLabel] | list[list[ScoredLabel]]]):
    """Every label, best first; a list of such lists for a batch."""


class TeiEmbeddings(RootModel[list[list[float]]]):
    """An embedding for each text."""


class TeiClassifier(Document):
    """The labels of a classifier, by their numbers and the other way round."""

    id2label: dict[str, str]
    label2id: dict[str, int]


class TeiModelType(Document):
    """What kind of model it is: a classifier, always."""

    classifier: TeiClassifier


class TeiInfo(Document):
    """What Text Embeddings Inference tells of itself, where it has a meaning here."""

    model_config = ConfigDict(protected_namespaces=())

    model_id: str
    model_sha: str | None = Field(None, description="the digest of the version that is live")
    model_dtype: str
    model_type: TeiModelType
    max_concurrent_requests: int = Field(description="texts that may wait")
    max_input_length: int = Field(description="tokens of one text, special tokens included")
    max_batch_tokens: int = Field(description="tokens that may wait")
    max_batch_requests: int | None = None
    max_client_batch_size: int = Field(description="inputs in one request")
    auto_truncate: bool
    tokenization_workers: int
    version: str = Field(description="of this server")
    sha: str | None = None
    docker_label: str | None = None


class TeiError(Document):
    """An error on the routes of Text Embeddings Inference."""

    error: str
    error_type: Literal["Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"]


class HfLabels(RootModel[list[list[ScoredLabel]]]):
    """A list for each text: labels, best first."""


class HfError(Document):
    """An error on the route of Hugging Face's clients."""

    error: str


class ClassifyItem(Document):
    """One text's answer; `probs` is in the order of the version's labels."""

    index: int
    label: str
    probs: list[float]
    num_classes: int


class ClassifyUsage(Document):
    """How many tokens were read."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int


class ClassifyAnswer(Document):
    """One item a text, in their order."""

    id: str
    object: Literal["list"]
    created: int = Field(description="seconds since 1970")
    model: str
    data: list[ClassifyItem]
    usage: ClassifyUsage


class ModelCard(Document):
    """A model that can be asked, or the backbone that they run on."""

    id: str
    object: Literal["model"]
    created: int = Field(description="seconds since 1970")
    owned_by: str
    root: str = Field(description="the digest of what answers")
    parent: str | None = Field(None, description="the backbone; null for the backbone itself")
    max_model_len: int = Field(description="tokens of one text, special tokens included")
    permission: list[Any]


class ModelCards(Document):
    """The backbone, and every adapter that has a live version and that the caller may see."""

    object: Literal["list"]
    data: list[ModelCard]


class VllmErrorInfo(Document):
    """What was wrong."""

    message: str
    type: str
    param: str | None = None
    code: int = Field(description="the answer's status")


class VllmError(Document):
    """An error on vLLM's routes."""

    error: VllmErrorInfo
