"""DeBERTa-v2 and -v3 (He et al. 2021, arXiv 2006.03654 and 2111.09543)."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from exporter.banked import Banks
from exporter.disentangled import (
    DisentangledEncoder,
    DisentangledLayer,
    DisentangledParts,
    RelationTable,
    TextConvolution,
)
from exporter.encoder import Embeddings
from exporter.errors import UnsupportedModel
from exporter.families.family import Assembled, activation_named, refuse
from exporter.families.heads import dense_head
from exporter.layers import LayerPaths, named_linear

_LAYER = LayerPaths(
    query="attention.self.query_proj",
    key="attention.self.key_proj",
    value="attention.self.value_proj",
    out="attention.output.dense",
    up="intermediate.dense",
    down="output.dense",
    attention_norm="attention.output.LayerNorm",
    output_norm="output.LayerNorm",
)
_POSITION_KEY = "attention.self.pos_key_proj"
_POSITION_QUERY = "attention.self.pos_query_proj"
_PROJECTION = "embeddings.embed_proj"


def _positional(config: PretrainedConfig) -> dict[str, str]:
    """Return where each of the family's terms of distance has its projection: c2p, p2c."""
    if not config.relative_attention:
        return {}
    shared = getattr(config, "share_att_key", False)
    every = {
        "c2p": _LAYER.key if shared else _POSITION_KEY,
        "p2c": _LAYER.query if shared else _POSITION_QUERY,
    }
    return {term: path for term, path in every.items() if term in (config.pos_att_type or ())}


def _projected(config: PretrainedConfig) -> bool:
    return bool(getattr(config, "embedding_size", config.hidden_size) != config.hidden_size)


class DebertaV2:
    """DeBERTa-v2 and -v3, which differ by their configs alone."""

    model_types: tuple[str, ...] = ("deberta-v2",)
    encoder = "deberta"
    attention: tuple[str, ...] = _LAYER.attention
    architecture = "DebertaV2ForSequenceClassification"

    def linears(self, model: PreTrainedModel) -> tuple[str, ...]:
        """Return the path of every linear layer of the encoder, in order of execution."""
        config = model.config
        content = _LAYER.linears
        own = tuple(path for path in _positional(config).values() if path not in content)
        parts = (*content[:3], *own, *content[3:])
        layers = (
            f"encoder.layer.{i}.{part}" for i in range(config.num_hidden_layers) for part in parts
        )
        return (*((_PROJECTION,) if _projected(config) else ()), *layers)

    def assemble(self, model: PreTrainedModel, banks: Banks) -> Assembled:
        """Return the packed encoder, its targeted layers wrapped by `banks`."""
        config = model.config
        base: Any = getattr(model, self.encoder)
        embeddings, token_types = _embeddings(base, config, banks)
        relations = _relations(base, config)
        layers = _layers(base, config, banks, relations)
        encoder = DisentangledEncoder(embeddings, layers, relations, _convolution(base, config))
        head = dense_head(
            "pooler.dense", config.pooler_hidden_act, "classifier", config.hidden_size
        )
        return Assembled(encoder, "first", head, config.max_position_embeddings, 0, token_types)


def _embeddings(base: Any, config: PretrainedConfig, banks: Banks) -> tuple[Embeddings, bool]:
    module = base.embeddings
    types = module.token_type_embeddings  # None where type_vocab_size is 0
    takes = types is not None and types.num_embeddings > 1
    always = () if types is None or takes else (types,)
    positions = module.position_embeddings if config.position_biased_input else None
    then: list[nn.Module] = [module.LayerNorm]
    if _projected(config):
        then.insert(0, banks.wrap(_PROJECTION, module.embed_proj))
    words = module.word_embeddings
    return Embeddings(words, positions, types if takes else None, then, always), takes


def _relations(base: Any, config: PretrainedConfig) -> RelationTable | None:
    if not config.relative_attention:
        return None
    longest = int(config.max_position_embeddings)
    reach = int(config.max_relative_positions)
    reach = longest if reach < 1 else reach
    buckets = max(0, int(getattr(config, "position_buckets", -1)))
    with torch.no_grad():
        embeddings: Tensor = base.encoder.get_rel_embedding()
    return RelationTable(embeddings, buckets, reach, longest)


def _layers(
    base: Any, config: PretrainedConfig, banks: Banks, relations: RelationTable | None
) -> list[DisentangledLayer]:
    positional = _positional(config)
    terms = 1 + sum(term in (config.pos_att_type or ()) for term in ("c2p", "p2c"))
    activation = activation_named(config.hidden_act)
    layers = []
    for i, module in enumerate(base.encoder.layer):
        prefix = f"encoder.layer.{i}"
        named = {term: named_linear(prefix, module, path) for term, path in positional.items()}
        parts = DisentangledParts(
            _LAYER.unpack(prefix, module), named.get("c2p"), named.get("p2c"), terms
        )
        table = torch.empty(0) if relations is None else relations.embeddings
        layers.append(
            DisentangledLayer(parts, banks, config.num_attention_heads, activation, table)
        )
    return layers


def _convolution(base: Any, config: PretrainedConfig) -> TextConvolution | None:
    if not getattr(config, "conv_kernel_size", 0):
        return None
    refuse(config, conv_groups=1)
    if config.conv_kernel_size % 2 == 0:
        raise UnsupportedModel(
            f"{config.model_type}: conv_kernel_size={config.conv_kernel_size} is not supported,"
            " only odd sizes"
        )
    layer = base.encoder.conv
    activation = activation_named(getattr(config, "conv_act", "tanh"))
    return TextConvolution(layer.conv, activation, layer.LayerNorm)
