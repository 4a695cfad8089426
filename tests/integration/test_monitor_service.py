"""Service and sidecar as two processes on one state directory."""

import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from service.engine.bundle import Bundle
from tests.fakes.faults import ADAPTER, TENANT, serving, upload
from tests.fakes.packages import labels_of
from tests.fakes.patience import until
from tests.fakes.sidecar import Process, monitor

WORDS = ("parcel", "card", "leaves", "friday", "telephone", "yellow", "twice", "please", "where")
GROUPS = {"mobile": 40, "web": 20}
ASKED = sum(GROUPS.values())
LABELLED = 24
HOLDOUT = 80
QUICK = {
    "TENANTRY_MONITOR_BUCKET_S": "1",
    "TENANTRY_MONITOR_FINE_BUCKETS": "600",
    "TENANTRY_MONITOR_POLL_S": "0.05",
    "TENANTRY_MONITOR_LABELS_MIN": "10",
}


@dataclass
class Seen:
    """What the sidecar tells of the adapter when it has read everything."""

    sidecar: Process
    digest: str
    adapter: dict[str, Any]

    @property
    def version(self) -> dict[str, Any]:
        [found] = self.adapter["versions"]
        return dict(found)


@pytest.fixture(scope="module")
def seen(
    bundle_of: Callable[[str], Bundle], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Seen]:
    bundle, state = bundle_of("bert"), tmp_path_factory.mktemp("both") / "state"
    every = {"base_embedding_ratio": 1.0}
    with serving(bundle, state, settings=every) as service, monitor(state, **QUICK) as sidecar:
        with service.client() as client:
            digest = publish(client, bundle)
            answers = ask(client)
            say(client, answers)
        until(lambda: is_read(sidecar))
        yield Seen(sidecar, digest, sidecar.report("/acme/mail"))
        assert sidecar.end(signal.SIGTERM) == 0
        assert service.stop() == 0


def texts_of(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=6)) + f" {number}" for number in range(count)]


def publish(client: httpx.Client, bundle: Bundle) -> str:
    """Publish an adapter with a hold-out, and make it live whatever the gate says."""
    lines = (
        f'{{"text": "{text}", "label": "{labels_of(3)[number % 3]}"}}\n'
        for number, text in enumerate(texts_of(HOLDOUT, seed=1))
    )
    client.put(TENANT, json={}).raise_for_status()
    made = upload(client, bundle, seed=1, holdout="".join(lines).encode())
    assert made.status_code == 201, made.text
    rollout = {"live": 1, "force": {"reason": "weights drawn at random"}}
    client.put(f"{ADAPTER}/rollout", json=rollout).raise_for_status()
    digest: str = made.json()["digest"]
    return digest


def ask(client: httpx.Client) -> list[dict[str, Any]]:
    texts = texts_of(ASKED, seed=2)
    answers: list[dict[str, Any]] = []
    for group, count in GROUPS.items():
        asked = {"inputs": texts[len(answers) :][:count], "group": group}
        answer = client.post(f"{ADAPTER}/predict", json=asked).raise_for_status()
        answers += answer.json()["predictions"]
    return answers


def say(client: httpx.Client, answers: list[dict[str, Any]]) -> None:
    """Send labels of the first ones, three quarters of which were right."""
    names = labels_of(3)
    labels = []
    for row, answer in enumerate(answers[:LABELLED]):
        top = names.index(answer["label"])
        named = names[top if row % 4 else (top + 1) % 3]
        labels.append({"id": answer["id"], "label": named, "group": "mobile"})
    sent = client.post("/v1/feedback", json={"labels": labels})
    assert sent.json()["accepted"] == LABELLED


def is_read(sidecar: Process) -> bool:
    answer = sidecar.http.get("/v1/report/acme/mail")
    if answer.status_code == 404:
        return False
    version = answer.json()["versions"][0]
    last = version["history"][-1] if version["history"] else None
    return bool(last and last["rows"] == ASKED and last["accuracy"] is not None)


def test_a_version_is_known_by_its_digest_and_rollout(seen: Seen) -> None:
    version = seen.version
    assert version["digest"] == seen.digest
    assert (version["role"], version["standing"]) == ("live", "live")
    [mark] = seen.adapter["rollouts"]
    assert (mark["live"], mark["forced"]) == (1, "weights drawn at random")


def test_predictions_are_compared_with_the_hold_out_of_the_upload(seen: Seen) -> None:
    version = seen.version
    assert version["predictions"] == ASKED
    reference = version["reference"]
    assert (reference["source"], reference["rows"]) == ("holdout", HOLDOUT)
    window = version["windows"][0]
    assert window["window"]["rows"] == window["window"]["embedded"] == ASKED
    assert window["drift"]["effect"]["value"] is not None
    assert window["base_drift"]["effect"]["count"] == ASKED
    assert window["mix"]["pvalue"] is not None
    assert {one["name"] for one in window["inputs"]} >= {"truncated", "duplicates", "tokens_p95"}
    assert version["watch"]["rows"] == ASKED
    assert version["samples"][0]["text"] is None, "nobody asked for texts to be kept"


def test_labels_are_counted_for_the_whole_and_for_groups(seen: Seen) -> None:
    calibration = seen.version["calibration"]
    assert calibration["labels"] == LABELLED
    assert calibration["accuracy"]["value"] == pytest.approx(0.75)
    assert calibration["coverage"] == pytest.approx(LABELLED / ASKED)
    groups = {group["group"]: group for group in seen.version["groups"]}
    assert {name: group["predictions"] for name, group in groups.items()} == GROUPS
    assert groups["mobile"]["calibration"]["labels"] == LABELLED
    assert groups["web"]["calibration"]["labels"] == 0


def test_metrics_name_the_version(seen: Seen) -> None:
    metrics = seen.sidecar.http.get("/metrics").text
    labels = '{adapter="mail",tenant="acme",version="1"}'
    assert f"tenantry_labels_total{labels} {LABELLED}.0" in metrics
    assert 'tenantry_reference_info{adapter="mail",backbone="sha256:' in metrics
