"""Two services on one state: what one changes the other answers by, and never half of it."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.demo.service_process import serving
from service.engine.bundle import Bundle
from tests.fakes.packages import files_of, metadata_of, zip_of
from tests.fakes.patience import until

ADAPTER = "/v1/tenants/acme/adapters/mail"
TEXTS = ["please send the parcel back", "where is my money"]
CHANGES = 60


@pytest.fixture(scope="module")
def bundle(bundle_of: Callable[[str], Bundle]) -> Bundle:
    return bundle_of("bert")


@pytest.fixture
def clients(bundle: Bundle, tmp_path: Path) -> Iterator[list[httpx.Client]]:
    """A client of each; the three versions of `acme.mail` are there, and the first one is live."""
    with ExitStack() as running:
        services = [
            running.enter_context(
                serving(bundle.path, tmp_path / "state", None, tmp_path / f"{n}.log", "cpu")
            )
            for n in range(2)
        ]
        found = []
        for service in services:
            service.wait_until_ready()
            client = httpx.Client(base_url=service.url, trust_env=False, timeout=60.0)
            found.append(running.enter_context(client))
        first = found[0]
        assert first.put("/v1/tenants/acme", json={}).status_code == 201
        for seed in (1, 2, 3):
            upload(first, bundle, seed)
        roll(first, {"live": 1})
        until(lambda: found[1].post(f"{ADAPTER}/predict", json=asked(TEXTS)).status_code == 200)
        yield found


def upload(client: httpx.Client, bundle: Bundle, seed: int) -> int:
    package = zip_of(files_of(bundle.manifest, seed=seed))
    files = {"package": ("a.zip", package), "metadata": (None, metadata_of(3))}
    answer = client.post(f"{ADAPTER}/versions", files=files)
    assert answer.status_code == 201, answer.text
    version: int = answer.json()["version"]
    return version


def roll(client: httpx.Client, document: dict[str, Any]) -> None:
    answer = client.put(f"{ADAPTER}/rollout", json=document)
    assert answer.status_code == 200, answer.text


def asked(texts: list[str], **others: object) -> dict[str, Any]:
    return {"inputs": texts, **others}


def answered(client: httpx.Client, path: str = "") -> tuple[int, str, list[dict[str, float]]]:
    """Return the version and digest that answered, and the scores of each text."""
    answer = client.post(f"{ADAPTER}{path}/predict", json=asked(TEXTS))
    assert answer.status_code == 200, answer.text
    told = answer.json()
    scores = [prediction["scores"] for prediction in told["predictions"]]
    return told["model"]["version"], told["model"]["digest"], scores


def test_every_answer_is_of_one_version_and_the_one_that_it_names(
    clients: list[httpx.Client],
) -> None:
    right = {version: answered(clients[0], f"/versions/{version}") for version in (1, 2, 3)}
    done = threading.Event()
    seen: list[list[int]] = [[], []]  # the versions that answered, by process

    def ask(number: int) -> None:
        while not done.is_set():
            version, digest, scores = answered(clients[number])
            assert digest == right[version][1]
            for mine, theirs in zip(scores, right[version][2], strict=True):
                assert mine == pytest.approx(theirs, abs=1e-4)
            seen[number].append(version)

    def change() -> None:
        try:
            for step, live in enumerate(itertools.islice(itertools.cycle((2, 3, 1)), CHANGES)):
                canary, shadow = {1: (2, 3), 2: (3, 1), 3: (1, 2)}[live]
                document: dict[str, Any] = {"live": live, "shadow": [shadow]}
                if step % 2:
                    document["canary"] = {"version": canary, "percent": 50}
                roll(clients[step % 2], document)
                enough = len(seen[step % 2]) + 3
                until(lambda own=seen[step % 2], enough=enough: len(own) >= enough)  # type: ignore[misc]
        finally:
            done.set()

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask, number) for number in range(2)]
        changing = pool.submit(change)
        for one in (*asking, changing):
            one.result()
    assert set(seen[0]) == set(seen[1]) == {1, 2, 3}
    for client in clients:  # both end where the last change led, wherever it was made
        roll(clients[0], {"live": 2})
        until(lambda client=client: answered(client)[0] == 2)  # type: ignore[misc]


def test_a_label_is_taken_by_either_process_at_once(
    clients: list[httpx.Client], bundle: Bundle
) -> None:
    here, there = clients
    for seed in range(10, 16):
        version = upload(here, bundle, seed)
        told = here.post(f"{ADAPTER}/versions/{version}/predict", json=asked(TEXTS)).json()
        labels = [{"id": one["id"], "label": one["label"]} for one in told["predictions"]]
        # The other one has most likely not looked yet whether there is a new version.
        answer = there.post("/v1/feedback", json={"labels": labels})
        assert answer.status_code == 202
        assert answer.json() == {
            "accepted": len(TEXTS),
            "refused": 0,
            "problems": [],
            "problems_left_out": 0,
        }
