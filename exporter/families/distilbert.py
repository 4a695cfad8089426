"""DistilBERT (Sanh et al. 2019, arXiv 1910.01108): BERT without token types and pooler."""

from typing import Any

from transformers import PreTrainedModel

from exporter.banked import Banks
from exporter.families.family import Assembled, activation_named
from exporter.packed import PostNormEncoder, PostNormLayer, PostNormParts, named_linears
from service.engine.bundle import HeadStep

_LAYER = (
    "attention.q_lin",
    "attention.k_lin",
    "attention.v_lin",
    "attention.out_lin",
    "ffn.lin1",
    "ffn.lin2",
)


class DistilBert:
    """DistilBERT; its head's `pre_classifier` is never in a pre-trained checkpoint."""

    model_types: tuple[str, ...] = ("distilbert",)
    encoder = "distilbert"
    attention: tuple[str, ...] = _LAYER[:4]
    architecture = "DistilBertForSequenceClassification"

    def linears(self, model: PreTrainedModel) -> tuple[str, ...]:
        """Return the path of every linear layer of the encoder, in order of execution."""
        count = model.config.n_layers
        return tuple(f"transformer.layer.{i}.{part}" for i in range(count) for part in _LAYER)

    def assemble(self, model: PreTrainedModel, banks: Banks) -> Assembled:
        """Return the packed encoder, its targeted layers wrapped by `banks`."""
        config = model.config
        base: Any = getattr(model, self.encoder)
        layers = []
        for i, layer in enumerate(base.transformer.layer):
            parts = PostNormParts(
                **named_linears(f"transformer.layer.{i}", layer, _LAYER),
                attention_norm=layer.sa_layer_norm,
                output_norm=layer.output_layer_norm,
            )
            activation = activation_named(config.activation)
            layers.append(PostNormLayer(parts, banks, config.n_heads, activation))
        embeddings = base.embeddings
        encoder = PostNormEncoder(
            embeddings.word_embeddings,
            embeddings.position_embeddings,
            None,
            False,
            embeddings.LayerNorm,
            layers,
        )
        hidden = config.dim
        head = (
            HeadStep(
                kind="linear", module="pre_classifier", in_features=hidden, out_features=hidden
            ),
            HeadStep(kind="relu"),
            HeadStep(kind="linear", module="classifier", in_features=hidden),
        )
        return Assembled(encoder, "first", head, config.max_position_embeddings, 0, False)
