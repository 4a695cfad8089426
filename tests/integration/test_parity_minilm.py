"""MiniLM with adapters that were really trained: answers are `peft`'s, on every provider."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from peft import PeftModel
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Bundle
from service.engine.execution.provider import DeviceOptions
from service.engine.forward import Forward, Member
from service.engine.tokens import Tokeniser
from service.engine.tuning.choice import Chooser
from service.engine.tuning.search import Wanted
from service.engine.tuning.setup import Setup, default_setup
from tests.fakes.answering import answer_all
from tests.fakes.tuned import Recipe, ask_peft, make_tuned, read_back, train
from tests.fixtures_bundles import MINILM, ROOT, BundleCache
from tests.needs import needs_data

pytestmark = pytest.mark.usefixtures("one_thread")

PROMISED = 1e-4
AGREE = 0.995  # of the labels, on the fast provider

DEMO = ROOT / "examples" / "demo" / "data"
ATTENTION = ["query", "key", "value", "attention.output.dense"]
RECIPES = {
    "skylark-air": {"r": 8, "lora_alpha": 16, "target_modules": ["query", "value"]},
    "fernhill": {"r": 4, "lora_alpha": 8, "use_rslora": True, "target_modules": ATTENTION},
    "ludo-forum": {"r": 16, "lora_alpha": 8, "target_modules": ["query", "key", "value"]},
}
HEADS = {
    "skylark-air": ["classifier"],
    "fernhill": ["pooler", "classifier"],
    "ludo-forum": ["classifier"],
}


@dataclass(frozen=True, slots=True)
class Texts:
    """Labelled texts of one tenant."""

    train: list[tuple[str, int]]
    test: list[tuple[str, int]]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trained:
    """One tenant's adapter, as `peft` has it and as we read it."""

    tuned: PeftModel
    adapter: Adapter
    texts: Texts


def sorted_out(rows: Sequence[dict[str, str]], keep: Sequence[str] | None = None) -> Texts:
    labels = tuple(sorted({row["label"] for row in rows}) if keep is None else keep)
    number = {label: i for i, label in enumerate(labels)}
    found: dict[str, list[tuple[str, int]]] = {"train": [], "test": []}
    for row in rows:
        if row["label"] in number and row["split"] in found:
            found[row["split"]].append((row["text"], number[row["label"]]))
    return Texts(found["train"], found["test"], labels)


def read_demo(name: str) -> Texts:
    lines = (DEMO / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return sorted_out([json.loads(line) for line in lines])


def read_some(folder: Path, most: int) -> Texts:
    """Return the texts of the `most` first labels of a data set."""
    with gzip.open(folder / "data.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return sorted_out(rows, sorted({row["label"] for row in rows})[:most])


class Trainer:
    """Trains adapters on MiniLM and reads them back."""

    def __init__(self, cache: BundleCache, folder: Path) -> None:
        self.checkpoint = cache.checkpoint(MINILM)
        self.bundle = cache.bundle(MINILM)
        tokenizer = AutoTokenizer.from_pretrained(self.checkpoint)
        assert isinstance(tokenizer, PreTrainedTokenizerFast)
        self.tokenizer = tokenizer
        self._folder = folder

    def trained(self, name: str, texts: Texts, lora: dict[str, object], steps: int) -> Trained:
        tuned = make_tuned(self.checkpoint, Recipe(len(texts.labels), lora))
        firsts, classes = zip(*texts.train, strict=True)
        train(tuned, self.tokenizer, firsts, classes, steps)
        adapter = read_back(tuned, self._folder / name, self.bundle.manifest, name, texts.labels)
        return Trained(tuned, adapter, texts)


@pytest.fixture(scope="module")
def trainer(bundle_cache: BundleCache, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    return Trainer(bundle_cache, tmp_path_factory.mktemp("minilm"))


def answers_of(
    bundle: Bundle, setup: Setup, tenants: Sequence[Trained], count: int
) -> list[list[tuple[FloatArray, FloatArray]]]:
    """Return our answers to each tenant's first test texts, those of all tenants mixed."""
    runtime = setup.open(bundle, len(tenants), DeviceOptions())
    members = [
        Member(t.adapter, runtime.write(slot, t.adapter)) for slot, t in enumerate(tenants, 1)
    ]
    jobs = [
        (text, number)
        for row in zip(*(t.texts.test[:count] for t in tenants), strict=False)
        for number, (text, _) in enumerate(row)
    ]
    tokens = Tokeniser(bundle).encode([text for text, _ in jobs])
    found = answer_all(Forward(bundle, runtime), tokens, [n for _, n in jobs], members)
    return [
        [answer for answer, (_, n) in zip(found, jobs, strict=True) if n == number]
        for number in range(len(tenants))
    ]


def test_adapters_trained_on_the_demos_texts_answer_as_peft_does(trainer: Trainer) -> None:
    tenants = [
        trainer.trained(name, read_demo(name), {**lora, "modules_to_save": HEADS[name]}, steps=20)
        for name, lora in RECIPES.items()
    ]
    assert {len(t.adapter.labels) for t in tenants} == {8, 5, 4}
    answers = answers_of(trainer.bundle, default_setup("fp32", "cpu", 1), tenants, 40)
    for tenant, found in zip(tenants, answers, strict=True):
        texts = [text for text, _ in tenant.texts.test[: len(found)]]
        expected = ask_peft(tenant.tuned, trainer.tokenizer, texts, trainer.bundle.manifest, 16)
        for (row, embedding), theirs in zip(found, expected, strict=True):
            assert np.abs(row - theirs.probabilities).max() <= PROMISED / 5
            assert np.abs(embedding - theirs.embedding).max() <= PROMISED
        right = [
            int(row.argmax()) == label
            for (row, _), (_, label) in zip(found, tenant.texts.test, strict=False)
        ]
        assert np.mean(right) > 1.5 / len(tenant.adapter.labels), "it learnt nothing"


@pytest.mark.parametrize("name", ["banking77", "clinc150"])
def test_real_texts_get_pefts_labels_on_the_provider_that_auto_picks(
    name: str, trainer: Trainer, tmp_path: Path
) -> None:
    texts = read_some(needs_data(name), 10)
    lora = {
        "r": 8,
        "lora_alpha": 16,
        "target_modules": ATTENTION,
        "modules_to_save": ["classifier"],
    }
    tenant = trainer.trained(name, texts, lora, steps=40)
    memory = tmp_path / "provider.json"
    choice = Chooser(trainer.bundle, memory, slots=8, wanted=Wanted(threads=1)).choose()
    (found,) = answers_of(trainer.bundle, choice.setup, [tenant], 300)
    asked = [text for text, _ in texts.test[:300]]
    assert len(asked) >= 200
    expected = ask_peft(tenant.tuned, trainer.tokenizer, asked, trainer.bundle.manifest, 32)
    same = [
        int(row.argmax()) == int(theirs.probabilities.argmax())
        for (row, _), theirs in zip(found, expected, strict=True)
    ]
    assert np.mean(same) >= AGREE, choice.reason
    right = [
        int(row.argmax()) == label for (row, _), (_, label) in zip(found, texts.test, strict=False)
    ]
    assert np.mean(right) > 0.7, "labels that were not learnt agree by chance only"
