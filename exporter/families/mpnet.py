"""MPNet (Song et al. 2020, arXiv 2004.09297): absolute positions, and a bias by distance."""

from typing import Any

from transformers import PreTrainedModel

from exporter.banked import Banks
from exporter.encoder import Embeddings, PackedEncoder
from exporter.families.family import Assembled, activation_named
from exporter.families.heads import dense_head
from exporter.layers import LayerPaths, layers_of, linears_of
from exporter.relative import RelativeBias

_LAYER = LayerPaths(
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    out="attention.attn.o",
    up="intermediate.dense",
    down="output.dense",
    attention_norm="attention.LayerNorm",
    output_norm="output.LayerNorm",
)
_OFFSET = 2  # the model's own padding index, 1 whatever the config says, and one more


class MPNet:
    """MPNet; all layers share one bias of the scores, by head and distance."""

    model_types: tuple[str, ...] = ("mpnet",)
    encoder = "mpnet"
    attention: tuple[str, ...] = _LAYER.attention
    architecture = "MPNetForSequenceClassification"

    def linears(self, model: PreTrainedModel) -> tuple[str, ...]:
        """Return the path of every linear layer of the encoder, in order of execution."""
        return linears_of("encoder.layer", model.config.num_hidden_layers, _LAYER.linears)

    def assemble(self, model: PreTrainedModel, banks: Banks) -> Assembled:
        """Return the packed encoder, its targeted layers wrapped by `banks`."""
        config = model.config
        base: Any = getattr(model, self.encoder)
        longest = config.max_position_embeddings - _OFFSET
        words, positions = base.embeddings.word_embeddings, base.embeddings.position_embeddings
        embeddings = Embeddings(words, positions, None, (base.embeddings.LayerNorm,))
        layers = layers_of(
            "encoder.layer",
            base.encoder.layer,
            _LAYER,
            banks,
            config.num_attention_heads,
            activation_named(config.hidden_act),
        )
        bias = RelativeBias(base.encoder.relative_attention_bias.weight, longest)
        encoder = PackedEncoder(embeddings, layers, bias=bias)
        head = dense_head("classifier.dense", "tanh", "classifier.out_proj", config.hidden_size)
        return Assembled(encoder, "first", head, longest, _OFFSET, False)
