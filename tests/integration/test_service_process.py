"""The service as a process: killed at any moment, stopped with work in hand, started again."""

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from examples.demo.service_process import ServiceProcess, serving
from service.engine.bundle import Bundle
from tests.fakes.packages import files_of, labels_of, metadata_of, zip_of

ROUNDS = 4
TEXT = "please send the parcel back to the warehouse before friday"


@pytest.fixture(scope="module")
def bundle(bundle_of: Callable[[str], Bundle]) -> Bundle:
    return bundle_of("bert")


def client_of(service: ServiceProcess) -> httpx.Client:
    return httpx.Client(base_url=service.url, trust_env=False, timeout=30.0)


def upload(client: httpx.Client, bundle: Bundle, seed: int) -> httpx.Response:
    return client.post(
        "/v1/tenants/acme/adapters/mail/versions",
        files={"package": ("a.zip", zip_of(files_of(bundle.manifest, seed=seed)))},
        data={"metadata": metadata_of(3)},
    )


def publish_until_killed(
    service: ServiceProcess,
    bundle: Bundle,
    seed: int,
    acknowledged: dict[int, str],
    live: list[int],
) -> None:
    """Upload and roll out without a pause; note what was acknowledged, before anything else."""
    with client_of(service) as client:
        while True:
            seed += 1
            try:
                made = upload(client, bundle, seed)
                assert made.status_code == 201, made.text
                version = made.json()["version"]
                acknowledged[version] = made.json()["digest"]
                rolled = client.put(
                    "/v1/tenants/acme/adapters/mail/rollout", json={"live": version}
                )
                assert rolled.status_code == 200, rolled.text
                live.append(version)
            except httpx.TransportError:
                return


def test_what_was_acknowledged_survives_kill_9_at_any_moment(
    bundle: Bundle, tmp_path: Path
) -> None:
    chance = random.Random(20260101)
    acknowledged: dict[int, str] = {}
    live: list[int] = []
    for number in range(ROUNDS):
        with serving(bundle.path, tmp_path / "state", None, tmp_path / "log", "cpu") as service:
            service.wait_until_ready()
            with client_of(service) as client:
                client.put("/v1/tenants/acme", json={}).raise_for_status()
                check_all_there(client, acknowledged, live)
            publisher = threading.Thread(
                target=publish_until_killed,
                args=(service, bundle, 1000 * number, acknowledged, live),
            )
            publisher.start()
            time.sleep(0.3 + chance.random())
            os.kill(service.process.pid, signal.SIGKILL)
            publisher.join(30)
            assert not publisher.is_alive()
    assert len(acknowledged) >= ROUNDS, "the publisher was killed before it did anything"
    with serving(bundle.path, tmp_path / "state", None, tmp_path / "log", "cpu") as service:
        service.wait_until_ready()
        with client_of(service) as client:
            check_all_there(client, acknowledged, live)


def check_all_there(client: httpx.Client, acknowledged: dict[int, str], live: list[int]) -> None:
    """Every acknowledged version is there and answers; what else is there is whole."""
    if not acknowledged:
        return
    listed = client.get("/v1/tenants/acme/adapters/mail/versions").json()
    digests = {v["version"]: v["digest"] for v in listed["versions"]}
    assert acknowledged.items() <= digests.items()
    answer = client.get("/v1/tenants/acme/adapters/mail/rollout")
    if not live and answer.status_code == 404:  # killed before the first rollout
        return
    now = answer.json()["live"]
    # The kill may have come between the commit and its acknowledgement.
    assert now >= max(live, default=1)
    for version, digest in digests.items():
        answer = client.post(
            f"/v1/tenants/acme/adapters/mail/versions/{version}/predict", json={"inputs": [TEXT]}
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["model"]["digest"] == digest
    answer = client.post("/v1/tenants/acme/adapters/mail/predict", json={"inputs": [TEXT]})
    assert answer.json()["model"]["version"] == now


def test_a_stop_answers_what_was_accepted_and_takes_nothing_new(
    bundle: Bundle, tmp_path: Path
) -> None:
    with serving(bundle.path, tmp_path / "state", None, tmp_path / "log", "cpu") as service:
        service.wait_until_ready()
        with client_of(service) as client:
            client.put("/v1/tenants/acme", json={}).raise_for_status()
            upload(client, bundle, 1).raise_for_status()
            client.put(
                "/v1/tenants/acme/adapters/mail/rollout", json={"live": 1}
            ).raise_for_status()
        answered, refused = asyncio.run(stop_under_load(service))
        assert service.process.wait(30) == 0
    assert answered == 1000
    assert refused >= 1


async def stop_under_load(service: ServiceProcess) -> tuple[int, int]:
    """Stop the service while it works; return how many texts were answered, and refused."""
    long = {"inputs": [" ".join([TEXT] * 12)] * 1000}  # 160,000 tokens
    async with httpx.AsyncClient(base_url=service.url, trust_env=False, timeout=60.0) as client:
        path = "/v1/tenants/acme/adapters/mail/predict"
        accepted = asyncio.create_task(client.post(path, json=long))
        while "\ntenantry_queue_texts 0.0\n" in (await client.get("/metrics")).text:
            assert not accepted.done(), "the work was over before it could be interrupted"
        service.process.send_signal(signal.SIGTERM)
        refused = 0
        while not accepted.done():
            try:
                late = await client.post(path, json={"inputs": [TEXT]})
            except httpx.TransportError:  # the listening socket is closed
                refused += 1
                continue
            if late.status_code == 200:  # the signal had not arrived yet
                continue
            assert late.status_code == 503, late.text
            assert late.headers["retry-after"]
            refused += 1
            await asyncio.sleep(0.01)
        answer = await accepted
    assert answer.status_code == 200, answer.text
    labels = [prediction["label"] for prediction in answer.json()["predictions"]]
    assert set(labels) <= set(labels_of(3))
    return len(labels), refused
