"""The upload gate on a small real bundle: adapters that peft trained, measured and judged."""

import io
import json
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from safetensors.numpy import load, save
from transformers import AutoTokenizer

from service.api.app import Parts, create_app
from service.api.lifecycle import Lifecycle
from service.batching.assembly import EngineLimits, assemble
from service.engine.bundle import Bundle
from service.engine.tokens import Tokeniser
from service.events.records import Reference
from service.gate.report import Report
from service.limits import TenantLimits
from service.metrics import Metrics
from service.registry.records import TenantSettings
from service.registry.registry import Registry
from service.settings import Settings
from service.usage import UsageBook
from tests.fakes.event_log import FakeEventLog
from tests.fakes.prediction_keys import FakeSigning
from tests.fakes.service import ORIGIN
from tests.fakes.tuned import HEADS, Recipe, make_tuned, train
from tests.fixtures_bundles import BundleCache

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("one_thread")]

VERSIONS = "/v1/tenants/acme/adapters/support/versions"
ROLLOUT = "/v1/tenants/acme/adapters/support/rollout"
PREDICT = "/v1/tenants/acme/adapters/support/predict"
LABELS = ("parcel", "card", "leaves")
WORDS = {
    "parcel": ("parcel", "warehouse", "friday", "send"),
    "card": ("card", "charged", "twice", "telephone"),
    "leaves": ("leaves", "yellow", "water", "week"),
}
FILLERS = ("please", "the", "my", "and", "is", "there", "a", "for", "what", "number")


def rows_of(count: int, seed: int) -> list[tuple[str, str]]:
    """Return texts with their labels: two words of the class, or now and then of another."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        label = LABELS[int(random.integers(len(LABELS)))]
        shown = label if random.random() > 0.05 else LABELS[int(random.integers(len(LABELS)))]
        words = [*random.choice(WORDS[shown], 2), *random.choice(FILLERS, 4)]
        random.shuffle(words)
        rows.append((" ".join(words), label))
    return rows


HOLDOUT = rows_of(240, seed=1)


@dataclass(frozen=True)
class Trained:
    """The files of an adapter that has learnt the words."""

    files: dict[str, bytes]

    def with_shuffled_head(self) -> dict[str, bytes]:
        """Return the files with the classes of the last layer turned by one."""
        tensors = load(self.files["adapter_model.safetensors"])
        turned = {
            name: np.roll(tensor, 1, axis=0) if ".classifier." in name else tensor
            for name, tensor in tensors.items()
        }
        return {**self.files, "adapter_model.safetensors": save(turned)}


@pytest.fixture(scope="module")
def bundle(bundle_of: Callable[[str], Bundle]) -> Bundle:
    return bundle_of("bert")


@pytest.fixture(scope="module")
def trained(bundle_cache: BundleCache, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    checkpoint = bundle_cache.checkpoint("bert")
    recipe = Recipe(
        len(LABELS),
        {"r": 8, "lora_alpha": 16, "target_modules": ["query", "value"],
         "modules_to_save": list(HEADS["bert"])},
    )  # fmt: skip
    tuned = make_tuned(checkpoint, recipe)
    texts, labels = zip(*rows_of(600, seed=0), strict=True)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    train(tuned, tokenizer, texts, [LABELS.index(label) for label in labels], steps=500)
    folder = tmp_path_factory.mktemp("adapter")
    tuned.save_pretrained(str(folder))
    names = ("adapter_config.json", "adapter_model.safetensors")
    return Trained({name: (folder / name).read_bytes() for name in names})


@dataclass(frozen=True)
class Served:
    """A service over a real engine, and a client of it."""

    client: httpx.AsyncClient
    log: FakeEventLog

    async def upload(
        self, files: dict[str, bytes], rows: list[tuple[str, str]] | None = None, **metadata: Any
    ) -> httpx.Response:
        """Upload an adapter with its hold-out."""
        packed = dict(files)
        if rows is not None:
            lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
            packed["holdout.jsonl"] = "\n".join(lines).encode()
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as made:
            for name, data in packed.items():
                made.writestr(name, data)
        document = json.dumps({"labels": list(LABELS), **metadata})
        package = ("a.zip", archive.getvalue())
        return await self.client.post(
            VERSIONS, files={"package": package, "metadata": (None, document.encode())}
        )

    @property
    def references(self) -> list[Reference]:
        """Return the references that were logged."""
        return [one for write in self.log.writes for one in write if isinstance(one, Reference)]


@asynccontextmanager
async def serving(bundle: Bundle, state: Path, **settings: Any) -> AsyncIterator[Served]:
    """Serve a bundle from a state of its own."""
    chosen = Settings(bundle=bundle.path, state=state, **settings)
    registry = Registry.open(state, bundle.digest)
    metrics = Metrics(CollectorRegistry(), 10)
    limits = EngineLimits(
        slots=8, threads=1, queue_texts_max=512, queue_tokens_max=16_384,
        host_cache_bytes_max=1 << 28,
    )  # fmt: skip
    batcher, _ = assemble(
        bundle, "cpu", limits, lambda d: registry.load_adapter(d, bundle.manifest), metrics
    )
    log = FakeEventLog()
    parts = Parts(
        registry=registry,
        batcher=batcher,
        tokeniser=Tokeniser(bundle),
        bundle=bundle,
        settings=chosen,
        metrics=metrics,
        signing=FakeSigning(),
        log=log,
        limits=TenantLimits(),
        usage=UsageBook(registry, metrics),
        lifecycle=Lifecycle(warm=True),
    )
    registry.put_tenant("acme", TenantSettings(), "tests")
    await batcher.start()
    transport = httpx.ASGITransport(create_app(parts))
    try:
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, timeout=60) as client:
            yield Served(client, log)
    finally:
        await batcher.stop(0)
        registry.close()


def checks_of(report: dict[str, Any]) -> dict[str, bool | None]:
    return {check["name"]: check["passed"] for check in report["checks"]}


async def test_a_good_adapter_passes_and_one_that_got_worse_needs_force(
    bundle: Bundle, trained: Trained, tmp_path: Path
) -> None:
    async with serving(bundle, tmp_path) as served:
        good = await served.upload(trained.files, HOLDOUT, license="MIT", card="# Words")
        assert good.status_code == 201, good.text
        body = good.json()
        assert (body["version"], body["state"]) == (1, "validated")
        report = body["report"]
        Report.model_validate(report)
        measured = report["measured"]
        assert measured["rows"] == 240
        assert measured["accuracy"]["lower"] > 0.8
        assert measured["accuracy"]["value"] > measured["baseline"]["accuracy"]["value"]
        assert measured["latency"]["p50_s"] > 0
        assert measured["repaired"]["error"]["value"] < 0.1
        assert checks_of(report) == {
            "accuracy_drop_from_live": None,
            "accuracy_drop_from_baseline": True,
            "calibration_error": None,
        }

        assert (await served.client.put(ROLLOUT, json={"live": 1})).status_code == 200
        bad = await served.upload(trained.with_shuffled_head(), HOLDOUT)
        assert bad.status_code == 201, bad.text
        assert (bad.json()["version"], bad.json()["state"]) == (2, "rejected")
        worse = bad.json()["report"]
        assert checks_of(worse) == {
            "accuracy_drop_from_live": False,
            "accuracy_drop_from_baseline": False,
            "calibration_error": None,
        }
        live = worse["measured"]["live"]
        assert live["version"] == 1
        assert live["accuracy"] == measured["accuracy"]
        assert live["difference"]["upper"] < -0.5

        refused = await served.client.put(ROLLOUT, json={"live": 2})
        assert refused.status_code == 422, refused.text
        forced = {"live": 2, "force": {"reason": "a drill"}}
        assert (await served.client.put(ROLLOUT, json=forced)).status_code == 200

        for number, expected in ((1, report), (2, worse)):
            shown = await served.client.get(f"{VERSIONS}/{number}/report")
            assert shown.json() == expected
            whole = await served.client.get(f"{VERSIONS}/{number}")
            assert whole.json()["report"] == expected


async def test_what_was_measured_is_what_is_served_and_what_the_log_is_told(
    bundle: Bundle, trained: Trained, tmp_path: Path
) -> None:
    async with serving(bundle, tmp_path) as served:
        made = await served.upload(trained.files, HOLDOUT)
        assert (await served.client.put(ROLLOUT, json={"live": 1})).status_code == 200
        asked = {"inputs": [text for text, _ in HOLDOUT], "embedding": True}
        predictions = (await served.client.post(PREDICT, json=asked)).json()["predictions"]
        right = [
            prediction["label"] == label
            for prediction, (_, label) in zip(predictions, HOLDOUT, strict=True)
        ]
        assert made.json()["report"]["measured"]["accuracy"]["value"] == pytest.approx(
            np.mean(right), abs=1e-6
        )
        (reference,) = served.references
        assert (reference.version, reference.digest) == (1, made.json()["digest"])
        scores = [[one["scores"][label] for label in LABELS] for one in predictions]
        np.testing.assert_allclose(reference.probabilities, scores, atol=1e-4)
        embeddings = [one["embedding"] for one in predictions]
        assert reference.embeddings is not None
        np.testing.assert_allclose(reference.embeddings, embeddings, atol=1e-3)
        assert reference.base_embeddings is not None
        assert np.abs(reference.base_embeddings - reference.embeddings).max() > 0.01
        assert [LABELS[index] for index in reference.label_index] == [label for _, label in HOLDOUT]


async def test_a_fitted_temperature_is_applied_to_every_answer(
    bundle: Bundle, trained: Trained, tmp_path: Path
) -> None:
    async with serving(bundle, tmp_path) as served:
        plain = await served.upload(trained.files, HOLDOUT)
        fitted = await served.upload(trained.files, HOLDOUT, calibrated=True)
        again = await served.upload(trained.files, HOLDOUT, calibrated=True)
        assert (plain.status_code, fitted.status_code, again.status_code) == (201, 201, 200)
        assert again.json() == fitted.json()
        assert fitted.json()["digest"] != plain.json()["digest"]
        temperature = fitted.json()["report"]["measured"]["temperature"]
        assert temperature["applied"] == temperature["fitted"] != 1.0
        assert fitted.json()["metadata"]["temperature"] == temperature["fitted"]

        asked = {"inputs": ["please send the parcel", "water the leaves", "my card twice"]}
        answers = []
        for number in (1, 2):
            path = f"{VERSIONS}/{number}/predict"
            answers.append((await served.client.post(path, json=asked)).json()["predictions"])
        for before, after in zip(*answers, strict=True):
            assert "calibrated" not in before
            assert after["calibrated"] is True
            scores = np.array([before["scores"][label] for label in LABELS])
            raised = scores ** (1 / temperature["applied"])
            expected = raised / raised.sum()
            found = [after["scores"][label] for label in LABELS]
            np.testing.assert_allclose(found, expected, atol=1e-4)


async def test_labels_that_have_nothing_to_do_with_the_texts_are_negative_transfer(
    bundle: Bundle, trained: Trained, tmp_path: Path
) -> None:
    turned = {label: LABELS[(number + 1) % 3] for number, label in enumerate(LABELS)}
    rows = [(text, turned[label]) for text, label in HOLDOUT]
    async with serving(bundle, tmp_path) as served:
        made = await served.upload(trained.files, rows)
        assert made.json()["state"] == "rejected"
        baseline = made.json()["report"]["measured"]["baseline"]
        assert baseline["accuracy"]["lower"] > 0.4
        assert baseline["difference"]["upper"] < 0


async def test_an_upload_without_a_hold_out_says_that_nothing_was_measured(
    bundle: Bundle, trained: Trained, tmp_path: Path
) -> None:
    async with serving(bundle, tmp_path) as served:
        made = await served.upload(trained.files)
        assert made.status_code == 201
        assert made.json()["state"] == "validated"
        assert made.json()["report"]["measured"] is None
        assert "nothing was measured" in made.json()["report"]["summary"]
        assert served.references == []


async def test_a_live_version_with_other_labels_is_not_compared(
    bundle: Bundle, trained: Trained, tmp_path: Path
) -> None:
    async with serving(bundle, tmp_path) as served:
        renamed = [*LABELS[:2], "plants"]
        assert (await served.upload(trained.files, labels=renamed)).status_code == 201
        assert (await served.client.put(ROLLOUT, json={"live": 1})).status_code == 200
        made = await served.upload(trained.files, HOLDOUT)
        live = made.json()["report"]["measured"]["live"]
        assert live["difference"] is None
        assert live["reason"] == "version 1 has other labels: 1 are new, 1 are gone"
        assert made.json()["state"] == "validated"
