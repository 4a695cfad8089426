"""A state directory whose disk is full, and one in which a byte has changed.

The event log alone on a full disk is in `test_event_log.py`, the tools that look for damage in
`test_state_tools.py`.
"""

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from service.engine.bundle import Bundle
from tests.fakes.events import read_all, rows_of
from tests.fakes.faults import (
    ADAPTER,
    COMMAND,
    HOLDOUT,
    ROOT,
    TENANT,
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
from tests.fakes.patience import until
from tests.needs import needs_program

OTHER = "/v1/tenants/globex/adapters/mail"


@pytest.fixture(scope="module")
def bundle(bundle_of: Callable[[str], Bundle]) -> Bundle:
    return bundle_of("bert")


# --- a full disk


@dataclass(frozen=True)
class SmallDisk:
    """A small file system in a name space of its own, as processes in it and we see it."""

    folder: Path
    seen: Path
    inside: list[str]  # runs a command in the name space


@contextmanager
def mounted(folder: Path) -> Iterator[SmallDisk]:
    """Give a disk of 12 MB in a folder's place, or skip the test."""
    for program in ("unshare", "nsenter"):
        needs_program(program)
    folder.mkdir(parents=True)
    mount = 'mount -t tmpfs -o size=12m none "$0" && echo mounted && exec sleep 600'
    said = b""
    for user, user_too in (
        (["--user", "--map-root-user"], ["--user", "--preserve-credentials"]),
        ([], []),  # which takes root
    ):
        space = ["unshare", *user, "--mount", "sh", "-c", mount, str(folder)]
        with subprocess.Popen(space, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as holder:
            try:
                assert holder.stdout is not None
                if holder.stdout.readline() == b"mounted\n":
                    seen = Path(f"/proc/{holder.pid}/root{folder}")
                    target = ["nsenter", "--target", str(holder.pid), *user_too, "--mount"]
                    yield SmallDisk(folder, seen, target)
                    return
                said = holder.communicate()[1]
            finally:
                holder.kill()
    pytest.skip(f"no name space of one's own here: {said!r}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk for the whole state directory."""
    with mounted(tmp_path / "small") as made:
        yield made


@pytest.fixture
def log_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk for the event log alone."""
    with mounted(tmp_path / "state" / "events") as made:
        yield made


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Take all the room that is left in a file system, and give it back."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    try:
        yield
    finally:
        ballast.unlink()


SETTINGS = {"events_flush_s": 0.1, "usage_flush_s": 0.2}


@contextmanager
def serving_there(bundle: Bundle, disk: SmallDisk) -> Iterator[Service]:
    with serving(bundle, disk.folder / "state", settings=SETTINGS, prefix=disk.inside) as service:
        yield service


def test_a_full_disk_stops_what_must_be_kept_and_nothing_else(
    bundle: Bundle, small_disk: SmallDisk
) -> None:
    with serving_there(bundle, small_disk) as service, service.client() as client:
        publish(client, bundle)
        made = client.post(f"{TENANT}/keys", json={"scopes": ["predict"]}).json()
        before = id_of(ask(client))
        until(lambda: service.metric('tenantry_events_written_total{kind="prediction"}') == 1)
        with filled(small_disk.seen):
            lost = [id_of(ask(client)) for _ in range(50)]
            assert refused_for_now(label(client, before))
            assert refused_for_now(upload(client, bundle, 2))
            assert refused_for_now(client.put(f"{ADAPTER}/rollout", json={"live": None}))
            assert refused_for_now(client.post(f"{TENANT}/keys", json={"scopes": ["predict"]}))
            assert refused_for_now(client.delete(f"{TENANT}/keys/{made['id']}"))
            assert refused_for_now(client.put("/v1/tenants/globex", json={}))
            dropped = 'tenantry_events_dropped_total{reason="disk"}'
            until(lambda: service.metric(dropped) == 50)
            until(lambda: service.metric("tenantry_usage_flush_failures_total") > 0)
            assert service.metric("tenantry_event_log_failing") == 1
            for path in ("/livez", "/readyz", f"{ADAPTER}/versions", "/v1/audit", "/"):
                assert client.get(path).status_code == 200, path
            assert ask(client).json()["model"]["version"] == 1
            until(lambda: service.metric(dropped) == 51)
        # There is room again; nobody has to do anything else.
        after = id_of(ask(client))
        until(lambda: service.metric("tenantry_event_log_failing") == 0)
        assert accepted(label(client, before, lost[0], after)) == 3
        assert upload(client, bundle, 2).status_code == 201
        assert client.put(f"{ADAPTER}/rollout", json={"live": 2}).status_code == 200
        assert client.delete(f"{TENANT}/keys/{made['id']}").status_code == 204
        assert client.put("/v1/tenants/globex", json={}).status_code == 201
        used = client.get(f"{TENANT}/usage").json()["total"]
        assert used["requests"] == 53, "what was used while the disk was full is counted, too"
        lines = client.get("/v1/audit").json()["lines"]
        assert [line["action"] for line in lines] == [
            "tenant.created",
            "version.published",
            "rollout.set",
            "key.created",
            "version.published",
            "rollout.set",
            "key.revoked",
            "tenant.created",
        ]
        assert service.stop() == 0
    rows = rows_of(read_all(small_disk.seen / "state" / "events"))
    kinds = Counter(row["kind"] for row in rows)
    assert kinds == {"rollout": 2, "prediction": 2, "label": 3}
    predicted = {row["prediction_id"] for row in rows if row["kind"] == "prediction"}
    assert predicted == {before, after}


def test_a_service_that_died_on_a_full_disk_starts_on_it_and_answers(
    bundle: Bundle, small_disk: SmallDisk
) -> None:
    with serving_there(bundle, small_disk) as service, service.client() as client:
        digest = publish(client, bundle)
        first = id_of(ask(client))
        service.kill()
    with (
        filled(small_disk.seen),
        serving_there(bundle, small_disk) as service,
        service.client() as client,
    ):
        assert ask(client).json()["model"]["digest"] == digest
        assert refused_for_now(label(client, first))
        service.kill()
    with serving_there(bundle, small_disk) as service, service.client() as client:
        assert ask(client).json()["model"]["digest"] == digest
        assert accepted(label(client, first)) == 1


def test_where_only_the_log_has_no_room_a_rollout_holds_and_is_logged_later(
    bundle: Bundle, log_disk: SmallDisk
) -> None:
    state = log_disk.folder.parent
    with (
        serving(bundle, state, settings=SETTINGS, prefix=log_disk.inside) as service,
        service.client() as client,
    ):
        digest = publish(client, bundle)
        first = id_of(ask(client))
        other = upload(client, bundle, 2).json()["digest"]
        with filled(log_disk.seen):
            assert refused_for_now(label(client, first))
            assert client.put(f"{ADAPTER}/rollout", json={"live": 2}).status_code == 200
            assert ask(client).json()["model"]["digest"] == other
            assert client.post(f"{ADAPTER}/rollback").status_code == 200
            assert ask(client).json()["model"]["digest"] == digest
            assert refused_for_now(upload(client, bundle, 3, holdout=HOLDOUT))
            versions = client.get(f"{ADAPTER}/versions").json()["versions"]
            assert [version["version"] for version in versions] == [1, 2], "no version without one"
        written = 'tenantry_events_written_total{kind="%s"}'
        until(lambda: service.metric(written % "rollout") == 3)
        assert upload(client, bundle, 3, holdout=HOLDOUT).status_code == 201
        assert accepted(label(client, first)) == 1
        assert service.stop() == 0
    rows = rows_of(read_all(log_disk.seen))
    assert [row["revision"] for row in rows if row["kind"] == "rollout"] == [1, 2, 3]
    assert sum(row["kind"] == "reference" for row in rows) == len(HOLDOUT.splitlines())
    assert [row["prediction_id"] for row in rows if row["kind"] == "label"] == [first]


# --- a changed byte


def scores(answer: httpx.Response) -> dict[str, float]:
    found: dict[str, float] = answer.json()["predictions"][0]["scores"]
    return found


def stored(state: Path, digest: str, name: str) -> Path:
    """Return where a file of an adapter lies."""
    hexadecimal = digest.removeprefix("sha256:")
    return state / "store" / "adapters" / hexadecimal[:2] / hexadecimal / name


def check_state(state: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, "state", "check", "--state", str(state)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_adapters_with_a_changed_byte_are_named_and_refused_until_they_are_uploaded_again(
    bundle: Bundle, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    damaged = {
        f"{TENANT}/adapters/weights": ("adapter_model.safetensors", b"\x00\x00"),
        f"{TENANT}/adapters/config": ("adapter_config.json", b'"lora_alpha": '),
        f"{TENANT}/adapters/identity": ("identity.json", b"label "),
    }
    with serving(bundle, state) as service, service.client() as client:
        digests = {
            adapter: publish(client, bundle, seed, adapter) for seed, adapter in enumerate(damaged)
        }
        publish(client, bundle, 9)
        sound = {adapter: scores(ask(client, adapter=adapter)) for adapter in damaged}
        assert service.stop() == 0
    with serving(bundle, state) as service, service.client() as client:  # it has loaded nothing
        for adapter, (name, where) in damaged.items():
            file = stored(state, digests[adapter], name)
            data = bytearray(file.read_bytes())
            data[data.index(where) + len(where)] ^= 1
            file.write_bytes(data)
            for _ in range(2):
                answer = ask(client, adapter=adapter)
                assert (answer.status_code, answer.json()["code"]) == (500, "adapter-unreadable")
                assert digests[adapter] in answer.json()["detail"]
        assert ask(client).status_code == 200
        assert client.get("/readyz").status_code == 200
        assert service.metric('tenantry_refused_total{reason="adapter-unreadable"}') == 6
        checked = check_state(state)
        assert checked.returncode == 1
        assert len(checked.stdout.splitlines()) == 3
        assert all(digest in checked.stdout for digest in digests.values())
        for seed, (adapter, digest) in enumerate(digests.items()):
            again = upload(client, bundle, seed, adapter)
            assert (again.status_code, again.json()["digest"]) == (200, digest)
            assert scores(ask(client, adapter=adapter)) == pytest.approx(sound[adapter])
        assert check_state(state).returncode == 0


def test_a_shadow_with_a_changed_byte_is_not_felt_by_callers(
    bundle: Bundle, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with serving(bundle, state) as service, service.client() as client:
        digest = publish(client, bundle, 1)
        publish(client, bundle, 2)
        rolled = client.put(f"{ADAPTER}/rollout", json={"live": 2, "shadow": [1]})
        assert rolled.status_code == 200
        assert service.stop() == 0
    file = stored(state, digest, "identity.json")
    file.write_bytes(file.read_bytes()[:-1])
    with serving(bundle, state) as service, service.client() as client:
        for _ in range(5):
            assert ask(client).json()["model"]["version"] == 2
        failed = 'tenantry_shadow_texts_total{outcome="failed"}'
        until(lambda: service.metric(failed) == 5)
