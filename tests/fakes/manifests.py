"""Manifests of bundles that were never exported, for tests that need no graph."""

from service.engine.bundle import (
    Dedicated,
    Head,
    HeadStep,
    Manifest,
    Parity,
    Source,
    Target,
    Variant,
)

BACKBONE = "sha256:" + "b" * 64

HIDDEN = 16
INNER = 32
LAYERS = 2

_ENCODERS = {
    "bert": "bert",
    "roberta": "roberta",
    "distilbert": "distilbert",
    "modernbert": "model",
}
_LINEARS = {
    "bert": {
        "encoder.layer.{}.attention.self.query": (HIDDEN, HIDDEN),
        "encoder.layer.{}.attention.self.key": (HIDDEN, HIDDEN),
        "encoder.layer.{}.attention.self.value": (HIDDEN, HIDDEN),
        "encoder.layer.{}.attention.output.dense": (HIDDEN, HIDDEN),
        "encoder.layer.{}.intermediate.dense": (HIDDEN, INNER),
        "encoder.layer.{}.output.dense": (INNER, HIDDEN),
    },
    "distilbert": {
        "transformer.layer.{}.attention.q_lin": (HIDDEN, HIDDEN),
        "transformer.layer.{}.attention.k_lin": (HIDDEN, HIDDEN),
        "transformer.layer.{}.attention.v_lin": (HIDDEN, HIDDEN),
        "transformer.layer.{}.attention.out_lin": (HIDDEN, HIDDEN),
        "transformer.layer.{}.ffn.lin1": (HIDDEN, INNER),
        "transformer.layer.{}.ffn.lin2": (INNER, HIDDEN),
    },
    "modernbert": {
        "layers.{}.attn.Wqkv": (HIDDEN, 3 * HIDDEN),
        "layers.{}.attn.Wo": (HIDDEN, HIDDEN),
        "layers.{}.mlp.Wi": (HIDDEN, 2 * INNER),
        "layers.{}.mlp.Wo": (INNER, HIDDEN),
    },
}
_LINEARS["roberta"] = _LINEARS["bert"]


def _dense(module: str, *, bias: bool = True) -> HeadStep:
    return HeadStep(
        kind="linear", module=module, in_features=HIDDEN, out_features=HIDDEN, bias=bias
    )


def _last(module: str) -> HeadStep:
    return HeadStep(kind="linear", module=module, in_features=HIDDEN)


_HEADS = {
    "bert": Head(
        pooling="first",
        steps=(_dense("bert.pooler.dense"), HeadStep(kind="tanh"), _last("classifier")),
        held=("bert.pooler.dense",),
        missing=("classifier",),
    ),
    "roberta": Head(
        pooling="first",
        steps=(_dense("classifier.dense"), HeadStep(kind="tanh"), _last("classifier.out_proj")),
        held=(),
        missing=("classifier.dense", "classifier.out_proj"),
    ),
    "distilbert": Head(
        pooling="first",
        steps=(_dense("pre_classifier"), HeadStep(kind="relu"), _last("classifier")),
        held=(),
        missing=("pre_classifier", "classifier"),
    ),
    "modernbert": Head(
        pooling="first",
        steps=(
            _dense("head.dense", bias=False),
            HeadStep(kind="gelu"),
            HeadStep(
                kind="layer_norm",
                module="head.norm",
                in_features=HIDDEN,
                out_features=HIDDEN,
                bias=False,
            ),
            _last("classifier"),
        ),
        held=("head.dense", "head.norm"),
        missing=("classifier",),
    ),
}


def targets_of(family: str) -> tuple[Target, ...]:
    """Return every linear layer of a family's encoder of two layers."""
    return tuple(
        Target(name=name.format(i), in_features=sizes[0], out_features=sizes[1])
        for i in range(LAYERS)
        for name, sizes in _LINEARS[family].items()
    )


def manifest_of(
    family: str = "bert",
    *,
    endings: tuple[str, ...] = (),
    max_rank: int = 16,
    max_labels: int = 8,
) -> Manifest:
    """Return the manifest of a tiny backbone; `endings` choose its targets, none: all of them."""
    targets = tuple(t for t in targets_of(family) if not endings or t.name.endswith(endings))
    flag = f" --targets {','.join(endings)}" if endings else " --targets all-linear"
    parity = Parity(
        passed=True,
        texts=1,
        adapters=1,
        max_probability_error=0.0,
        mean_probability_error=0.0,
        label_agreement=1.0,
        max_embedding_error=0.0,
        max_neighbour_error=0.0,
        tolerance=1e-4,
    )
    return Manifest(
        format=2,
        source=Source(name="tiny", revision="none", architecture=f"tiny {family}", files={}),
        family=family,
        task="text",
        hidden_size=HIDDEN,
        max_length=64,
        position_offset=0,
        token_types=False,
        encoder=_ENCODERS[family],
        targets=targets,
        max_rank=max_rank,
        max_labels=max_labels,
        head=_HEADS[family],
        variants={"fp32": Variant(file="model.fp32.onnx", parity=parity, tokens_per_second=1.0)},
        files={},
        licence="Apache-2.0",
        exported_at="2025-01-01T00:00:00Z",
        exported_by="tests",
        versions={},
        command=f"tenantry export tiny --out bundle{flag} --max-rank {max_rank}",
    )


def dedicated_manifest_of(labels: tuple[str, ...], family: str = "bert") -> Manifest:
    """Return the manifest of a tiny model that answers by itself."""
    backbone = manifest_of(family, max_labels=len(labels))
    modules = tuple(step.module for step in backbone.head.steps if step.module)
    head = {"held": modules, "missing": (), "labels": len(labels)}
    changes = {
        "targets": (),
        "max_rank": 0,
        "head": backbone.head.model_copy(update=head),
        "dedicated": Dedicated(labels=labels),
        "command": "tenantry export tiny --dedicated --out bundle",
    }
    return backbone.model_copy(update=changes)
