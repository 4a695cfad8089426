"""Answers are those of `peft`: real adapters of many kinds, all of them in the same passes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from peft import PeftModel
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from service.engine.adapter import Adapter
from service.engine.bundle import Bundle
from service.engine.forward import Forward, Member
from service.engine.runtime import OnnxRuntime
from service.engine.tokens import Input, Tokeniser
from tests.fakes.answering import answer_all
from tests.fakes.checkpoints import FAMILIES
from tests.fakes.tuned import HEADS, Recipe, ask_peft, make_tuned, read_back
from tests.fixtures_bundles import BundleCache

pytestmark = pytest.mark.usefixtures("one_thread")

PROMISED = 1e-4
FOUND = 1e-5  # what fp32 gives on the CPU provider; a tenth of what is promised

TEXTS: tuple[str, ...] = (
    "please send the parcel back to the warehouse before friday",
    "my card was charged twice",
    "Ärger über Überweisung: größer, schöner, weiter; naïve café \u200b \U0001f600",
    "",
    "what a wonderful crew, thank you for the window seat. " * 3,
    "the leaves turn yellow although i water them every week " * 30,
    "a [SEP] and a [MASK] in the text",
    "number 42, order 1234567890?",
)
PAIRS: tuple[tuple[str, str], ...] = (
    ("is there a discount", "students who book early pay half"),
    ("short", "the leaves turn yellow although i water them every week " * 30),
    ("the leaves turn yellow although i water them every week " * 30, "short"),
    ("", "nothing before it"),
)
LAST = {
    "bert": "value",
    "distilbert": "v_lin",
    "modernbert": "Wo",
    "mpnet": "v",
    "deberta-v2": "key_proj",  # which, shared, changes the scores of distances
}
FIRST = {
    "bert": "query",
    "distilbert": "q_lin",
    "modernbert": "Wqkv",
    "mpnet": "q",
    "deberta-v2": "query_proj",
}
INNER = {
    "bert": ["query", "key", "value", "attention.output.dense", "intermediate.dense"],
    "distilbert": ["q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"],
    "modernbert": ["Wqkv", "Wo", "Wi"],
    "electra": ["embeddings_project", "query", "key", "value", "intermediate.dense"],
    "albert": ["embedding_hidden_mapping_in", "query", "key", "attention.dense", "ffn"],
    "mpnet": ["q", "k", "v", "o", "intermediate.dense"],
    "deberta-v2": ["query_proj", "key_proj", "value_proj", "attention.output.dense"],
}
LAYER = {
    "bert": "encoder.layer",
    "distilbert": "transformer.layer",
    "modernbert": "layers",
    "albert": "albert_layer_groups",
}
DEFAULT_HEAD = {"bert": ("classifier",)}  # the rest is in the checkpoint


def recipes(family: str) -> list[Recipe]:
    """Return adapters of every kind that an upload may be."""
    first, last = FIRST.get(family, FIRST["bert"]), LAST.get(family, LAST["bert"])
    inner, layer = INNER.get(family, INNER["bert"]), LAYER.get(family, LAYER["bert"])
    head = list(HEADS[family])
    lean = list(DEFAULT_HEAD.get(family, head))
    return [
        Recipe(
            2, {"r": 8, "lora_alpha": 16, "target_modules": [first, last], "modules_to_save": head}
        ),
        Recipe(77, {"r": 16, "lora_alpha": 4, "target_modules": inner, "modules_to_save": head}),
        Recipe(
            3,
            {
                "r": 4,
                "lora_alpha": 16,
                "use_rslora": True,
                "target_modules": inner,
                "modules_to_save": lean,
            },
        ),
        Recipe(5, {"r": 1, "lora_alpha": 1, "target_modules": [last], "modules_to_save": head}),
        Recipe(
            9,
            {
                "r": 4,
                "lora_alpha": 8,
                "target_modules": [first, last],
                "rank_pattern": {last: 11, rf"{layer}\.1\..*{first}": 2},
                "alpha_pattern": {rf".*\.0\..*{first}": 3, last: 40},
                "modules_to_save": head,
            },
        ),
        Recipe(
            4,
            {
                "r": 3,
                "target_modules": rf".*\.(0|1)\..*({first}|{last})",
                "use_rslora": True,
                "alpha_pattern": {first: 21},
                "modules_to_save": head,
            },
        ),
        Recipe(
            6,
            {
                "r": 2,
                "lora_alpha": 5,
                "target_modules": inner,
                "layers_to_transform": [1],
                "modules_to_save": head,
            },
        ),
    ]


@dataclass(frozen=True, slots=True)
class House:
    """A family's bundle, and adapters in it beside the `peft` models they were saved from."""

    bundle: Bundle
    tokenizer: PreTrainedTokenizerFast
    tuned: list[PeftModel]
    adapters: list[Adapter]
    forward: Forward
    members: list[Member]

    def check(self, texts: Sequence[Input], tolerance: float) -> float:
        """Ask every text of every adapter, mixed; return the worst difference."""
        jobs = [(text, number) for text in texts for number in range(len(self.tuned))]
        tokens = Tokeniser(self.bundle).encode([text for text, _ in jobs])
        found = answer_all(self.forward, tokens, [number for _, number in jobs], self.members)
        worst = 0.0
        for number, tuned in enumerate(self.tuned):
            mine = [i for i, (_, whose) in enumerate(jobs) if whose == number]
            expected = ask_peft(tuned, self.tokenizer, texts, self.bundle.manifest)
            for i, theirs in zip(mine, expected, strict=True):
                row, embedding = found[i]
                assert row.shape == theirs.probabilities.shape
                error = float(np.abs(row - theirs.probabilities).max())
                assert error <= tolerance, (number, jobs[i])
                scale = np.abs(theirs.embedding).max()
                assert np.abs(embedding - theirs.embedding).max() <= tolerance * scale
                worst = max(worst, error)
        return worst


def settle(
    bundle: Bundle, tuned: list[PeftModel], counts: list[int], folder: Path, checkpoint: Path
) -> House:
    adapters = []
    for number, (model, count) in enumerate(zip(tuned, counts, strict=True)):
        labels = [f"label {i}" for i in range(count)]
        adapters.append(
            read_back(model, folder / str(number), bundle.manifest, f"{number}", labels)
        )
    runtime = OnnxRuntime(bundle, "cpu", len(adapters), threads=1)
    members = [Member(a, runtime.write(slot, a)) for slot, a in enumerate(adapters, 1)]
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    return House(bundle, tokenizer, tuned, adapters, Forward(bundle, runtime), members)


@pytest.fixture(scope="module", params=FAMILIES)
def house(
    request: pytest.FixtureRequest,
    bundle_cache: BundleCache,
    tmp_path_factory: pytest.TempPathFactory,
) -> House:
    family = str(request.param)
    checkpoint = bundle_cache.checkpoint(family)
    bundle = bundle_cache.bundle(family)
    made = recipes(family)
    tuned = [make_tuned(checkpoint, recipe, n) for n, recipe in enumerate(made)]
    return settle(
        bundle,
        tuned,
        [recipe.labels for recipe in made],
        tmp_path_factory.mktemp(family),
        checkpoint,
    )


def test_the_adapters_are_of_different_ranks_and_label_counts(house: House) -> None:
    assert {adapter.rank for adapter in house.adapters} == {1, 2, 3, 4, 8, 11, 16}
    assert {len(adapter.labels) for adapter in house.adapters} == {2, 3, 4, 5, 6, 9, 77}


def test_probabilities_and_embeddings_are_pefts(house: House) -> None:
    assert FOUND < PROMISED
    house.check(TEXTS, FOUND)


def test_adapters_change_answers_or_the_comparison_would_prove_nothing(house: House) -> None:
    tokens = Tokeniser(house.bundle).encode(["my card was charged twice"])
    spread = [
        answer_all(house.forward, tokens, [number], house.members)[0][1]
        for number in range(len(house.members))
    ]
    for one in range(len(spread)):
        for other in range(one):
            assert np.abs(spread[one] - spread[other]).max() > 100 * FOUND


def test_text_pairs_are_answered_as_peft_does(house: House) -> None:
    house.check(PAIRS, FOUND)


def test_a_wrong_scaling_would_be_noticed(house: House) -> None:
    adapter = house.adapters[0]
    wrong = {name: (a, b * np.float32(1.01)) for name, (a, b) in adapter.deltas.items()}
    changed = Adapter(adapter.digest, adapter.rank, wrong, adapter.head, adapter.labels)
    lease = house.forward.runtime.write(1, changed)
    try:
        members = [Member(changed, lease), *house.members[1:]]
        spoiled = House(
            house.bundle, house.tokenizer, house.tuned, house.adapters, house.forward, members
        )
        with pytest.raises(AssertionError):
            spoiled.check(TEXTS[:2], FOUND)
    finally:
        house.forward.runtime.write(1, adapter)


def test_every_family_is_asked_for_its_whole_head(bundle_of: Callable[[str], Bundle]) -> None:
    for family in FAMILIES:
        bundle = bundle_of(family)
        modules = {step.module for step in bundle.manifest.head.steps if step.module}
        assert {*bundle.manifest.head.held, *bundle.manifest.head.missing} == modules
