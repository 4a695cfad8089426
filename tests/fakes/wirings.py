"""Tiny models of every way that a text family is wired, with random weights and no files."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import transformers
from transformers import PretrainedConfig, PreTrainedModel

_WORDS = 40
_POSITIONS = 48
_SIZES = {"vocab_size": _WORDS, "hidden_size": 16, "num_hidden_layers": 2}
_SIZES |= {"num_attention_heads": 2, "intermediate_size": 24}
_SIZES |= {"max_position_embeddings": _POSITIONS}
_ENDS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
_CLS = {"cls_token_id": 0, "sep_token_id": 2}
_DISENTANGLED = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0}
_V3 = {"share_att_key": True, "norm_rel_ebd": "layer_norm", "position_biased_input": False}
_V3 |= {"position_buckets": 8, **_DISENTANGLED}

# name -> (what `transformers` calls the model, arguments of its config)
_WIRINGS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "bert": ("Bert", {}),
    "bert of one token type": ("Bert", {"type_vocab_size": 1}),
    "ernie": ("Ernie", {"use_task_id": True}),
    "megatron-bert": ("MegatronBert", {}),
    "roberta": ("Roberta", _ENDS),
    "xlm-roberta": ("XLMRoberta", {"type_vocab_size": 1, **_ENDS}),
    "camembert": ("Camembert", {"type_vocab_size": 1, **_ENDS}),
    "data2vec-text": ("Data2VecText", _ENDS),
    "roberta-prelayernorm": ("RobertaPreLayerNorm", _ENDS),
    "xlm-roberta-xl": ("XLMRobertaXL", {"type_vocab_size": 1, **_ENDS}),
    "distilbert": ("DistilBert", {}),
    "electra": ("Electra", {"embedding_size": 12}),
    "electra without a projection": ("Electra", {"embedding_size": 16}),
    "albert": ("Albert", {"embedding_size": 8, "num_hidden_layers": 4}),
    "albert of groups": (
        "Albert",
        {
            "embedding_size": 8,
            "num_hidden_layers": 4,
            "num_hidden_groups": 2,
            "inner_group_num": 2,
            "hidden_act": "gelu_new",
        },
    ),
    "mpnet": ("MPNet", _ENDS),
    "modernbert": ("ModernBert", {"reference_compile": False, **_ENDS, **_CLS}),
    "deberta-v3": ("DebertaV2", _V3),
    "deberta-v2 with a convolution": (
        "DebertaV2",
        {**_V3, "conv_kernel_size": 3, "conv_act": "gelu"},
    ),
    "deberta-v2 of own projections": (
        "DebertaV2",
        {**_V3, "share_att_key": False, "norm_rel_ebd": "none"},
    ),
    "deberta-v2 of one term": (
        "DebertaV2",
        {**_V3, "pos_att_type": ["c2p"], "position_buckets": -1, "max_relative_positions": 8},
    ),
    "deberta-v2 of the other term": (
        "DebertaV2",
        {**_V3, "pos_att_type": ["p2c"], "position_buckets": 12, "max_relative_positions": 30},
    ),
    "deberta-v2 of absolute positions": (
        "DebertaV2",
        {"type_vocab_size": 2, "embedding_size": 12, "pooler_hidden_act": "tanh"},
    ),
}
WIRINGS: tuple[str, ...] = tuple(_WIRINGS)


def config_of(wiring: str, **changes: object) -> PretrainedConfig:
    """Return the config of a wiring, with changes."""
    name, own = _WIRINGS[wiring]
    make: Callable[..., PretrainedConfig] = getattr(transformers, f"{name}Config")
    if name == "DistilBert":
        given = {"vocab_size": _WORDS, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}
        return make(**given, max_position_embeddings=_POSITIONS, **changes)
    return make(**{**_SIZES, **own, "attn_implementation": "eager", **changes})


def make_model(wiring: str, **changes: object) -> PreTrainedModel:
    """Return a classification model of a wiring, its weights larger than they begin."""
    torch.manual_seed(0)
    make = getattr(transformers, f"{_WIRINGS[wiring][0]}ForSequenceClassification")
    model: PreTrainedModel = make(config_of(wiring, **changes))
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0.0, 0.3)
        else:
            parameter.data += 0.1 * torch.randn_like(parameter)
        if "word_embeddings" in name or "tok_embeddings" in name:
            parameter.data *= 3.0
    model.eval()
    return model
