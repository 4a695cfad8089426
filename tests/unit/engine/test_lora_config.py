import math

import pytest

from service.engine.errors import InvalidAdapter
from service.engine.findings import Findings
from service.engine.lora_config import LoraConfig, canonical_config, read_config

MINIMAL: dict[str, object] = {"peft_type": "LORA", "target_modules": ["query"]}
QUERY = "bert.encoder.layer.3.attention.self.query"
VALUE = "bert.encoder.layer.3.attention.self.value"


def config_of(**changes: object) -> LoraConfig:
    findings = Findings()
    config = read_config({**MINIMAL, **changes}, findings)
    findings.settle()
    assert config is not None
    return config


def problems_of(**changes: object) -> list[str]:
    with pytest.raises(InvalidAdapter) as caught:
        config_of(**changes)
    return [problem.where for problem in caught.value.problems]


def test_a_config_that_says_nothing_has_the_defaults_of_peft() -> None:
    config = config_of()
    assert config.rank_of(QUERY) == 8
    assert config.scale_of(QUERY) == 1.0


def test_the_scale_is_alpha_over_rank_or_over_its_root() -> None:
    assert config_of(r=4, lora_alpha=32).scale_of(QUERY) == 8.0
    assert config_of(r=4, lora_alpha=32, use_rslora=True).scale_of(QUERY) == 16.0
    assert config_of(r=3, lora_alpha=1.5).scale_of(QUERY) == 0.5
    assert config_of(r=3, lora_alpha=1, use_rslora=True).scale_of(QUERY) == 1 / math.sqrt(3)


def test_the_first_pattern_that_matches_decides() -> None:
    config = config_of(
        r=8,
        lora_alpha=8,
        rank_pattern={"query": 2, "self.query": 4, r".*layer\.[0-5]\..*": 16},
        alpha_pattern={"self.value": 64},
    )
    assert config.rank_of(QUERY) == 2
    assert config.rank_of(VALUE) == 16
    assert config.scale_of(QUERY) == 4.0
    assert config.scale_of(VALUE) == 4.0


@pytest.mark.parametrize(
    "changes",
    [
        {"use_dora": False, "bias": "none", "lora_bias": False, "fan_in_fan_out": False},
        {"base_model_name_or_path": "../../etc", "revision": "x", "peft_version": "99"},
        {"inference_mode": True, "lora_dropout": 0.5, "auto_mapping": {"a": {"b": "c"}}},
        {"task_type": "SEQ_CLS"},
        {"task_type": None},
        {"init_lora_weights": False},
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": "eva", "eva_config": {"rho": 2.0}},
        {"init_lora_weights": "orthogonal"},
        {"loftq_config": {}, "megatron_core": "megatron.core", "qalora_group_size": 16},
        {"a_key_of_tomorrow": None, "another": False, "a_third": {}, "a_fourth": []},
        {"rank_pattern": None, "alpha_pattern": {}},
    ],
)
def test_what_changes_no_answer_is_taken(changes: dict[str, object]) -> None:
    config_of(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"use_dora": True},
        {"bias": "all"},
        {"bias": "lora_only"},
        {"lora_bias": True},
        {"fan_in_fan_out": True},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "pissa_niter_16"},
        {"init_lora_weights": "olora"},
        {"init_lora_weights": "OLoRA"},
        {"init_lora_weights": "corda"},
        {"init_lora_weights": "loftq"},
        {"init_lora_weights": "lora_ga"},
        {"init_lora_weights": "something new"},
        {"init_lora_weights": 1},
        {"trainable_token_indices": [1]},
        {"layer_replication": [[0, 4], [2, 5]]},
        {"target_parameters": ["x"]},
        {"alora_invocation_tokens": [1]},
        {"use_qalora": True},
        {"arrow_config": {"top_k": 3}},
        {"monteclora_config": {"num_samples": 8}},
        {"kasa_config": {"beta": 1e-4}},
        {"velora_config": {"num_groups": 64}},
        {"use_bdlora": {"nblocks": 2}},
        {"megatron_config": {"a": 1}},
        {"ensure_weight_tying": True},
        {"a_key_of_tomorrow": True},
        {"a_key_of_tomorrow": "yes"},
        {"a_key_of_tomorrow": 0.5},
        {"peft_type": "IA3"},
        {"peft_type": None},
        {"task_type": "TOKEN_CLS"},
        {"r": 0},
        {"r": 1.5},
        {"r": True},
        {"r": "8"},
        {"lora_alpha": "8"},
        {"lora_alpha": 1e12},
        {"lora_alpha": None},
        {"use_rslora": 1},
        {"rank_pattern": ["query"]},
        {"alpha_pattern": {f"m{i}": 1 for i in range(2_000)}},
        {"exclude_modules": 1},
    ],
)
def test_what_may_change_answers_is_refused_by_its_key(changes: dict[str, object]) -> None:
    (key,) = changes
    assert problems_of(**changes) == [f"adapter_config.json/{key}"]


def test_a_pattern_is_refused_by_its_text() -> None:
    assert problems_of(rank_pattern={"query": 0, "(a": 2, "value": 4}) == [
        "adapter_config.json/rank_pattern/query",
        "adapter_config.json/rank_pattern/(a",
    ]


def test_all_problems_come_at_once() -> None:
    found = problems_of(use_dora=True, r=-1, init_lora_weights="pissa", bias="all", peft_type=3)
    assert {where.rsplit("/", 1)[-1] for where in found} == {
        "use_dora",
        "r",
        "init_lora_weights",
        "bias",
        "peft_type",
    }


def test_spellings_that_answer_the_same_have_one_canonical_form() -> None:
    plain = canonical_config({"r": 8, "lora_alpha": 16, "peft_type": "LORA"})
    assert plain == canonical_config(
        {
            "lora_alpha": 16.0,
            "r": 8,
            "use_rslora": False,
            "rank_pattern": {},
            "base_model_name_or_path": "elsewhere",
            "target_modules": ["value", "query"],
        }
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"r": 4},
        {"lora_alpha": 8},
        {"use_rslora": True},
        {"rank_pattern": {"query": 4}},
        {"alpha_pattern": {"query": 4}},
    ],
)
def test_what_changes_answers_changes_the_canonical_form(changes: dict[str, object]) -> None:
    config: dict[str, object] = {"r": 8, "lora_alpha": 16}
    assert canonical_config(config) != canonical_config({**config, **changes})


def test_the_order_of_patterns_counts() -> None:
    first = canonical_config({"rank_pattern": {"query": 2, "self.query": 4}})
    assert first != canonical_config({"rank_pattern": {"self.query": 4, "query": 2}})
