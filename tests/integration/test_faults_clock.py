"""A wall clock that jumps back, under a service and between two runs of it.

The log's order alone is in `tests/unit/events`: `test_order.py`, `test_log.py`, `test_reader.py`.
"""

import base64
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.engine.bundle import Bundle
from service.events.reader import LogReader
from tests.fakes.events import rows_of
from tests.fakes.faults import (
    ADAPTER,
    TENANT,
    accepted,
    ask,
    id_of,
    label,
    publish,
    serving,
    upload,
)
from tests.fakes.patience import until

DAYS = 2


@pytest.fixture(scope="module")
def bundle(bundle_of: Callable[[str], Bundle]) -> Bundle:
    return bundle_of("bert")


class Jumping:
    """A clock of processes that can be set."""

    def __init__(self, file: Path) -> None:
        self.command = (sys.executable, "-m", "tests.fakes.jumping", str(file))
        self._file = file
        self.ahead_s = 0.0
        self.set(0.0)

    def set(self, ahead_s: float) -> None:
        draft = self._file.with_suffix(".draft")
        draft.write_text(str(ahead_s))
        draft.rename(self._file)
        self.ahead_s = ahead_s

    @property
    def today(self) -> date:
        return (datetime.now(UTC) + timedelta(seconds=self.ahead_s)).date()


def issued_s(prediction_id: str) -> int:
    """Return when an id says that it was given."""
    return int.from_bytes(base64.urlsafe_b64decode(prediction_id)[9:13])


def status_with(client: httpx.Client, key: dict[str, Any]) -> int:
    headers = {"authorization": f"Bearer {key['key']}"}
    return client.post(f"{ADAPTER}/predict", json={"inputs": ["x"]}, headers=headers).status_code


def own_audit(client: httpx.Client, key: dict[str, Any]) -> list[dict[str, Any]]:
    headers = {"authorization": f"Bearer {key['key']}"}
    answer = client.get("/v1/audit", headers=headers)
    assert answer.status_code == 200, answer.text
    lines: list[dict[str, Any]] = answer.json()["lines"]
    return lines


def test_when_the_clock_jumps_back_everything_keeps_its_order_and_nothing_is_lost(
    bundle: Bundle, tmp_path: Path
) -> None:
    clock = Jumping(tmp_path / "ahead")
    state = tmp_path / "state"
    settings = {"events_flush_s": 0.1, "usage_flush_s": 0.1}
    with (
        serving(bundle, state, settings=settings, command=clock.command) as service,
        service.client() as client,
    ):
        publish(client, bundle, 1)
        keys = [
            client.post(f"{TENANT}/keys", json={"scopes": ["predict", "admin"]}).json()
            for _ in range(2)
        ]
        before = id_of(ask(client))
        assert accepted(label(client, before)) == 1
        first_day = clock.today

        clock.set(-86_400.0 * DAYS)
        after = id_of(ask(client))
        assert issued_s(after) - issued_s(before) < 10 - 86_400 * DAYS, "it has jumped"
        assert accepted(label(client, before, after)) == 2
        assert upload(client, bundle, 2).status_code == 201
        assert client.put(f"{ADAPTER}/rollout", json={"live": 2}).status_code == 200
        assert ask(client).json()["model"]["version"] == 2
        assert client.post(f"{ADAPTER}/rollback").json()["live"] == 1
        assert client.delete(f"{TENANT}/keys/{keys[0]['id']}").status_code == 204
        assert [status_with(client, key) for key in keys] == [401, 200]

        lines = client.get("/v1/audit").json()["lines"]
        assert [line["id"] for line in lines] == list(range(1, len(lines) + 1))
        assert [line["action"] for line in lines[-4:]] == [
            "version.published",
            "rollout.set",
            "rollout.back",
            "key.revoked",
        ]
        assert lines[-1]["at"] < lines[0]["at"]
        assert own_audit(client, keys[1]) == lines, "a tenant sees what it did after the jump"

        usage = client.get(
            f"{TENANT}/usage", params={"since": str(clock.today), "until": str(first_day)}
        ).json()
        assert {day["day"] for day in usage["days"]} == {str(clock.today), str(first_day)}
        assert usage["total"]["requests"] == 4
        assert service.stop() == 0

    with (
        serving(bundle, state, settings=settings, command=clock.command) as service,
        service.client() as client,
    ):
        last = id_of(ask(client))
        assert accepted(label(client, before, after, last)) == 3
        reader = LogReader(state / "events", "checks")
        rows: list[dict[str, Any]] = []

        def is_whole() -> bool:
            rows.extend(rows_of(list(reader.batches())))
            return [row["kind"] for row in rows].count("prediction") == 5

        until(is_whole)
        reader.close()
        assert (reader.damaged, reader.missing, reader.late) == (0, 0, 0)
        predicted = [row["prediction_id"] for row in rows if row["kind"] == "prediction"]
        assert (predicted[0], predicted[1], predicted[-1]) == (before, after, last)
        assert rows[-1]["time"] < rows[0]["time"]
        labels = [row["prediction_id"] for row in rows if row["kind"] == "label"]
        assert labels == [before, before, after, before, after, last]
        assert [row["revision"] for row in rows if row["kind"] == "rollout"] == [1, 2, 3]
        assert service.stop() == 0


def test_how_long_a_limited_tenant_waits_does_not_depend_on_the_wall_clock(
    bundle: Bundle, tmp_path: Path
) -> None:
    clock = Jumping(tmp_path / "ahead")
    with (
        serving(bundle, tmp_path / "state", command=clock.command) as service,
        service.client() as client,
    ):
        publish(client, bundle)
        client.put(TENANT, json={"rates": {"requests_per_s": 1}}).raise_for_status()
        for ahead_s in (-86_400.0, 86_400.0, -86_400.0):
            assert ask(client).status_code == 200
            clock.set(ahead_s)
            refused = ask(client)
            assert refused.status_code == 429
            wait_s = int(refused.headers["retry-after"])
            assert wait_s == 1
            time.sleep(wait_s)
        assert ask(client).status_code == 200
        assert service.stop() == 0
