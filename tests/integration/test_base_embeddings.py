"""The bare backbone beside adapters, in a real service: each answer is logged once all the same.

What the bare backbone says of a text is held against the engine, run without a service.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.batching.residency import BARE
from service.engine.bundle import Bundle
from service.engine.forward import Forward
from service.engine.runtime import OnnxRuntime
from service.engine.tokens import Tokeniser
from service.events.columns import unit_rows
from service.events.predictions import FloatArray
from tests.fakes.answering import answer_all
from tests.fakes.events import read_all, rows_of
from tests.fakes.faults import ADAPTER, TENANT, Service, publish, serving, upload

TEXTS = ["where is my parcel", "I want my money back", "is it blue", "hello", "what is this"]
ASKERS = 8


@pytest.fixture(scope="module")
def bundle(bundle_of: Callable[[str], Bundle]) -> Bundle:
    return bundle_of("bert")


def bare_embeddings(bundle: Bundle, texts: Sequence[str]) -> Mapping[str, FloatArray]:
    forward = Forward(bundle, OnnxRuntime(bundle, "cpu", 1, threads=1))
    tokens = Tokeniser(bundle).encode(texts)
    answers = answer_all(forward, tokens, [0] * len(tokens), [BARE.member])
    embeddings = unit_rows(np.stack([embedding for _, embedding in answers]))
    return dict(zip(texts, embeddings, strict=True))


def predictions(service: Service) -> list[dict[str, Any]]:
    rows = rows_of(read_all(service.state / "events"))
    return [row for row in rows if row["kind"] == "prediction"]


def test_every_role_but_a_shadow_is_logged_with_what_the_bare_backbone_said(
    bundle: Bundle, tmp_path: Path
) -> None:
    said: dict[str, str] = {}  # texts by the ids of their answers
    with serving(bundle, tmp_path / "state", settings={"base_embedding_ratio": 1.0}) as service:
        with service.client() as client:
            publish(client, bundle)
            for seed in (2, 3):
                assert upload(client, bundle, seed).status_code == 201
            rollout = {"live": 1, "canary": {"version": 2, "percent": 50}, "shadow": [3]}
            client.put(f"{ADAPTER}/rollout", json=rollout).raise_for_status()
            for number in range(8):
                asked = {"inputs": TEXTS, "routing_key": str(number)}
                answer = client.post(f"{ADAPTER}/predict", json=asked).raise_for_status().json()
                said |= {one["id"]: TEXTS[i] for i, one in enumerate(answer["predictions"])}
            pinned = client.post(f"{ADAPTER}/versions/2/predict", json={"inputs": TEXTS[:1]})
            said[pinned.json()["predictions"][0]["id"]] = TEXTS[0]
            assert service.metric('tenantry_base_embeddings_total{outcome="answered"}') == len(said)
        assert service.stop() == 0
    rows = predictions(service)
    own = [row for row in rows if row["role"] not in ("shadow", "paired")]
    assert {row["role"] for row in own} == {"live", "canary", "pinned"}
    assert Counter(row["prediction_id"] for row in own) == dict.fromkeys(said, 1)
    bare = bare_embeddings(bundle, TEXTS)
    for row in own:
        expected = bare[said[row["prediction_id"]]]
        assert row["base_embedding"] == pytest.approx(expected, abs=2e-3)
        assert np.abs(np.subtract(row["embedding"], expected)).max() > 0.01, "not the adapter's own"
    shadows = [row for row in rows if row["role"] in ("shadow", "paired")]
    twins = [row for row in rows if row["role"] in ("canary", "live") and not row["alone"]]
    assert len(shadows) == 8 * len(TEXTS) + len(twins)
    assert all(row["base_embedding"] is None for row in shadows)
    assert {row["prediction_id"] for row in shadows} <= said.keys()
    fingerprints = {(said[row["prediction_id"]], row["fingerprint"]) for row in rows}
    assert len(fingerprints) == len(TEXTS), "one for each text, whichever version answered it"
    assert {(row["characters"], row["text_bytes"], row["replaced"]) for row in rows} == {
        (len(text), len(text), 0) for text in TEXTS
    }
    assert all(row["text"] is None for row in rows)


def test_a_tenant_that_keeps_embeddings_out_of_the_log_costs_no_pass_of_the_backbone(
    bundle: Bundle, tmp_path: Path
) -> None:
    with serving(bundle, tmp_path / "state", settings={"base_embedding_ratio": 1.0}) as service:
        with service.client() as client:
            publish(client, bundle)
            client.put(TENANT, json={"log": {"embedding": False}}).raise_for_status()
            client.post(f"{ADAPTER}/predict", json={"inputs": TEXTS}).raise_for_status()
            assert service.metric('tenantry_base_embeddings_total{outcome="answered"}') == 0
        assert service.stop() == 0
    rows = predictions(service)
    assert len(rows) == len(TEXTS)
    assert all(row["base_embedding"] is None and row["embedding"] is None for row in rows)


def test_under_load_and_over_a_stop_each_answer_is_logged_once(
    bundle: Bundle, tmp_path: Path
) -> None:
    """With a queue so small that riders are left out, and callers that leave early."""
    given: list[str] = []
    settings = {"base_embedding_ratio": 0.5, "queue_texts_max": 24, "events_flush_s": 0.2}
    with serving(bundle, tmp_path / "state", settings=settings) as service:
        with service.client() as client:
            publish(client, bundle)
            assert upload(client, bundle, 2).status_code == 201
            client.put(f"{ADAPTER}/rollout", json={"live": 1, "shadow": [2]}).raise_for_status()

        def ask_on(seed: int) -> list[str]:
            chance = random.Random(seed)
            mine: list[str] = []
            with service.client() as client:
                while True:
                    inputs = chance.choices(TEXTS, k=chance.randint(1, 5))
                    headers = {"x-timeout-ms": str(chance.choice([2, 10_000, 10_000]))}
                    try:
                        answer = client.post(
                            f"{ADAPTER}/predict", json={"inputs": inputs}, headers=headers
                        )
                    except httpx.TransportError:
                        return mine  # it has stopped
                    if answer.status_code == 200:
                        mine += [one["id"] for one in answer.json()["predictions"]]
                    elif answer.json()["code"] == "stopping":
                        return mine

        with ThreadPoolExecutor(ASKERS) as pool:
            asking = [pool.submit(ask_on, seed) for seed in range(ASKERS)]
            while service.metric('tenantry_texts_total{tenant="acme"}') < 2_000:
                time.sleep(0.05)
            outcomes = {
                outcome: service.metric(f'tenantry_base_embeddings_total{{outcome="{outcome}"}}')
                for outcome in ("answered", "dropped")
            }
            assert service.stop() == 0
            for one in asking:
                given += one.result()
    rows = [row for row in predictions(service) if row["role"] == "live"]
    logged = Counter(row["prediction_id"] for row in rows)
    assert set(logged.values()) == {1}, "none twice"
    assert set(given) <= logged.keys(), "none is missing"
    assert min(outcomes.values()) > 0, outcomes
    based = sum(row["base_embedding"] is not None for row in rows)
    assert outcomes["answered"] * 0.9 <= based < len(rows) * 0.6
