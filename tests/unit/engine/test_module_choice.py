import pytest

from service.engine.findings import Findings
from service.engine.module_choice import ModuleChoice, read_choice
from service.engine.patterns import Budget

QUERY = "bert.encoder.layer.3.attention.self.query"


def choice_of(**config: object) -> ModuleChoice:
    findings = Findings()
    choice = read_choice(config, (), Budget(), findings)
    findings.settle()
    assert choice is not None
    return choice


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, None),
        ({"target_modules": None}, None),
        ({"target_modules": []}, False),
        ({"target_modules": ["query"]}, True),
        ({"target_modules": ["self.query"]}, True),
        ({"target_modules": [QUERY]}, True),
        ({"target_modules": ["uery"]}, False),
        ({"target_modules": ["value"]}, False),
        ({"target_modules": "all-linear"}, True),
        ({"target_modules": ".*query"}, True),
        ({"target_modules": "query"}, False),  # one text must match from the beginning
        ({"target_modules": r"bert\..*\.(key|query)"}, True),
        ({"target_modules": ["query"], "exclude_modules": ["query"]}, False),
        ({"target_modules": ["query"], "exclude_modules": ".*layer.3.*"}, False),
        ({"target_modules": ["query"], "exclude_modules": ["classifier"]}, True),
        ({"target_modules": ["query"], "modules_to_save": ["attention.self"]}, False),
        ({"target_modules": ["query"], "layers_to_transform": 3}, True),
        ({"target_modules": ["query"], "layers_to_transform": [1, 2]}, False),
        ({"target_modules": ["query"], "layers_to_transform": []}, True),
        (
            {"target_modules": ["query"], "layers_to_transform": [3], "layers_pattern": "layer"},
            True,
        ),
        (
            {"target_modules": ["query"], "layers_to_transform": [3], "layers_pattern": ["h"]},
            False,
        ),
        ({"target_modules": [QUERY], "layers_to_transform": [1]}, True),  # a whole name goes first
    ],
)
def test_modules_are_chosen_as_peft_does(config: dict[str, object], expected: bool | None) -> None:
    assert choice_of(**config).targets(QUERY) is expected


def test_modules_are_saved_where_a_name_ends_so() -> None:
    choice = choice_of(modules_to_save=["classifier"])
    assert choice.saves("classifier")
    assert choice.saves("classifier.out_proj")
    assert choice.saves("pre_classifier")  # as peft does, on DistilBERT
    assert not choice.saves("bert.pooler.dense")
    assert not choice_of().saves("classifier")


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"target_modules": 3}, "target_modules"),
        ({"target_modules": ["query", 3]}, "target_modules"),
        ({"target_modules": ["a b"]}, "target_modules"),
        ({"target_modules": "(a"}, "target_modules"),
        ({"exclude_modules": {"a": 1}}, "exclude_modules"),
        ({"modules_to_save": [".*"]}, "modules_to_save"),
        ({"layers_to_transform": "3"}, "layers_to_transform"),
        ({"layers_to_transform": [True]}, "layers_to_transform"),
        ({"layers_pattern": ["(a+)+"]}, "layers_pattern"),
    ],
)
def test_what_names_no_modules_is_refused_by_its_key(config: dict[str, object], key: str) -> None:
    findings = Findings()
    assert read_choice(config, (), Budget(), findings) is None
    assert len(findings) == 1
    with pytest.raises(Exception, match=f"adapter_config.json/{key}"):
        findings.settle()
