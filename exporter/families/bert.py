"""BERT and its kin: absolute positions, layers under `encoder.layer`; BERT, MiniLM, ERNIE.

A kin of BERT is a class that says what is different, in paths of modules.
"""

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from exporter.banked import Banks
from exporter.encoder import PackedEncoder, absolute_embeddings
from exporter.families.family import Assembled, activation_named, refuse
from exporter.families.heads import dense_head
from exporter.layers import LayerPaths, PostNormLayer, PreNormLayer, layers_of, linears_of

BERT_LAYER = LayerPaths(
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    out="attention.output.dense",
    up="intermediate.dense",
    down="output.dense",
    attention_norm="attention.output.LayerNorm",
    output_norm="output.LayerNorm",
)


def _there(base: nn.Module, paths: tuple[str, ...]) -> dict[str, nn.Module]:
    """Return the modules at those of the paths that the model has."""
    modules = dict(base.named_modules())
    return {path: modules[path] for path in paths if path in modules}


class Bert:
    """BERT and MiniLM (Devlin et al. 2019, arXiv 1810.04805): post-norm, a pooler."""

    model_types: tuple[str, ...] = ("bert",)
    encoder = "bert"
    attention: tuple[str, ...] = BERT_LAYER.attention
    architecture = "BertForSequenceClassification"

    # Paths inside the encoder:
    paths = BERT_LAYER
    after_sum: tuple[str, ...] = ("embeddings.LayerNorm",)  # what follows the sum of embeddings
    always: tuple[str, ...] = ()  # embeddings whose first row every token gets
    final_norm: tuple[str, ...] = ()

    layer: type[PostNormLayer] = PostNormLayer
    behind_padding = False  # whether positions begin behind padding's

    # The head, by paths in the classification model:
    dense = "bert.pooler.dense"
    head_activation = "tanh"
    last = "classifier"

    def linears(self, model: PreTrainedModel) -> tuple[str, ...]:
        """Return the path of every linear layer of the encoder, in order of execution."""
        after = _there(getattr(model, self.encoder), self.after_sum)
        first = (path for path, module in after.items() if isinstance(module, nn.Linear))
        count = model.config.num_hidden_layers
        return (*first, *linears_of("encoder.layer", count, self.paths.linears))

    def assemble(self, model: PreTrainedModel, banks: Banks) -> Assembled:
        """Return the packed encoder, its targeted layers wrapped by `banks`."""
        config = model.config
        refuse(
            config, position_embedding_type="absolute", is_decoder=False, add_cross_attention=False
        )
        base: Any = getattr(model, self.encoder)
        embeddings, token_types = absolute_embeddings(
            base.embeddings,
            [
                banks.wrap(path, module) if isinstance(module, nn.Linear) else module
                for path, module in _there(base, self.after_sum).items()
            ],
            list(_there(base, self.always).values()),
        )
        layers = layers_of(
            "encoder.layer",
            base.encoder.layer,
            self.paths,
            banks,
            config.num_attention_heads,
            activation_named(config.hidden_act),
            self.layer,
        )
        final = [base.get_submodule(path) for path in self.final_norm]
        encoder = PackedEncoder(embeddings, layers, final_norm=final[0] if final else None)
        head = dense_head(self.dense, self.head_activation, self.last, config.hidden_size)
        offset = int(config.pad_token_id or 0) + 1 if self.behind_padding else 0
        longest = config.max_position_embeddings - offset
        return Assembled(encoder, "first", head, longest, offset, token_types)


class Ernie(Bert):
    """ERNIE 2 and 3 (Sun et al. 2020, arXiv 1907.12412): BERT, and a task that is always 0."""

    model_types: tuple[str, ...] = ("ernie",)
    encoder = "ernie"
    architecture = "ErnieForSequenceClassification"
    always: tuple[str, ...] = ("embeddings.task_type_embeddings",)
    dense = "ernie.pooler.dense"


class MegatronBert(Bert):
    """Megatron's BERT (Shoeybi et al. 2019, arXiv 1909.08053): pre-norm, a norm at the end."""

    model_types: tuple[str, ...] = ("megatron-bert",)
    architecture = "MegatronBertForSequenceClassification"
    paths = BERT_LAYER.with_norms("attention.ln", "ln")
    after_sum: tuple[str, ...] = ()
    final_norm: tuple[str, ...] = ("encoder.ln",)
    layer = PreNormLayer
