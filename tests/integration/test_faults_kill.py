"""`kill -9` of a service that is uploaded to, rolled out, asked and labelled, all at once.

The registry alone under `kill -9` is in `test_registry_kill.py`, the event log alone in
`test_event_log.py`. Here it is the process, and it dies in the middle of a certain thing.
"""

import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.engine.bundle import Bundle
from service.events.folder import segments, writers
from service.events.reader import LogReader
from tests.fakes.events import rows_of
from tests.fakes.faults import (
    ADAPTER,
    COMMAND,
    HOLDOUT,
    ROOT,
    TENANT,
    TEXT,
    Service,
    accepted,
    ask,
    label,
    serving,
    upload,
)
from tests.fakes.waiting import PATIENCE_S

FLUSH_S = 0.2
# What one write may take beyond that, on a machine that does much else.
WRITE_S = 1.0
LOAD_S = FLUSH_S + WRITE_S + 0.6
SETTINGS = {
    "events_flush_s": FLUSH_S,
    "events_segment_bytes": 65_536,
    "gate_accuracy_drop_max": 1.0,  # these versions are no better than chance
    "gate_baseline_drop_max": 1.0,
}
BULK = [f"{TEXT} {number}" for number in range(20)]
PAUSE_S = 0.04  # so that fewer predictions wait than are written at once for being many


@dataclass
class Book:
    """What was acknowledged; each thing was entered after its answer was there."""

    versions: dict[int, str] = field(default_factory=dict)  # number -> digest
    rollouts: dict[int, int] = field(default_factory=dict)  # revision -> live
    keys: dict[str, str] = field(default_factory=dict)  # id -> key
    labels: list[str] = field(default_factory=list)  # prediction ids
    answered: list[tuple[float, list[str]]] = field(default_factory=list)  # when, prediction ids
    killed_s: list[float] = field(default_factory=list)

    def due(self) -> set[str]:
        """Return the ids of all predictions that must be in the log, whenever it died."""
        ids: set[str] = set()
        for answered_s, made in self.answered:
            killed_s = min((at for at in self.killed_s if at >= answered_s), default=answered_s)
            if killed_s - answered_s > FLUSH_S + WRITE_S:
                ids.update(made)
        return ids


def until_killed(work: Callable[[httpx.Client, int], object], service: Service) -> None:
    """Do it again and again, with a number that rises, until nobody answers."""
    with service.client() as client:
        number = 0
        while True:
            try:
                work(client, number)
            except httpx.TransportError:
                assert service.process.poll() is not None or service.dying, "it refused a caller"
                return
            number += 1


class Load:
    """Callers of every kind, each in a thread of its own."""

    def __init__(self, service: Service, bundle: Bundle, book: Book, seed: int) -> None:
        self._bundle = bundle
        self._book = book
        self._seed = seed
        self.rolling = threading.Event()  # while a rollout is on its way
        self._failures: list[BaseException] = []
        works = (self._change, self._ask, self._ask, self._label)
        self._threads = [threading.Thread(target=self._run, args=(work, service)) for work in works]
        for thread in self._threads:
            thread.start()

    def _run(self, work: Callable[[httpx.Client, int], object], service: Service) -> None:
        try:
            until_killed(work, service)
        except BaseException as error:  # noqa: BLE001 - told by `join`
            self._failures.append(error)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        assert not self._failures, self._failures

    def _change(self, client: httpx.Client, number: int) -> None:
        made = upload(client, self._bundle, self._seed + number, holdout=HOLDOUT)
        assert made.status_code == 201, made.text
        version = made.json()["version"]
        self._book.versions[version] = made.json()["digest"]
        self.rolling.set()
        rolled = client.put(f"{ADAPTER}/rollout", json={"live": version})
        self.rolling.clear()
        assert rolled.status_code == 200, rolled.text
        self._book.rollouts[rolled.json()["revision"]] = version
        if number % 8 == 0:  # a tenant may have so many and no more
            key = client.post(f"{TENANT}/keys", json={"scopes": ["predict"]})
            assert key.status_code == 201, key.text
            self._book.keys[key.json()["id"]] = key.json()["key"]
        time.sleep(PAUSE_S)

    def _ask(self, client: httpx.Client, _: int) -> None:
        answer = client.post(f"{ADAPTER}/predict", json={"inputs": BULK})
        assert answer.status_code == 200, answer.text
        ids = [prediction["id"] for prediction in answer.json()["predictions"]]
        self._book.answered.append((time.monotonic(), ids))
        time.sleep(PAUSE_S)

    def _label(self, client: httpx.Client, number: int) -> None:
        if not self._book.answered:
            time.sleep(0.01)
            return
        _, ids = self._book.answered[number % len(self._book.answered)]
        chosen = ids[: 1 + number % 3]
        assert accepted(label(client, *chosen)) == len(chosen)
        self._book.labels += chosen


# --- the moments at which it dies


def uploading(service: Service, _: Load) -> bool:
    return any((service.state / "store" / "tmp").iterdir())


def rolling_out(_: Service, load: Load) -> bool:
    return load.rolling.is_set()


def rotating(service: Service, _: Load) -> bool:
    """Say whether a segment was just sealed, and the next one is not begun."""
    log = service.state / "events"
    return any(found[-1].sealed for name in writers(log) if (found := segments(log, name)))


def anything(*_: object) -> bool:
    return True


MOMENTS = (uploading, rolling_out, rotating, anything)


def kill_when(moment: Callable[[Service, Load], bool], service: Service, load: Load) -> bool:
    """Kill it at the moment; return whether it came."""
    end = time.monotonic() + PATIENCE_S
    while not moment(service, load):
        if time.monotonic() > end:
            return False
    service.dying = True
    service.kill()
    return True


# --- what must be there


def audit_of(client: httpx.Client) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/v1/audit", params={"tenant": "acme", **cursor}).json()
        lines += page["lines"]
        if page["cursor"] is None:
            return lines
        cursor = {"cursor": str(page["cursor"])}


def check_service(client: httpx.Client, book: Book) -> dict[int, str]:
    """Everything that was acknowledged is there and works; return all versions' digests."""
    listed = client.get(f"{ADAPTER}/versions").json()["versions"]
    found = {version["version"]: version["digest"] for version in listed}
    assert book.versions.items() <= found.items()
    now = client.get(f"{ADAPTER}/rollout").json()
    assert now["revision"] >= max(book.rollouts)
    assert ask(client).json()["model"]["digest"] == found[now["live"]]
    lines = audit_of(client)
    assert [line["id"] for line in lines] == sorted(line["id"] for line in lines)

    def told(action: str) -> list[dict[str, Any]]:
        return [line["after"] for line in lines if line["action"] == action]

    assert {after["version"]: after["digest"] for after in told("version.published")} == found
    rollouts = {after["revision"]: after["live"] for after in told("rollout.set")}
    assert book.rollouts.items() <= rollouts.items()
    assert list(rollouts) == list(range(1, now["revision"] + 1))
    assert book.keys.keys() <= {after["id"] for after in told("key.created")}
    for key in list(book.keys.values())[-3:]:
        headers = {"authorization": f"Bearer {key}"}
        mine = client.post(f"{ADAPTER}/predict", json={"inputs": [TEXT]}, headers=headers)
        assert mine.status_code == 200, mine.text
    return found


def check_ids(client: httpx.Client, book: Book) -> None:
    """Ids that were given before a kill are taken after it, all of them."""
    ids = [one for _, made in book.answered for one in made][-5_000:]
    assert accepted(label(client, *ids)) == len(ids)
    book.labels += ids


def check_log(state: Path, book: Book, digests: set[str]) -> None:
    with LogReader(state / "events", "checks") as reader:
        rows = rows_of(list(reader.batches()))
        assert (reader.damaged, reader.missing, reader.late) == (0, 0, 0)
    kinds: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault(row["kind"], []).append(row)
    predicted = [row["prediction_id"] for row in kinds["prediction"]]
    assert len(predicted) == len(set(predicted)), "nothing twice"
    due = book.due()
    assert len(due) > 200
    assert due <= set(predicted), f"{len(due - set(predicted))} events more were lost than may be"
    assert set(book.labels) <= {row["prediction_id"] for row in kinds["label"]}
    assert book.rollouts.keys() <= {row["revision"] for row in kinds["rollout"]}
    references = Counter(row["digest"] for row in kinds["reference"])
    rows_of_each = len(HOLDOUT.splitlines())
    assert all(references[digest] >= rows_of_each for digest in digests), (
        "each version, acknowledged or not, has its reference"
    )


@pytest.fixture(scope="module")
def bundle(bundle_of: Callable[[str], Bundle]) -> Bundle:
    return bundle_of("bert")


@pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.long)])
def test_whatever_was_acknowledged_survives_a_kill_in_the_middle_of_it(
    bundle: Bundle, tmp_path: Path, times: int
) -> None:
    draw = random.Random(20261122)
    state, book = tmp_path / "state", Book()
    for number, moment in enumerate(MOMENTS * times):
        with serving(bundle, state, settings=SETTINGS) as service:
            with service.client() as client:
                if number:
                    check_service(client, book)
                    check_ids(client, book)
                else:
                    client.put(TENANT, json={}).raise_for_status()
                    upload(client, bundle, 999, holdout=HOLDOUT).raise_for_status()
                    rolled = client.put(f"{ADAPTER}/rollout", json={"live": 1})
                    book.rollouts[rolled.json()["revision"]] = 1
            load = Load(service, bundle, book, 1_000 * (number + 1))
            time.sleep(LOAD_S + draw.uniform(0.0, 0.3))
            came = kill_when(moment, service, load)
            book.killed_s.append(time.monotonic())
            service.dying = True
            service.process.kill()
            load.join()
            assert came, f"the moment {moment.__name__} did not come"
    with serving(bundle, state, settings=SETTINGS) as service:
        with service.client() as client:
            found = check_service(client, book)
            check_ids(client, book)
        assert service.stop() == 0
    assert len(book.versions) >= 4
    assert sum(len(segments(state / "events", name)) for name in writers(state / "events")) > 8
    check_log(state, book, set(found.values()))
    checked = subprocess.run(
        [*COMMAND, "state", "check", "--state", str(state)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
