"""Why a kind of model is not among the families, where there is more to say than that."""

from collections.abc import Mapping

_BESIDE = "its texts cannot share rows: it mixes neighbouring tokens outside of attention"
_LAID_OUT = "its texts cannot share rows: which tokens its attention sees depends on their places"
_GENERATES = "it generates texts; only encoders with a classification head are exported"

# By `model_type`. What is not named here has simply not been wired yet.
_REASONS: Mapping[str, str] = {
    "canine": f"{_BESIDE} (convolutions over characters)",
    "convbert": f"{_BESIDE} (span-based convolutions)",
    "funnel": f"{_BESIDE} (pooling of the sequence)",
    "fnet": f"{_BESIDE} (Fourier transforms)",
    "nystromformer": f"{_BESIDE} (landmarks and a convolution)",
    "big_bird": f"{_LAID_OUT} (blocks of the row)",
    "longformer": f"{_LAID_OUT} (global tokens)",
    "reformer": f"{_LAID_OUT} (hashing)",
    "yoso": f"{_LAID_OUT} (hashing)",
    "mra": f"{_LAID_OUT} (blocks of the row)",
    "deberta": "its layers are not those of DeBERTa-v2 and -v3 (`deberta-v2`), which are supported",
    "ibert": "it computes in integers of its own; its float form is `roberta`",
    "layoutlm": "it takes the places of words on a page, and only texts are served",
    **dict.fromkeys(("bart", "t5", "mt5", "mbart"), f"{_GENERATES}, and it has a decoder as well"),
    **dict.fromkeys(
        ("gpt2", "gpt_neox", "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "opt"),
        _GENERATES,
    ),
}


def reason_against(model_type: str) -> str | None:
    """Return why models of a type are not exported, where that is known."""
    return _REASONS.get(model_type)
