"""Families: which there are, where LoRA may go, and what of them is refused."""

from collections.abc import Callable

import pytest
from transformers import BertConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from exporter.banked import BankedLinear, Banks
from exporter.errors import UnsupportedModel
from exporter.families.catalogue import (
    FAMILIES,
    IMAGE_FAMILIES,
    family_of,
    image_family_of,
    refuse_unsupported,
)
from exporter.families.family import Family, ImageFamily, activation_named, refuse
from exporter.families.reasons import _REASONS
from tests.fakes.wirings import WIRINGS, make_model

SUPPORTED = "supported are albert, bert, camembert, data2vec-text, deberta-v2, distilbert, electra"
EVERY: tuple[Family | ImageFamily, ...] = (*FAMILIES, *IMAGE_FAMILIES)
GUIDE = "docs/guides/adding-a-family.md"


@pytest.mark.parametrize("find", [family_of, image_family_of])
def test_an_unknown_family_is_refused_with_those_that_are_known(
    find: Callable[[str], object],
) -> None:
    words = f"'esm' is not supported; {SUPPORTED}, .*, and for images .*vit; {GUIDE} shows how"
    with pytest.raises(UnsupportedModel, match=words):
        find("esm")


def test_a_family_that_cannot_be_packed_or_generates_is_told_why() -> None:
    for kind, words in {
        "fnet": "its texts cannot share rows: it mixes .* .Fourier",
        "gpt2": "it generates texts; only encoders",
        "deberta": "its layers are not those of DeBERTa-v2",
    }.items():
        with pytest.raises(UnsupportedModel, match=f"{kind}' is not supported: {words}"):
            family_of(kind)


def test_reasons_are_given_for_types_of_transformers_that_are_no_family() -> None:
    known = {name for family in EVERY for name in family.model_types}
    assert known <= set(CONFIG_MAPPING_NAMES)
    assert set(_REASONS) <= set(CONFIG_MAPPING_NAMES) - known


@pytest.mark.parametrize(
    ("model_type", "code"),
    [("nomic_bert", "AutoModel"), ("new", "AutoConfig"), ("bert", "AutoModelForMaskedLM")],
)
def test_a_model_that_comes_with_code_is_told_that_none_is_run(model_type: str, code: str) -> None:
    config = {"model_type": model_type, "auto_map": {code: "modeling.Model"}}
    words = f"{model_type!r} comes with code of its own .auto_map.*ever run.*{SUPPORTED}.*{GUIDE}"
    with pytest.raises(UnsupportedModel, match=words):
        refuse_unsupported(config)


def test_a_tokenizer_of_its_own_is_no_code_of_the_model() -> None:
    refuse_unsupported({"model_type": "bert", "auto_map": {"AutoTokenizer": "tokens.Tokenizer"}})
    refuse_unsupported({"model_type": "vit"})


@pytest.mark.parametrize("config", [{}, {"model_type": None}, {"model_type": 7}])
def test_a_config_that_does_not_say_what_it_is_of_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(UnsupportedModel, match=r"config\.json names no model_type"):
        refuse_unsupported(config)


@pytest.mark.parametrize("wiring", WIRINGS)
def test_every_target_is_a_linear_layer_where_peft_looks_for_it(wiring: str) -> None:
    model = make_model(wiring)
    family = family_of(model.config.model_type)
    encoder = model.get_submodule(family.encoder)
    paths = family.linears(model)
    inside = {name for name, m in encoder.named_modules() if type(m).__name__ == "Linear"}
    assert set(paths) == inside - {"pooler", "pooler.dense"}
    assert all(any(path.endswith(name) for path in paths) for name in family.attention)


@pytest.mark.parametrize("wiring", WIRINGS)
def test_banks_are_put_around_the_targets_and_nothing_else(wiring: str) -> None:
    model = make_model(wiring)
    family = family_of(model.config.model_type)
    paths = family.linears(model)
    some = frozenset(paths[1::3])
    banks = Banks(some)
    assembled = family.assemble(model, banks)
    assert banks.names == [path for path in paths if path in some]
    banked = [m for m in assembled.encoder.modules() if isinstance(m, BankedLinear)]
    assert len(banked) == len(some)


@pytest.mark.parametrize("wiring", WIRINGS)
def test_the_last_step_of_a_head_has_a_row_for_each_label(wiring: str) -> None:
    model = make_model(wiring)
    steps = family_of(model.config.model_type).assemble(model, Banks(frozenset())).head
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
    model = make_model("bert")
    for name, value in changes.items():
        setattr(model.config, name, value)
    with pytest.raises(UnsupportedModel, match=words):
        family_of("bert").assemble(model, Banks(frozenset()))


def test_a_modernbert_with_stretched_angles_is_refused() -> None:
    model = make_model("modernbert")
    model.config.rope_scaling = {"rope_type": "linear", "factor": 2.0}
    with pytest.raises(UnsupportedModel, match="rope"):
        family_of("modernbert").assemble(model, Banks(frozenset()))


def test_a_modernbert_with_an_unusual_head_is_refused() -> None:
    model = make_model("modernbert", classifier_activation="silu")
    with pytest.raises(UnsupportedModel, match="classifier_activation 'silu'"):
        family_of("modernbert").assemble(model, Banks(frozenset()))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"conv_groups": 2}, "conv_groups=2 is not supported, only 1"),
        ({"conv_kernel_size": 5, "pooler_hidden_act": "silu"}, "head's activation 'silu'"),
    ],
)
def test_a_deberta_that_is_wired_otherwise_is_refused(
    changes: dict[str, object], words: str
) -> None:
    model = make_model("deberta-v2 with a convolution", **changes)
    with pytest.raises(UnsupportedModel, match=words):
        family_of("deberta-v2").assemble(model, Banks(frozenset()))


def test_a_convolution_without_a_middle_is_refused() -> None:
    model = make_model("deberta-v2 with a convolution")
    model.config.conv_kernel_size = 4
    with pytest.raises(UnsupportedModel, match="conv_kernel_size=4 is not supported, only odd"):
        family_of("deberta-v2").assemble(model, Banks(frozenset()))


def test_an_activation_that_transformers_lacks_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="'wobble'"):
        activation_named("wobble")
    assert activation_named("gelu") is not None


def test_an_attribute_that_a_config_does_not_have_is_as_required() -> None:
    refuse(BertConfig(), no_such_attribute=True)


def test_no_two_families_take_the_same_models() -> None:
    names = [name for family in EVERY for name in family.model_types]
    assert len(set(names)) == len(names)
