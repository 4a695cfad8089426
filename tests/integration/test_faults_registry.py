"""A registry that another process holds, and two services on one state.

Two registries side by side, without services around them, are in `test_registry_processes.py`.
"""

import asyncio
import base64
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from service.engine.bundle import Bundle
from service.registry.database import FILE
from tests.fakes.events import read_all, rows_of
from tests.fakes.faults import (
    ADAPTER,
    COMMAND,
    ROOT,
    TENANT,
    TEXT,
    Service,
    accepted,
    ask,
    id_of,
    label,
    publish,
    refused_for_now,
    serving,
    upload,
)
from tests.fakes.packages import files_of, metadata_of, zip_of

SEEN_S = 2.0  # within which every process must have taken over what another one changed
LONG = {"inputs": [TEXT] * 400}  # more than is tokenised on the event loop itself


@pytest.fixture(scope="module")
def bundle(bundle_of: Callable[[str], Bundle]) -> Bundle:
    return bundle_of("bert")


# --- a registry that is held


@contextmanager
def held(state: Path) -> Iterator[None]:
    """Hold the registry as a process would that hangs in the middle of a write."""
    with closing(sqlite3.connect(state / FILE, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


async def changes_and_answers(
    service: Service, bundle: Bundle, key: str, issued: str, end_s: float
) -> int:
    """Change much at once, and ask as ever, until a time; return how many times it was asked."""
    package = {"package": ("a.zip", zip_of(files_of(bundle.manifest, seed=2)))}
    async with httpx.AsyncClient(base_url=service.url, trust_env=False, timeout=120.0) as client:
        changing = [
            asyncio.create_task(one)
            for one in (
                client.put(f"{ADAPTER}/rollout", json={"live": None}),
                client.post(f"{ADAPTER}/versions", files=package, data={"metadata": metadata_of()}),
                client.post(f"{TENANT}/keys", json={"scopes": ["predict"]}),
                *(client.put(f"/v1/tenants/t{number}", json={}) for number in range(24)),
            )
        ]
        await asyncio.sleep(0.1)
        mine = {"authorization": f"Bearer {key}"}
        count = 0
        while time.monotonic() < end_s:
            for body in ({"inputs": [TEXT]}, LONG):
                answer = await client.post(f"{ADAPTER}/predict", json=body, headers=mine)
                assert answer.status_code == 200, answer.text
            labels = [{"id": issued, "label": "label 0"}] * 100
            for some in (labels[:1], labels):
                answer = await client.post("/v1/feedback", json={"labels": some}, headers=mine)
                assert accepted(answer) == len(some)
            for path in ("/metrics", "/v1/tenants", f"{ADAPTER}/versions", "/readyz"):
                assert (await client.get(path)).status_code == 200, path
            wrong = {"authorization": f"Bearer {key[:-1]}"}
            refused = await client.post(
                f"{ADAPTER}/predict", json={"inputs": [TEXT]}, headers=wrong
            )
            assert refused.status_code == 401
            count += 1
            if count == 1:
                assert not any(task.done() for task in changing), "nobody waited for the changes"
        for answer in await asyncio.gather(*changing):
            assert refused_for_now(answer), answer.text
    return count


@pytest.mark.parametrize(
    ("busy_s", "held_s"),
    [(2.0, 3.0), pytest.param(10.0, 30.0, marks=pytest.mark.long)],
    ids=["short", "30 seconds"],
)
def test_while_another_process_holds_the_registry_everything_but_changes_goes_on(
    bundle: Bundle, tmp_path: Path, busy_s: float, held_s: float
) -> None:
    state = tmp_path / "state"
    settings = {"registry_busy_s": busy_s, "usage_flush_s": 0.2}
    with serving(bundle, state, settings=settings) as service, service.client() as client:
        publish(client, bundle)
        key = client.post(f"{TENANT}/keys", json={"scopes": ["predict"]}).json()["key"]
        issued = id_of(ask(client))
        with held(state):
            end_s = time.monotonic() + held_s
            count = asyncio.run(changes_and_answers(service, bundle, key, issued, end_s))
            assert count >= 2
            assert service.metric("tenantry_usage_flush_failures_total") > 0
        # It is let go of, and nobody has to do anything else.
        assert upload(client, bundle, 2).status_code == 201
        assert client.put(f"{ADAPTER}/rollout", json={"live": 2}).status_code == 200
        assert ask(client).json()["model"]["version"] == 2
        assert [one["name"] for one in client.get("/v1/tenants").json()["tenants"]] == ["acme"]
        used = client.get(f"{TENANT}/usage").json()["total"]
        assert used["requests"] == 2 + 2 * count
        assert used["texts"] == 2 + count * (1 + len(LONG["inputs"]))
        assert service.stop() == 0


# --- two services on one state


def within(seconds: float, seen: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end, f"{what} was not seen within {seconds} s"
        time.sleep(0.01)


def signed_by(prediction_id: str) -> int:
    """Return the id of the key that signed a prediction id."""
    return base64.urlsafe_b64decode(prediction_id)[0] & 0x0F


def is_signed_anew(client: httpx.Client, by: int) -> bool:
    return signed_by(id_of(ask(client))) != by


def status_for(client: httpx.Client, key: str) -> int:
    headers = {"authorization": f"Bearer {key}"}
    return client.post(f"{ADAPTER}/predict", json={"inputs": [TEXT]}, headers=headers).status_code


def test_two_services_on_one_state_see_each_other_s_changes_and_one_outlives_the_other(
    bundle: Bundle, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with (
        serving(bundle, state) as one,
        serving(bundle, state) as two,
        one.client() as here,
        two.client() as there,
    ):
        publish(here, bundle, 1)
        within(SEEN_S, lambda: ask(there).status_code == 200, "the first rollout")
        publish(there, bundle, 2)
        within(SEEN_S, lambda: ask(here).json()["model"]["version"] == 2, "a rollout")
        # Of two operators who know one revision, one wins, wherever they are.
        stale = {"if-match": '"1"'}
        assert here.put(f"{ADAPTER}/rollout", json={"live": 1}, headers=stale).status_code == 412

        key = here.post(f"{TENANT}/keys", json={"scopes": ["predict"]}).json()
        within(SEEN_S, lambda: status_for(there, key["key"]) == 200, "a new key")
        assert here.delete(f"{TENANT}/keys/{key['id']}").status_code == 204
        assert status_for(here, key["key"]) == 401
        within(SEEN_S, lambda: status_for(there, key["key"]) == 401, "a revocation")

        limited = {"rates": {"requests_per_s": 0.001}}
        assert there.put(TENANT, json=limited).status_code == 200
        within(SEEN_S, lambda: ask(here).status_code == 429, "a tenant's settings")
        there.put(TENANT, json={}).raise_for_status()
        within(SEEN_S, lambda: ask(here).status_code == 200, "a tenant's settings")

        before = [id_of(ask(here)), id_of(ask(there))]
        rotated = [*COMMAND, "state", "rotate-keys", "--state", str(state)]
        subprocess.run(rotated, cwd=ROOT, check=True, capture_output=True)
        for client, old in zip((here, there), before, strict=True):
            is_new = partial(is_signed_anew, client, signed_by(old))
            within(SEEN_S, is_new, "a rotated key")
        after = [id_of(ask(here)), id_of(ask(there))]
        for client in (here, there):
            assert accepted(label(client, *before, *after)) == 4

        one.kill()
        assert ask(there).status_code == 200
        assert accepted(label(there, before[0], after[0])) == 2
        publish(there, bundle, 3)
        assert ask(there).json()["model"]["version"] == 3
        assert two.stop() == 0
    rows = rows_of(read_all(state / "events"))
    labelled = [row["prediction_id"] for row in rows if row["kind"] == "label"]
    assert sorted(labelled) == sorted([*before, *after] * 2 + [before[0], after[0]])
    assert [row["revision"] for row in rows if row["kind"] == "rollout"] == [1, 2, 3]
