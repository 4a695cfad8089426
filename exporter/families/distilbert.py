"""DistilBERT (Sanh et al. 2019, arXiv 1910.01108): BERT without token types and pooler."""

from typing import Any

from transformers import PreTrainedModel

from exporter.banked import Banks
from exporter.encoder import Embeddings, PackedEncoder
from exporter.families.family import Assembled, activation_named
from exporter.families.heads import dense_head
from exporter.layers import LayerPaths, layers_of, linears_of

_LAYER = LayerPaths(
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    out="attention.out_lin",
    up="ffn.lin1",
    down="ffn.lin2",
    attention_norm="sa_layer_norm",
    output_norm="output_layer_norm",
)


class DistilBert:
    """DistilBERT; its head's `pre_classifier` is never in a pre-trained checkpoint."""

    model_types: tuple[str, ...] = ("distilbert",)
    encoder = "distilbert"
    attention: tuple[str, ...] = _LAYER.attention
    architecture = "DistilBertForSequenceClassification"

    def linears(self, model: PreTrainedModel) -> tuple[str, ...]:
        """Return the path of every linear layer of the encoder, in order of execution."""
        return linears_of("transformer.layer", model.config.n_layers, _LAYER.linears)

    def assemble(self, model: PreTrainedModel, banks: Banks) -> Assembled:
        """Return the packed encoder, its targeted layers wrapped by `banks`."""
        config = model.config
        base: Any = getattr(model, self.encoder)
        module = base.embeddings
        embeddings = Embeddings(
            module.word_embeddings, module.position_embeddings, None, (module.LayerNorm,)
        )
        layers = layers_of(
            "transformer.layer",
            base.transformer.layer,
            _LAYER,
            banks,
            config.n_heads,
            activation_named(config.activation),
        )
        encoder = PackedEncoder(embeddings, layers)
        head = dense_head("pre_classifier", "relu", "classifier", config.dim)
        return Assembled(encoder, "first", head, config.max_position_embeddings, 0, False)
