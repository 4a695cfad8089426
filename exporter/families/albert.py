"""ALBERT (Lan et al. 2020, arXiv 1909.11942): a few layers, each used again and again."""

from typing import Any

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from exporter.banked import Banks
from exporter.encoder import PackedEncoder, absolute_embeddings
from exporter.families.family import Assembled, activation_named, refuse
from exporter.families.heads import dense_head
from exporter.layers import LayerPaths, PostNormLayer, named_linear

_LAYER = LayerPaths(
    query="attention.query",
    key="attention.key",
    value="attention.value",
    out="attention.dense",
    up="ffn",
    down="ffn_output",
    attention_norm="attention.LayerNorm",
    output_norm="full_layer_layer_norm",
)
_PROJECTION = "encoder.embedding_hidden_mapping_in"
_LAYERS = "encoder.albert_layer_groups.{}.albert_layers.{}"


def _held(config: PretrainedConfig) -> list[list[str]]:
    """Return the paths of the layers that the checkpoint holds, by group."""
    inner = range(config.inner_group_num)
    return [[_LAYERS.format(g, i) for i in inner] for g in range(config.num_hidden_groups)]


class Albert:
    """ALBERT; as in `peft`, an adapter's delta of a layer acts each time the layer is used."""

    model_types: tuple[str, ...] = ("albert",)
    encoder = "albert"
    attention: tuple[str, ...] = _LAYER.attention
    architecture = "AlbertForSequenceClassification"

    def linears(self, model: PreTrainedModel) -> tuple[str, ...]:
        """Return the path of every linear layer of the encoder, in order of execution."""
        layers = [path for group in _held(model.config) for path in group]
        return (_PROJECTION, *(f"{path}.{part}" for path in layers for part in _LAYER.linears))

    def assemble(self, model: PreTrainedModel, banks: Banks) -> Assembled:
        """Return the packed encoder, its targeted layers wrapped by `banks`."""
        config = model.config
        refuse(config, position_embedding_type="absolute")
        base: Any = getattr(model, self.encoder)
        projection = banks.wrap(*named_linear("", base, _PROJECTION))
        embeddings, token_types = absolute_embeddings(
            base.embeddings, (base.embeddings.LayerNorm, projection)
        )
        activation = activation_named(config.hidden_act)
        heads = config.num_attention_heads
        groups = [
            [
                PostNormLayer(
                    _LAYER.unpack(path, base.get_submodule(path)), banks, heads, activation
                )
                for path in paths
            ]
            for paths in _held(config)
        ]
        used: list[nn.Module] = []
        for number in range(config.num_hidden_layers):
            used += groups[int(number / (config.num_hidden_layers / config.num_hidden_groups))]
        head = dense_head("albert.pooler", "tanh", "classifier", config.hidden_size)
        encoder = PackedEncoder(embeddings, used)
        return Assembled(encoder, "first", head, config.max_position_embeddings, 0, token_types)
