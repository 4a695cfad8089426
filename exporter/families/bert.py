"""BERT and its kin: BERT, MiniLM, RoBERTa, XLM-R; post-norm, absolute positions."""

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from exporter.banked import Banks
from exporter.families.family import Assembled, activation_named, refuse
from exporter.packed import PostNormEncoder, PostNormLayer, PostNormParts, named_linears
from service.engine.bundle import HeadStep

_LAYER = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)


def _encoder(model: PreTrainedModel, attribute: str, banks: Banks, token_types: bool) -> nn.Module:
    config = model.config
    refuse(config, position_embedding_type="absolute", is_decoder=False, add_cross_attention=False)
    base: Any = getattr(model, attribute)
    layers = []
    for i, layer in enumerate(base.encoder.layer):
        parts = PostNormParts(
            **named_linears(f"encoder.layer.{i}", layer, _LAYER),
            attention_norm=layer.attention.output.LayerNorm,
            output_norm=layer.output.LayerNorm,
        )
        activation = activation_named(config.hidden_act)
        layers.append(PostNormLayer(parts, banks, config.num_attention_heads, activation))
    embeddings = base.embeddings
    return PostNormEncoder(
        embeddings.word_embeddings,
        embeddings.position_embeddings,
        embeddings.token_type_embeddings,
        token_types,
        embeddings.LayerNorm,
        layers,
    )


def _linears(model: PreTrainedModel) -> tuple[str, ...]:
    count = model.config.num_hidden_layers
    return tuple(f"encoder.layer.{i}.{part}" for i in range(count) for part in _LAYER)


class Bert:
    """BERT and MiniLM (Devlin et al. 2019, arXiv 1810.04805)."""

    model_types: tuple[str, ...] = ("bert",)
    encoder = "bert"
    attention: tuple[str, ...] = _LAYER[:4]
    architecture = "BertForSequenceClassification"

    def linears(self, model: PreTrainedModel) -> tuple[str, ...]:
        """Return the path of every linear layer of the encoder, in order of execution."""
        return _linears(model)

    def assemble(self, model: PreTrainedModel, banks: Banks) -> Assembled:
        """Return the packed encoder, its targeted layers wrapped by `banks`."""
        config = model.config
        hidden = config.hidden_size
        head = (
            HeadStep(
                kind="linear",
                module="bert.pooler.dense",
                in_features=hidden,
                out_features=hidden,
            ),
            HeadStep(kind="tanh"),
            HeadStep(kind="linear", module="classifier", in_features=hidden),
        )
        token_types = config.type_vocab_size > 1
        encoder = _encoder(model, self.encoder, banks, token_types)
        return Assembled(encoder, "first", head, config.max_position_embeddings, 0, token_types)


class Roberta:
    """RoBERTa and XLM-R (Liu et al. 2019, arXiv 1907.11692): positions begin behind padding's."""

    model_types: tuple[str, ...] = ("roberta", "xlm-roberta")
    encoder = "roberta"
    attention: tuple[str, ...] = _LAYER[:4]
    architecture = "RobertaForSequenceClassification"

    def linears(self, model: PreTrainedModel) -> tuple[str, ...]:
        """Return the path of every linear layer of the encoder, in order of execution."""
        return _linears(model)

    def assemble(self, model: PreTrainedModel, banks: Banks) -> Assembled:
        """Return the packed encoder, its targeted layers wrapped by `banks`."""
        config = model.config
        hidden = config.hidden_size
        head = (
            HeadStep(
                kind="linear",
                module="classifier.dense",
                in_features=hidden,
                out_features=hidden,
            ),
            HeadStep(kind="tanh"),
            HeadStep(kind="linear", module="classifier.out_proj", in_features=hidden),
        )
        offset = int(config.pad_token_id or 0) + 1
        token_types = config.type_vocab_size > 1
        encoder = _encoder(model, self.encoder, banks, token_types)
        longest = config.max_position_embeddings - offset
        return Assembled(encoder, "first", head, longest, offset, token_types)
