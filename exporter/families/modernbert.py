"""ModernBERT (Warner et al. 2024, arXiv 2412.13663): pre-norm, rotary, sliding windows."""

from typing import Any

from transformers import PretrainedConfig, PreTrainedModel

from exporter.banked import Banks
from exporter.errors import UnsupportedModel
from exporter.families.family import Assembled, activation_named
from exporter.layers import named_linear
from exporter.rotary import RotaryEncoder, RotaryLayer, RotaryParts
from service.engine.bundle import HeadStep

_LAYER = ("attn.Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo")


def _window(config: PretrainedConfig, index: int) -> int | None:
    """Return how far a token of the layer sees, in tokens to each side; None: everywhere."""
    if index % config.global_attn_every_n_layers == 0:
        return None
    return int(config.local_attention) // 2


def _rope_base(config: PretrainedConfig, window: int | None) -> float:
    kind = "full_attention" if window is None else "sliding_attention"
    parameters = getattr(config, "rope_parameters", None)  # transformers 5
    if isinstance(parameters, dict):
        chosen = parameters[kind]
        if chosen.get("rope_type", "default") != "default":
            raise UnsupportedModel(
                f"modernbert: rope_type {chosen['rope_type']!r} is not supported"
            )
        return float(chosen["rope_theta"])
    if getattr(config, "rope_scaling", None):
        raise UnsupportedModel("modernbert: rope_scaling is not supported")
    if window is None or config.local_rope_theta is None:
        return float(config.global_rope_theta)
    return float(config.local_rope_theta)


class ModernBert:
    """ModernBERT; global attention every few layers, sliding windows between."""

    model_types: tuple[str, ...] = ("modernbert",)
    encoder = "model"
    attention: tuple[str, ...] = _LAYER[:2]
    architecture = "ModernBertForSequenceClassification"

    def linears(self, model: PreTrainedModel) -> tuple[str, ...]:
        """Return the path of every linear layer of the encoder, in order of execution."""
        count = model.config.num_hidden_layers
        return tuple(f"layers.{i}.{part}" for i in range(count) for part in _LAYER)

    def assemble(self, model: PreTrainedModel, banks: Banks) -> Assembled:
        """Return the packed encoder, its targeted layers wrapped by `banks`."""
        config = model.config
        base: Any = getattr(model, self.encoder)
        layers = []
        for i, layer in enumerate(base.layers):
            qkv, out, gate_up, down = (named_linear(f"layers.{i}", layer, part) for part in _LAYER)
            window = _window(config, i)
            parts = RotaryParts(
                attention_norm=layer.attn_norm,
                qkv=qkv,
                out=out,
                mlp_norm=layer.mlp_norm,
                gate_up=gate_up,
                down=down,
                window=window,
                rope_base=_rope_base(config, window),
            )
            activation = activation_named(config.hidden_activation)
            layers.append(RotaryLayer(parts, banks, config.num_attention_heads, activation))
        encoder = RotaryEncoder(
            base.embeddings.tok_embeddings, base.embeddings.norm, layers, base.final_norm
        )
        if config.classifier_activation not in ("gelu", "relu", "tanh"):
            raise UnsupportedModel(
                f"modernbert: classifier_activation {config.classifier_activation!r} is not"
                " supported"
            )
        hidden = config.hidden_size
        head = (
            HeadStep(
                kind="linear",
                module="head.dense",
                in_features=hidden,
                out_features=hidden,
                bias=config.classifier_bias,
            ),
            HeadStep(kind=config.classifier_activation),
            HeadStep(
                kind="layer_norm",
                module="head.norm",
                in_features=hidden,
                out_features=hidden,
                bias=config.norm_bias,
                epsilon=config.norm_eps,
            ),
            HeadStep(kind="linear", module="classifier", in_features=hidden),
        )
        pooling = {"cls": "first", "mean": "mean"}[config.classifier_pooling]
        return Assembled(encoder, pooling, head, config.max_position_embeddings, 0, False)
