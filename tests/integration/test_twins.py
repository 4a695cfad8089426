"""Twins of a canary and of live, through real servers: over every protocol, long texts, images."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.engine.bundle import Bundle
from service.events.reader import LogReader
from tests.fakes.faults import ADAPTER, Service, publish, serving, upload
from tests.fakes.images import picture
from tests.fakes.packages import files_of, labels_of, metadata_of, zip_of

QUICK = {"events_flush_s": 0.05}
TEXTS = ["where is my parcel", "the card was charged twice"]


def at(percent: float, client: httpx.Client, bundle: Bundle) -> None:
    """Publish a live version, and a canary at so many percent."""
    publish(client, bundle)
    assert upload(client, bundle, seed=2).status_code == 201
    rollout = {"live": 1, "canary": {"version": 2, "percent": percent}}
    client.put(f"{ADAPTER}/rollout", json=rollout).raise_for_status()


def predictions(service: Service) -> list[dict[str, Any]]:
    with LogReader(service.state / "events", "test") as reader:
        rows = [row for batch in reader.batches() for row in batch.records.to_pylist()]
    return [row for row in rows if row["kind"] == "prediction"]


def check(rows: list[dict[str, Any]]) -> Counter[str]:
    """Check that each row has the twins that it should, and return how many rows had which role."""
    shown = {row["prediction_id"]: row for row in rows if row["role"] in ("live", "canary")}
    twins = {row["prediction_id"]: row for row in rows if row["role"] == "paired"}
    assert len(twins) == sum(row["role"] == "paired" for row in rows)
    for name, row in shown.items():
        assert row["alone"] is (name not in twins)
    for name, twin in twins.items():
        other = {"live": 2, "canary": 1}[shown[name]["role"]]
        assert twin["version"] == other != shown[name]["version"]
        assert twin["digest"] != shown[name]["digest"]
        assert twin["alone"] is None
    return Counter(row["role"] for row in rows)


@pytest.fixture(scope="module")
def bundle(bundle_of: Callable[[str], Bundle]) -> Bundle:
    return bundle_of("bert")


def test_each_protocol_has_twins_of_both_versions(bundle: Bundle, tmp_path: Path) -> None:
    def body(path: str) -> Mapping[str, object]:
        if path.startswith("/v2"):
            return {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [2], "data": TEXTS}]}
        return {"inputs": [[text] for text in TEXTS] if path.startswith("/tei") else TEXTS}

    paths = (
        f"{ADAPTER}/predict",
        "/v2/models/acme.mail/infer",
        "/tei/acme.mail/predict",
        "/hf/acme.mail",
    )
    with serving(bundle, tmp_path / "state", settings=QUICK) as service:
        with service.client() as client:
            at(50.0, client, bundle)
            for path in paths:
                for number in range(12):
                    headers = {"X-Request-Id": f"{path[1:4]}-{number}"}
                    asked = client.post(path, json=body(path), headers=headers)
                    assert asked.status_code == 200, (path, asked.text)
        assert service.stop() == 0
    rows = predictions(service)
    found = check(rows)
    assert found["live"] + found["canary"] == 12 * len(paths) * len(TEXTS)
    alone = [row for row in rows if row["alone"]]
    assert found["paired"] == 12 * len(paths) * len(TEXTS) - len(alone)


def test_of_what_live_answers_the_canary_answers_as_much_as_its_own(
    bundle: Bundle, tmp_path: Path
) -> None:
    with serving(bundle, tmp_path / "state", settings=QUICK) as service:
        with service.client() as client:
            at(10.0, client, bundle)
            for _ in range(400):
                client.post(f"{ADAPTER}/predict", json={"inputs": TEXTS[:1]}).raise_for_status()
        assert service.stop() == 0
    rows = predictions(service)
    found = check(rows)
    of_live = sum(row["role"] == "paired" and row["version"] == 2 for row in rows)
    assert 15 <= of_live <= 70
    assert found["live"] + found["canary"] == 400


def test_long_texts_are_read_whole_by_twins_too(bundle: Bundle, tmp_path: Path) -> None:
    """By windows, of which only the live version has some: its twin cuts what it cuts alone."""
    long = " ".join(["where is my parcel"] * 80)
    with serving(bundle, tmp_path / "state", settings=QUICK) as service:
        with service.client() as client:
            publish(client, bundle)
            made = client.post(
                f"{ADAPTER}/versions",
                files={"package": ("a.zip", zip_of(files_of(bundle.manifest, seed=2)))},
                data={"metadata": metadata_of(3, windows={"overlap": 8, "max": 8})},
            )
            assert made.status_code == 201, made.text
            rollout = {"live": 1, "canary": {"version": 2, "percent": 50.0}}
            client.put(f"{ADAPTER}/rollout", json=rollout).raise_for_status()
            alone = {
                number: client.post(
                    f"{ADAPTER}/versions/{number}/predict", json={"inputs": [long]}
                ).json()["predictions"][0]["scores"]
                for number in (1, 2)
            }
            for number in range(24):
                headers = {"X-Request-Id": f"long-{number}"}
                asked = client.post(f"{ADAPTER}/predict", json={"inputs": [long]}, headers=headers)
                asked.raise_for_status()
        assert service.stop() == 0
    rows = predictions(service)
    assert check(rows)["paired"] >= 12
    for row in rows:
        if row["role"] == "paired":
            expected = [alone[row["version"]][name] for name in labels_of(3)]
            assert row["probabilities"] == pytest.approx(expected, abs=1e-3)


def test_images_have_twins_of_both_versions(
    bundle_of: Callable[[str], Bundle], tmp_path: Path
) -> None:
    pictures = bundle_of("vit")
    with serving(pictures, tmp_path / "state", settings=QUICK) as service:
        with service.client() as client:
            at(50.0, client, pictures)
            for number in range(16):
                headers = {"X-Request-Id": f"image-{number}", "Content-Type": "image/png"}
                asked = client.post(
                    f"{ADAPTER}/predict", content=picture((number * 9, 30, 90)), headers=headers
                )
                assert asked.status_code == 200, asked.text
        assert service.stop() == 0
    rows = predictions(service)
    found = check(rows)
    assert found["live"] + found["canary"] == 16
    assert found["paired"] >= 12


def test_without_pairing_there_are_no_twins(bundle: Bundle, tmp_path: Path) -> None:
    settings = {**QUICK, "canary_pairing": False}
    with serving(bundle, tmp_path / "state", settings=settings) as service:
        with service.client() as client:
            at(50.0, client, bundle)
            for _ in range(10):
                client.post(f"{ADAPTER}/predict", json={"inputs": TEXTS}).raise_for_status()
        assert service.stop() == 0
    rows = predictions(service)
    assert {row["role"] for row in rows} <= {"live", "canary"}
    assert all(row["alone"] for row in rows), "so that latency is judged by all of them"
