"""Families: which there are, where LoRA may go, and what of them is refused."""

from typing import Any

import pytest
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedModel,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from exporter.banked import BankedLinear, Banks
from exporter.errors import UnsupportedModel
from exporter.families.catalogue import FAMILIES, family_of
from exporter.families.family import activation_named, refuse

TINY = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TINY |= {"intermediate_size": 24}


def bert(**changes: object) -> PreTrainedModel:
    return BertForSequenceClassification(BertConfig(**{**TINY, **changes}))


def roberta(**changes: object) -> PreTrainedModel:
    return RobertaForSequenceClassification(RobertaConfig(**{**TINY, **changes}))


def distilbert(**changes: object) -> PreTrainedModel:
    config = DistilBertConfig(
        vocab_size=40, dim=16, n_layers=2, n_heads=2, hidden_dim=24, **changes
    )
    return DistilBertForSequenceClassification(config)


def modernbert(**changes: Any) -> PreTrainedModel:
    ends: dict[str, Any] = {
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "cls_token_id": 0,
    }
    config = ModernBertConfig(**{**TINY, **ends, "sep_token_id": 2, **changes})
    return ModernBertForSequenceClassification(config)


MODELS = {"bert": bert, "roberta": roberta, "distilbert": distilbert, "modernbert": modernbert}


def test_an_unknown_family_is_refused_with_those_that_are_known() -> None:
    words = (
        "'gpt2' is not supported; supported are bert, distilbert, modernbert, roberta, xlm-roberta"
    )
    with pytest.raises(UnsupportedModel, match=words):
        family_of("gpt2")


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_every_target_is_a_linear_layer_where_peft_looks_for_it(kind: str) -> None:
    model = MODELS[kind]()
    family = family_of(kind)
    encoder = model.get_submodule(family.encoder)
    paths = family.linears(model)
    inside = {name for name, m in encoder.named_modules() if type(m).__name__ == "Linear"}
    assert set(paths) == inside - {"pooler.dense"}
    assert all(any(path.endswith(name) for path in paths) for name in family.attention)


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_banks_are_put_around_the_targets_and_nothing_else(kind: str) -> None:
    model = MODELS[kind]()
    family = family_of(kind)
    paths = family.linears(model)
    some = frozenset(paths[1::3])
    banks = Banks(some)
    assembled = family.assemble(model, banks)
    assert banks.names == [path for path in paths if path in some]
    banked = [m for m in assembled.encoder.modules() if isinstance(m, BankedLinear)]
    assert len(banked) == len(some)


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_the_last_step_of_a_head_has_a_row_for_each_label(kind: str) -> None:
    model = MODELS[kind]()
    steps = family_of(kind).assemble(model, Banks(frozenset())).head
    assert steps[-1].kind == "linear"
    assert steps[-1].out_features is None
    for step in steps:
        if step.module:
            module = model.get_submodule(step.module)
            shape = tuple(module.weight.shape)  # type: ignore[arg-type]
            wanted = (step.out_features or model.config.num_labels, step.in_features)
            assert shape == (wanted if step.kind == "linear" else (step.in_features,))
            assert (module.bias is not None) == step.bias


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"position_embedding_type": "relative_key"}, "position_embedding_type='relative_key'"),
        ({"is_decoder": True}, "is_decoder=True"),
    ],
)
def test_a_bert_that_is_wired_otherwise_is_refused(changes: dict[str, object], words: str) -> None:
    model = bert()
    for name, value in changes.items():
        setattr(model.config, name, value)
    with pytest.raises(UnsupportedModel, match=words):
        family_of("bert").assemble(model, Banks(frozenset()))


def test_a_modernbert_with_stretched_angles_is_refused() -> None:
    model = modernbert()
    model.config.rope_scaling = {"rope_type": "linear", "factor": 2.0}
    with pytest.raises(UnsupportedModel, match="rope"):
        family_of("modernbert").assemble(model, Banks(frozenset()))


def test_a_modernbert_with_an_unusual_head_is_refused() -> None:
    model = modernbert(classifier_activation="silu")
    with pytest.raises(UnsupportedModel, match="classifier_activation 'silu'"):
        family_of("modernbert").assemble(model, Banks(frozenset()))


def test_an_activation_that_transformers_lacks_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="'wobble'"):
        activation_named("wobble")
    assert activation_named("gelu") is not None


def test_an_attribute_that_a_config_does_not_have_is_as_required() -> None:
    refuse(BertConfig(), no_such_attribute=True)


def test_no_two_families_take_the_same_models() -> None:
    names = [name for family in FAMILIES for name in family.model_types]
    assert len(set(names)) == len(names)
