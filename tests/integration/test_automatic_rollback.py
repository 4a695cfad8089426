"""Canaries of a real service on a tiny bundle: one that is worse goes, one that is not stays."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.engine.bundle import Bundle
from service.events.reader import LogReader
from tests.fakes.faults import ADAPTER, TENANT, Service, serving, upload
from tests.fakes.packages import files_of, labels_of, metadata_of, zip_of
from tests.fakes.patience import until

LABELS = labels_of(3)
TURNED = [*LABELS[1:], LABELS[0]]
WORDS = ("parcel", "card", "leaves", "friday", "telephone", "yellow", "twice", "please", "where")
QUICK = {"events_flush_s": 0.05, "registry_poll_s": 0.1}


@dataclass
class Rolling:
    """A service with a live version 1 and a canary 2 at 50 percent."""

    service: Service
    client: httpx.Client
    draw: random.Random = field(default_factory=lambda: random.Random(3))
    asked: int = 0
    labelled: int = 0

    def comparison(self) -> dict[str, Any]:
        answer = self.client.get(f"{ADAPTER}/rollout/comparison").raise_for_status()
        return dict(answer.json())

    def rollout(self) -> dict[str, Any]:
        return dict(self.client.get(f"{ADAPTER}/rollout").raise_for_status().json())

    def ask(self, count: int) -> list[dict[str, Any]]:
        """Ask single texts, of which each is drawn by itself."""
        answers = []
        for _ in range(count):
            self.asked += 1
            text = " ".join(self.draw.choices(WORDS, k=6)) + f" {self.asked}"
            answer = self.client.post(f"{ADAPTER}/predict", json={"inputs": [text]})
            body = answer.raise_for_status().json()
            answers += [
                {"version": body["model"]["version"], "text": text, **one}
                for one in body["predictions"]
            ]
        return answers

    def truth(self, text: str) -> str:
        """Return what version 1 says, asked by its number."""
        answer = self.client.post(f"{ADAPTER}/versions/1/predict", json={"inputs": [text]})
        return str(answer.raise_for_status().json()["predictions"][0]["label"])

    def label(self, answers: list[dict[str, Any]], truths: list[str]) -> None:
        labels = [
            {"id": one["id"], "label": truth} for one, truth in zip(answers, truths, strict=True)
        ]
        sent = self.client.post("/v1/feedback", json={"labels": labels}).raise_for_status()
        assert sent.json()["accepted"] == len(labels)
        self.labelled += len(labels)

    def ask_and_label(self, count: int) -> str:
        """Ask, label as version 1 answers, and return the verdict that has weighed all of it."""
        answers = self.ask(count)
        self.label(answers, [self.truth(one["text"]) for one in answers])
        until(self.all_weighed)
        return str(self.comparison()["verdict"])

    def all_weighed(self) -> bool:
        """Say whether all labels so far are in the comparison."""
        seen = self.comparison()
        if seen["trial"] is None:
            return bool(seen["verdict"] == "rolled_back")
        arms = seen["trial"]["arms"].values()
        return sum(int(arm["labelled"]) for arm in arms) == self.labelled


@contextmanager
def rolling(
    bundle: Bundle, state: Path, labels: list[str], seed: int, **settings: object
) -> Iterator[Rolling]:
    with serving(bundle, state, settings={**QUICK, **settings}) as service:
        with service.client() as client:
            client.put(TENANT, json={}).raise_for_status()
            assert upload(client, bundle, seed=1).status_code == 201
            package = {"package": ("a.zip", zip_of(files_of(bundle.manifest, seed=seed)))}
            metadata = {"metadata": metadata_of(3, labels=labels)}
            made = client.post(f"{ADAPTER}/versions", files=package, data=metadata)
            assert made.status_code == 201, made.text
            rollout = {"live": 1, "canary": {"version": 2, "percent": 50}}
            client.put(f"{ADAPTER}/rollout", json={"live": 1}).raise_for_status()
            client.put(f"{ADAPTER}/rollout", json=rollout).raise_for_status()
            yield Rolling(service, client)
        assert service.stop() == 0


@pytest.fixture(scope="module")
def bundle(bundle_of: Callable[[str], Bundle]) -> Bundle:
    return bundle_of("bert")


def test_a_canary_with_turned_labels_is_taken_out_by_its_labels(
    bundle: Bundle, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with rolling(bundle, state, TURNED, 1, automatic_rollback="canary") as made:
        while made.ask_and_label(20) != "rolled_back":
            assert made.asked < 200
        rollout = made.rollout()
        assert (rollout["live"], rollout.get("canary"), rollout["actor"]) == (1, None, "controller")
        assert rollout["previous"] is None, "a person's rollback does not bring the canary back"
        seen = made.comparison()
        assert (seen["verdict"], seen["trial"]) == ("rolled_back", None)
        last = seen["last_rollback"]
        assert last["reason"].startswith("accuracy: Version 2 is less accurate than version 1")
        assert last["evidence"]["canary"]["accuracy"] == 0.0
        assert last["evidence"]["canary"]["labelled"] < 100
        lines = made.client.get("/v1/audit", params={"tenant": "acme"}).json()["lines"]
        [line] = [one for one in lines if one["action"] == "rollout.automatic_rollback"]
        assert (line["actor"], line["after"]["live"]) == ("controller", 1)
        assert made.service.metric('tenantry_automatic_rollbacks_total{reason="accuracy"}') == 1
        assert {one["version"] for one in made.ask(20)} == {1}
    [event] = [one for one in events(state, "rollout") if one["actor"] == "controller"]
    assert event["revision"] == 3
    assert event["reason"] == last["reason"]


def test_a_canary_that_is_no_worse_stays(bundle: Bundle, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with rolling(bundle, state, LABELS, 2, automatic_rollback="canary") as made:
        draw = random.Random(5)
        for _ in range(15):
            answers = made.ask(20)
            made.label(answers, draw.choices(LABELS, k=len(answers)))
        until(made.all_weighed)
        seen = made.comparison()
        assert seen["verdict"] == "no_difference_yet"
        assert made.rollout()["canary"] == {"version": 2, "percent": 50.0}
        trial = seen["trial"]
        labelled = [trial["arms"][arm]["labelled"] for arm in ("canary", "live")]
        assert sum(labelled) == 300
        assert 230 < trial["paired"] < 300, "one in ten goes alone, of either version"
        difference = trial["differences"]["accuracy"]
        assert difference["lower"] < 0.0 < difference["upper"]
        assert difference["paired"]
    paired = [one for one in events(state, "prediction") if one["role"] == "paired"]
    canary = [one for one in events(state, "prediction") if one["role"] == "canary"]
    live = [one for one in events(state, "prediction") if one["role"] == "live"]
    assert trial["arms"]["canary"]["requests"] == len(canary)
    assert trial["arms"]["live"]["requests"] == len(live)
    for own, other in ((canary, 1), (live, 2)):
        with_twin = [one for one in own if not one["alone"]]
        twins = [one for one in paired if one["version"] == other]
        assert {one["prediction_id"] for one in twins} == {
            one["prediction_id"] for one in with_twin
        }


def test_without_the_setting_it_is_only_told(bundle: Bundle, tmp_path: Path) -> None:
    with rolling(bundle, tmp_path / "state", TURNED, 1) as made:
        while made.ask_and_label(20) != "worse":
            assert made.asked < 200
        seen = made.comparison()
        assert (seen["cause"], seen["automatic_rollback"]) == ("accuracy", "off")
        assert made.rollout()["revision"] == 2
        info = 'tenantry_canary_info{adapter="mail",live="1",percent="50",tenant="acme",'
        assert made.service.metric(info + 'verdict="worse",version="2"}') == 1
        told = [line["message"] for line in made.service.lines()]
        assert len([one for one in told if "is less accurate than version 1" in one]) == 1


def events(state: Path, kind: str) -> list[dict[str, Any]]:
    with LogReader(state / "events", "test") as reader:
        rows = [row for batch in reader.batches() for row in batch.records.to_pylist()]
    return [row for row in rows if row["kind"] == kind]
