"""Moving to another backbone, as the guide has it: two servers, side by side, until all moved."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from typer.testing import CliRunner, Result

from examples.demo.service_process import serving
from exporter.export import ALL_LINEAR, Request, export_bundle
from service.client.client import Client
from service.client.errors import NotFound
from service.engine.bundle import Bundle
from service.migration.command import adapters
from service.state_tools.backup import back_up
from service.state_tools.restore import restore
from tests.fakes.packages import zip_of
from tests.fakes.tuned import HEADS, Recipe, make_tuned, train
from tests.fixtures_bundles import BundleCache

pytestmark = pytest.mark.usefixtures("one_thread")

FILLERS = ("please", "the", "my", "and", "is", "there", "a", "for", "what", "number")
# What each adapter's labels are known by; the new backbone has forgotten the first one's words.
WORDS = {
    "forgotten": {
        "parcel": ("parcel", "warehouse", "friday"),
        "card": ("card", "charged", "twice"),
    },
    "kept": {"leaves": ("leaves", "yellow", "water"), "crew": ("crew", "window", "seat")},
}
SMALL, LARGE = 4, 8  # ranks; the new bundle takes no more than the smaller one
SHORT = 4


def rows_of(words: Mapping[str, tuple[str, ...]], count: int, seed: int) -> list[tuple[str, str]]:
    """Return texts with their labels: two words of the class among others."""
    random = np.random.default_rng(seed)
    labels = list(words)
    rows = []
    for _ in range(count):
        label = labels[int(random.integers(len(labels)))]
        shown = label if random.random() > 0.1 else labels[int(random.integers(len(labels)))]
        picked = [*random.choice(words[shown], 2), *random.choice(FILLERS, 4)]
        random.shuffle(picked)
        rows.append((" ".join(picked), label))
    return rows


@dataclass(frozen=True)
class Trained:
    """The archive of an adapter with its hold-out."""

    labels: list[str]
    archive: bytes


def trained(checkpoint: Path, folder: Path, name: str, rank: int) -> Trained:
    words = WORDS[name]
    recipe = Recipe(
        len(words),
        {"r": rank, "lora_alpha": 2 * rank, "target_modules": ["query", "value"],
         "modules_to_save": list(HEADS["bert"])},
    )  # fmt: skip
    tuned = make_tuned(checkpoint, recipe)
    texts, labels = zip(*rows_of(words, 400, seed=0), strict=True)
    known = list(words)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    train(tuned, tokenizer, texts, [known.index(label) for label in labels], steps=300)
    tuned.save_pretrained(str(folder))
    names = ("adapter_config.json", "adapter_model.safetensors")
    rows = [{"text": text, "label": label} for text, label in rows_of(words, 200, seed=1)]
    files = {one: (folder / one).read_bytes() for one in names}
    files["holdout.jsonl"] = "\n".join(map(json.dumps, rows)).encode()
    return Trained(known, zip_of(files))


@pytest.fixture(scope="module")
def old(bundle_of: Callable[[str], Bundle]) -> Bundle:
    return bundle_of("bert")


@pytest.fixture(scope="module")
def new(bundle_cache: BundleCache, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A backbone of the same shapes that has changed words, and takes smaller adapters."""
    checkpoint = tmp_path_factory.mktemp("changed") / "model"
    shutil.copytree(bundle_cache.checkpoint("bert"), checkpoint)
    weights = load_file(checkpoint / "model.safetensors")
    (name,) = (name for name in weights if name.endswith("word_embeddings.weight"))
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    lost = tokens_of(tokenizer, "forgotten") - tokens_of(tokenizer, "kept") - filler_of(tokenizer)
    assert len(lost) > 3
    rows = sorted(lost)
    weights[name][rows] = weights[name][rows].mean(axis=0)
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    request = Request(
        str(checkpoint), tmp_path_factory.mktemp("new") / "bundle", targets=(ALL_LINEAR,),
        max_rank=SHORT, licence="Apache-2.0",
    )  # fmt: skip
    return export_bundle(request, lambda *_: None)


def tokens_of(tokenizer: PreTrainedTokenizerFast, name: str) -> set[int]:
    texts = [" ".join(words) for words in WORDS[name].values()]
    return {token for text in texts for token in tokenizer(text)["input_ids"]}


def filler_of(tokenizer: PreTrainedTokenizerFast) -> set[int]:
    return set(tokenizer(" ".join(FILLERS))["input_ids"])


@pytest.fixture(scope="module")
def packages(
    bundle_cache: BundleCache, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Trained]:
    checkpoint = bundle_cache.checkpoint("bert")
    made = {name: trained(checkpoint, tmp_path_factory.mktemp(name), name, SMALL) for name in WORDS}
    made["large"] = trained(checkpoint, tmp_path_factory.mktemp("large"), "kept", LARGE)
    return made


@pytest.fixture
def client_of() -> Iterator[Callable[[str], Client]]:
    opened: list[Client] = []

    def made(url: str) -> Client:
        opened.append(Client(url, None))
        return opened[-1]

    yield made
    for client in opened:
        client.close()


def migrate(old: Bundle, new: Bundle, state: Path, *more: str) -> Result:
    arguments = [
        "migrate", "--to", str(new.path), "--from-bundle", str(old.path),
        "--from-state", str(state), *more,
    ]  # fmt: skip
    return CliRunner().invoke(adapters, arguments)


def answers(client: Client, adapter: str) -> str:
    """Return which bundle answers for an adapter, or why nobody does."""
    try:
        return client.predict("acme", adapter, ["please the leaves"]).model.backbone
    except NotFound as error:
        return str(error)


def test_an_estate_moves_to_another_backbone_while_both_answer(
    old: Bundle,
    new: Bundle,
    packages: dict[str, Trained],
    client_of: Callable[[str], Client],
    tmp_path: Path,
) -> None:
    state, copy = tmp_path / "old-state", tmp_path / "new-state"
    with serving(old.path, state, None, tmp_path / "old.log", "cpu") as first:
        first.wait_until_ready()
        here = client_of(first.url)
        here.put_tenant("acme", {"weight": 3.0})
        key = here.create_key("acme", ["predict"])
        for name, package in packages.items():
            uploaded = here.upload("acme", name, package.archive, {"labels": package.labels})
            assert uploaded.version.state == "validated", uploaded.version.report
            here.set_rollout("acme", name, 1)

        judged = migrate(old, new, state, "--json")
        assert judged.exit_code == 1, "one gets worse, and one does not fit"
        found = {one["adapter"]: one for one in json.loads(judged.stdout)["findings"]}
        check_findings(found)

        back_up(state, tmp_path / "copy.tar", lambda *_: None)
        restore(tmp_path / "copy.tar", copy, lambda *_: None)
        with serving(new.path, copy, None, tmp_path / "new.log", "cpu") as second:
            second.wait_until_ready()
            there = client_of(second.url)
            for name in packages:
                assert answers(here, name) == old.digest
                refused = answers(there, name)
                assert old.digest in refused
                assert new.digest in refused
            told = (tmp_path / "new.log").read_text()
            assert f"3 versions were published on the bundle {old.digest}" in told

            wrong = migrate(old, new, state, "--publish", "--url", first.url)
            assert wrong.exit_code == 1
            assert old.digest in str(wrong.exception)
            assert new.digest in str(wrong.exception)

            for _ in range(2):  # it may be done again
                moved = migrate(old, new, state, "--publish", "--url", second.url, "--json")
                assert moved.exit_code == 1
                (one,) = json.loads(moved.stdout)["moved"]
                assert one == {
                    "tenant": "acme",
                    "adapter": "kept",
                    "numbers": {"1": 1},
                    "left": [],
                    "live": True,
                }
            assert answers(there, "kept") == new.digest
            for name in ("forgotten", "large"):
                assert answers(here, name) == old.digest
                assert old.digest in answers(there, name)
            assert there.tenant("acme").weight == 3.0
            assert [known.id for known in there.keys("acme")] == [key.id]
            assert there.rollout("acme", "kept").live == 1


def check_findings(found: dict[str, Any]) -> None:
    forgotten, kept, large = (found[name] for name in ("forgotten", "kept", "large"))
    assert forgotten["status"] == "worse"
    assert forgotten["verdict"] == "rejected"
    assert forgotten["difference"]["upper"] < 0
    assert forgotten["accuracy_old"]["value"] > 0.8
    assert forgotten["rows"] == 200
    assert "accuracy less that of the live version 1" in forgotten["reasons"][0]
    assert kept["status"] == "no difference shown"
    assert kept["verdict"] == "validated"
    assert kept["difference"]["lower"] <= 0 <= kept["difference"]["upper"]
    assert kept["calibration_old"] is not None
    assert large["status"] == "does not fit"
    assert large["verdict"] is None
    assert any("--max-rank 8" in reason for reason in large["reasons"])


def test_a_state_without_a_copy_gets_tenants_versions_and_rollouts(
    old: Bundle,
    new: Bundle,
    packages: dict[str, Trained],
    client_of: Callable[[str], Client],
    tmp_path: Path,
) -> None:
    state = tmp_path / "old-state"
    kept = packages["kept"]
    with serving(old.path, state, None, tmp_path / "old.log", "cpu") as first:
        first.wait_until_ready()
        here = client_of(first.url)
        here.put_tenant("acme")
        here.upload("acme", "large", packages["large"].archive, {"labels": kept.labels})
        here.upload("acme", "large", kept.archive, {"labels": kept.labels, "owner": "ann"})
        here.upload("acme", "large", kept.archive,
                    {"labels": kept.labels, "windows": {"overlap": 8, "max": 4}})  # fmt: skip
        here.set_rollout("acme", "large", 2, canary=(3, 25.0), shadow=[1])
    with serving(new.path, tmp_path / "new-state", None, tmp_path / "new.log", "cpu") as second:
        second.wait_until_ready()
        there = client_of(second.url)
        moved = migrate(old, new, state, "--publish", "--url", second.url)
        assert moved.exit_code == 1, "the shadow does not fit"
        assert "acme.large answers there: versions 2 as 1, 3 as 2" in moved.stdout
        assert "left: version 1 (shadow) was not sent" in moved.stdout
        rollout = there.rollout("acme", "large")
        assert rollout.document["live"] == 1
        assert rollout.document["canary"] == {"version": 2, "percent": 25.0}
        assert there.version("acme", "large", 1).metadata["owner"] == "ann"
        assert there.version("acme", "large", 2).metadata["windows"] == {"overlap": 8, "max": 4}
