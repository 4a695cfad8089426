"""Request bodies of other servers' wires: Text Embeddings Inference, Hugging Face and vLLM.

Those servers pass over members that they do not know, so that one client can speak to several
releases; so do these. A member that they do know and that would change the answer is taken, or
refused by name where it cannot be honoured.
"""

from typing import Annotated, Any, Literal

import msgspec

_TeiText = Annotated[bool | None, msgspec.Meta(description="cut what is too long; else refuse it")]
_Direction = Annotated[
    Literal["right", "Right", "left", "Left"], msgspec.Meta(description="which end is cut: right")
]


class TeiPredictRequest(msgspec.Struct):
    """What to classify, as Text Embeddings Inference is asked."""

    inputs: Annotated[
        str | list[str | list[str]],
        msgspec.Meta(
            description="a text; two texts in a list: one pair; a list of lists: a batch, each"
            " of one text or a pair"
        ),
    ]
    truncate: _TeiText = None
    truncation_direction: _Direction = "right"
    raw_scores: Annotated[
        bool,
        msgspec.Meta(description="the scores' natural logarithms: logits up to a constant a text"),
    ] = False


class TeiEmbedRequest(msgspec.Struct):
    """What to embed, as Text Embeddings Inference is asked."""

    inputs: Annotated[str | list[str], msgspec.Meta(description="a text, or a list of texts")]
    normalize: Annotated[bool, msgspec.Meta(description="to a length of 1")] = True
    truncate: _TeiText = None
    truncation_direction: _Direction = "right"
    prompt_name: Annotated[str | None, msgspec.Meta(description="there are none here")] = None
    dimensions: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        msgspec.Meta(description="answer the first so many components only"),
    ] = None


class HfPair(msgspec.Struct, forbid_unknown_fields=True):
    """A text, and a second one where the backbone compares two."""

    text: str
    text_pair: str | None = None


class HfParameters(msgspec.Struct, forbid_unknown_fields=True):
    """How to answer; other parameters would change the answer, and are refused."""

    top_k: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        msgspec.Meta(description="the best so many labels only"),
    ] = None
    function_to_apply: Annotated[
        Literal["softmax"] | None, msgspec.Meta(description="the softmax it always is")
    ] = None
    truncation: Annotated[
        bool, msgspec.Meta(description="cut what is too long; else refuse it")
    ] = True


class HfRequest(msgspec.Struct):
    """What to classify, as Hugging Face's text classification is asked."""

    inputs: Annotated[
        str | HfPair | list[str | HfPair],
        msgspec.Meta(description="a text or a pair of texts, or a list of them"),
    ]
    parameters: HfParameters | None = None
    options: Annotated[
        dict[str, Any] | None, msgspec.Meta(description="passed over: nothing is cached here")
    ] = None


class ClassifyRequest(msgspec.Struct):
    """What to classify, as vLLM is asked."""

    model: Annotated[str, msgspec.Meta(description="`{tenant}.{adapter}`")]
    input: Annotated[str | list[str], msgspec.Meta(description="a text, or a list of texts")]
    truncate_prompt_tokens: Annotated[
        int | None,
        msgspec.Meta(description="-1: cut what is too long; not given: refuse it"),
    ] = None
    user: Annotated[
        str | None,
        msgspec.Meta(description="requests of one user see one version while a canary runs"),
    ] = None
    activation: Annotated[bool | None, msgspec.Meta(description="softmax: never off")] = None
    softmax: Annotated[bool | None, msgspec.Meta(description="never off")] = None
    use_activation: Annotated[bool | None, msgspec.Meta(description="never off")] = None


FOREIGN_REQUESTS: tuple[type[msgspec.Struct], ...] = (
    TeiPredictRequest,
    TeiEmbedRequest,
    HfRequest,
    ClassifyRequest,
)
