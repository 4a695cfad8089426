"""The tools for state directories, on real ones, with a service that goes on meanwhile."""

import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest

from service import command
from service.errors import Conflict, InvalidSettings, StateDamaged, StoreFull
from service.events.ids import NONCE_BYTES, PredictionId
from service.events.keys import KEY_FILE, KeyRing
from service.registry import schema
from service.registry.database import FILE as REGISTRY_FILE
from service.registry.records import TenantSettings
from service.registry.registry import Registry
from service.state_tools.backup import back_up
from service.state_tools.check import problems
from service.state_tools.contents import MANIFEST_FILE
from service.state_tools.restore import restore
from tests.fakes.events import block_of, ids_of, label_of, open_log, read_all
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.packages import package_of

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [EntryPoint("state", "service.state_tools.command:state", command.GROUP)]
OTHERS = {"README.md": b"# A card", "holdout.jsonl": b'{"text": "a", "label": "label 0"}\n'}


def quiet(what: str, done: int, total: int) -> None:
    assert done <= total, what


def publish(registry: Registry, seed: int = 0) -> int:
    """Publish a version with a card and a hold-out, and return its number."""
    package = package_of(manifest_of("bert"), seed=seed, others=OTHERS)
    return registry.publish("acme", "support", package, {}, "tests")[0].version


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def registry(state: Path) -> Iterator[Registry]:
    """A registry that is open, as a service has it, with two versions and an event log."""
    registry = Registry.open(state, BACKBONE)
    KeyRing.open(state)
    registry.put_tenant("acme", TenantSettings(), "tests")
    for seed in range(2):
        publish(registry, seed)
    registry.set_rollout("acme", "support", {"live": 1}, None, "tests")
    with open_log(state / "events") as log:
        log.append([label_of(0), label_of(1, "globex")]).result(20)
    yield registry
    registry.close()


@pytest.fixture
def closed(registry: Registry, state: Path) -> Path:
    """The same, with nobody in it."""
    registry.close()
    return state


def found(state: Path) -> list[str]:
    return [str(problem) for problem in problems(state, quiet)]


def adapter_file(state: Path) -> Path:
    return min(state.glob("store/adapters/*/*/adapter_model.safetensors"))


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(params=["backup.tar", "backup"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


# --- check


@pytest.mark.usefixtures("registry")
def test_a_state_that_is_in_use_and_whole_has_no_problems(state: Path) -> None:
    before = tree(state / "store")
    assert found(state) == []
    assert tree(state / "store") == before


def test_every_kind_of_damage_is_named(closed: Path) -> None:
    damage(adapter_file(closed))
    min(closed.glob("store/files/*/*")).unlink()
    (closed / KEY_FILE).unlink()
    [segment] = closed.glob("events/*/*.log")
    damaged = bytearray(segment.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    segment.write_bytes(damaged)
    told = found(closed)
    assert len(told) == 4
    assert "adapter_model.safetensors was altered" in told[0]
    assert re.match(r"store: sha256:[0-9a-f]{64}: [a-z]+\.[a-z]+ version \d+: ", told[0])
    assert "is missing" in told[1]
    assert told[2].startswith(f"{KEY_FILE}: it is missing: restore it from a backup")
    assert told[3].startswith(f"events/{segment.parent.name}/{segment.name}: damaged in")


def test_a_key_file_that_everyone_can_read_is_a_problem(closed: Path) -> None:
    (closed / KEY_FILE).chmod(0o644)
    assert "can be read by everyone" in found(closed)[0]


def test_a_database_that_is_none_is_a_problem(closed: Path) -> None:
    for path in closed.glob(f"{REGISTRY_FILE}*"):
        path.unlink()
    (closed / REGISTRY_FILE).write_bytes(b"no database, but as long as a page" * 500)
    assert found(closed)[0].startswith(f"{REGISTRY_FILE}: ")


def test_a_directory_without_a_registry_is_no_state(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="holds no registry"):
        found(tmp_path)
    assert list(tmp_path.iterdir()) == []


# --- backup and restore


def test_a_backup_restores_everything(
    registry: Registry, state: Path, target: Path, tmp_path: Path
) -> None:
    issued = KeyRing.open(state).signer.issue(PredictionId(bytes(8), 1, 2, 0.5), bytes(NONCE_BYTES))
    made = back_up(state, target, quiet, events=True)
    assert made.manifest.events
    publish(registry, seed=7)  # what comes later is in no backup

    restored = tmp_path / "restored"
    assert restore(target, restored, quiet) == made.manifest
    assert found(restored) == []
    assert [path.name for path in sorted(restored.iterdir())] == [
        "events",
        KEY_FILE,
        REGISTRY_FILE,
        "store",
    ]
    again = Registry.open(restored, BACKBONE)
    try:
        assert [one.version for one in again.versions("acme", "support")] == [1, 2]
        assert again.rollout("acme", "support").live == 1
        version = again.version("acme", "support", 1)
        assert again.extra_file(version, "README.md") == OTHERS["README.md"]
        adapter = again.load_adapter(version.digest, manifest_of("bert"))
        assert adapter.digest == version.digest
        assert publish(again, seed=9) == 3
    finally:
        again.close()
    assert KeyRing.open(restored).signer.read(issued).class_index == 2
    assert ids_of(read_all(restored / "events")) == ["label-0", "label-1"]


@pytest.mark.usefixtures("registry")
def test_without_being_asked_for_the_event_log_stays_out(
    state: Path, target: Path, tmp_path: Path
) -> None:
    made = back_up(state, target, quiet)
    assert not any(name.startswith("events/") for name in made.manifest.files)
    restore(target, tmp_path / "restored", quiet)
    assert not (tmp_path / "restored" / "events").exists()


@pytest.mark.usefixtures("registry")
def test_a_backup_can_be_read_by_its_owner_alone(state: Path, target: Path) -> None:
    before = os.umask(0)
    try:
        back_up(state, target, quiet)
        restored = target.with_name("restored")
        restore(target, restored, quiet)
    finally:
        os.umask(before)
    for root in (target, restored):
        for path in [root, *root.rglob("*")]:
            if path.name not in ("lock", "store"):
                assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.usefixtures("registry")
def test_a_backup_leaves_the_state_as_it_was(state: Path, target: Path) -> None:
    before = tree(state / "store")
    back_up(state, target, quiet, events=True)
    assert tree(state / "store") == before
    assert all(path.stat().st_nlink == 1 for path in (state / "store").rglob("*.safetensors"))


def test_a_backup_while_versions_come_and_go_is_of_one_moment(
    registry: Registry, state: Path, tmp_path: Path
) -> None:
    stopped = threading.Event()

    def work() -> None:
        seed = 100
        while not stopped.is_set():
            number = publish(registry, seed)
            registry.set_rollout("acme", "support", {"live": number}, None, "tests")
            registry.delete_version("acme", "support", number - 1, "tests")
            seed += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for number in range(3):
            back_up(state, tmp_path / f"{number}.tar", quiet)
    finally:
        stopped.set()
        thread.join()
    for number in range(3):
        restored = tmp_path / f"restored-{number}"
        restore(tmp_path / f"{number}.tar", restored, quiet)
        assert found(restored) == []


def test_what_was_deleted_in_between_is_looked_up_again(
    registry: Registry, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[Path] = []
    keep_copy = schema.keep_copy

    def deleting(path: Path, copy: Path) -> None:
        keep_copy(path, copy)
        copies.append(copy)
        if len(copies) == 1:
            digest = registry.version("acme", "support", 2).digest
            registry.delete_version("acme", "support", 2, "tests")
            name = digest.removeprefix("sha256:")
            shutil.rmtree(state / "store" / "adapters" / name[:2] / name)  # the grace is over

    monkeypatch.setattr(schema, "keep_copy", deleting)
    back_up(state, tmp_path / "backup.tar", quiet)
    assert len(copies) == 2
    restore(tmp_path / "backup.tar", tmp_path / "restored", quiet)
    assert found(tmp_path / "restored") == []


def test_a_service_that_starts_meanwhile_sweeps_nothing_away(closed: Path, target: Path) -> None:
    started = 0

    def progress(what: str, done: int, total: int) -> None:
        nonlocal started
        del done, total
        if what == "writing" and not started:
            Registry.open(closed, BACKBONE).close()
            started += 1

    back_up(closed, target, progress)
    assert started
    restore(target, target.with_name("restored"), quiet)


KILLED = """
import os, sys
from pathlib import Path
from service.state_tools.backup import back_up

def progress(what, done, total):
    if what == "writing":
        os._exit(9)

back_up(Path(sys.argv[1]), Path(sys.argv[2]), progress)
"""


def test_what_a_killed_backup_left_is_swept_at_the_next_start(closed: Path, target: Path) -> None:
    arguments = [sys.executable, "-c", KILLED, str(closed), str(target)]
    ended = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 9, ended.stderr
    assert not target.exists()
    assert len(list((closed / "store" / "tmp").iterdir())) == 1
    assert found(closed) == []
    Registry.open(closed, BACKBONE).close()
    assert list((closed / "store" / "tmp").iterdir()) == []


@pytest.mark.usefixtures("registry")
def test_a_file_that_is_missing_or_damaged_is_named_and_nothing_is_written(
    state: Path, target: Path
) -> None:
    damage(adapter_file(state))
    with pytest.raises(StateDamaged, match=r"not backed up.*safetensors was altered"):
        back_up(state, target, quiet)
    shutil.rmtree(adapter_file(state).parent)
    with pytest.raises(StateDamaged, match="names 1 files that are not there"):
        back_up(state, target, quiet)
    assert [path.name for path in target.parent.iterdir()] == ["state"]
    assert list((state / "store" / "tmp").iterdir()) == []


@pytest.mark.usefixtures("registry")
def test_a_backup_is_written_over_nothing(state: Path, target: Path) -> None:
    target.write_text("mine")
    with pytest.raises(Conflict, match="is there already"):
        back_up(state, target, quiet)
    assert target.read_text() == "mine"


@pytest.mark.usefixtures("registry")
def test_a_full_disk_leaves_no_half_of_a_backup(
    state: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    copied = False

    def progress(what: str, done: int, total: int) -> None:
        nonlocal copied
        del done, total
        if what == "writing" and not copied:
            copied = True
            monkeypatch.setattr("service.state_tools.files.os.fsync", full)

    with pytest.raises(StoreFull, match="No space left"):
        back_up(state, target, progress)
    monkeypatch.undo()
    assert [path.name for path in target.parent.iterdir()] == ["state"]


def test_without_hard_links_files_are_copied(
    closed: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refusing)
    back_up(closed, target, quiet, events=True)
    restored = target.with_name("restored")
    restore(target, restored, quiet)
    assert found(restored) == []


# --- restoring what is not as it was


def rewrite_tar(path: Path, change: Callable[[str, bytes], tuple[str, bytes] | None]) -> None:
    """Write a tar anew, with members changed or left out."""
    members: list[tuple[str, bytes]] = []
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            changed = change(member.name, file.read())
            if changed is not None:
                members.append(changed)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, BytesIO(data))


def evil_name(name: str, data: bytes) -> tuple[str, bytes]:
    return ("../escaped", data) if name == KEY_FILE else (name, data)


def without_keys(name: str, data: bytes) -> tuple[str, bytes] | None:
    return None if name == KEY_FILE else (name, data)


def changed_keys(name: str, data: bytes) -> tuple[str, bytes]:
    return (name, data[:-1] + b" ") if name == KEY_FILE else (name, data)


def without_manifest(name: str, data: bytes) -> tuple[str, bytes] | None:
    return None if name == MANIFEST_FILE else (name, data)


def unnamed(name: str, data: bytes) -> tuple[str, bytes]:
    if name != MANIFEST_FILE:
        return name, data
    document = json.loads(data)
    del document["files"][KEY_FILE]
    return name, json.dumps(document).encode()


def later_format(name: str, data: bytes) -> tuple[str, bytes]:
    return name, data.replace(b'"format": 1', b'"format": 2') if name == MANIFEST_FILE else data


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (evil_name, "holds '../escaped'"),
        (without_keys, f"{KEY_FILE} is missing"),
        (changed_keys, f"{KEY_FILE} is not as it was written"),
        (without_manifest, f"no {MANIFEST_FILE}"),
        (unnamed, f"{KEY_FILE} is not in its manifest"),
        (later_format, "format 2"),
    ],
)
def test_a_tar_that_was_changed_is_refused_and_leaves_nothing(
    state: Path,
    tmp_path: Path,
    change: Callable[[str, bytes], tuple[str, bytes] | None],
    words: str,
) -> None:
    back_up(state, tmp_path / "backup.tar", quiet)
    rewrite_tar(tmp_path / "backup.tar", change)
    restored = tmp_path / "restored"
    with pytest.raises(StateDamaged, match=words):
        restore(tmp_path / "backup.tar", restored, quiet)
    assert set(tree(restored)) <= {"store/lock"}
    assert not (tmp_path / "escaped").exists()


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_tar_that_was_cut_off_is_refused(state: Path, tmp_path: Path, share: float) -> None:
    backup = tmp_path / "backup.tar"
    back_up(state, backup, quiet)
    end = backup.read_bytes().rfind(MANIFEST_FILE.encode())  # zeros that follow say nothing
    backup.write_bytes(backup.read_bytes()[: int(end * share)])
    with pytest.raises(StateDamaged):
        restore(backup, tmp_path / "restored", quiet)


@pytest.mark.usefixtures("registry")
def test_a_folder_that_was_changed_is_refused(state: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    back_up(state, backup, quiet)
    path = min(backup.glob("store/files/*/*"))
    damage(path)
    with pytest.raises(StateDamaged, match="is not as it was written"):
        restore(backup, tmp_path / "restored", quiet)
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(StateDamaged, match="is missing"):
        restore(backup, tmp_path / "restored", quiet)
    with pytest.raises(StateDamaged, match="is no backup"):
        restore(state, tmp_path / "restored", quiet)
    with pytest.raises(InvalidSettings, match="is not there"):
        restore(tmp_path / "nowhere", tmp_path / "restored", quiet)


def test_a_restore_goes_into_an_empty_directory_alone(
    registry: Registry, state: Path, target: Path
) -> None:
    back_up(state, target, quiet)
    with pytest.raises(Conflict, match="a service has"):
        restore(target, state, quiet)
    registry.close()
    before = tree(state)
    with pytest.raises(Conflict, match="is not empty"):
        restore(target, state, quiet)
    assert tree(state) == before


@pytest.mark.usefixtures("registry")
def test_a_service_that_starts_meanwhile_keeps_what_it_made(state: Path, target: Path) -> None:
    back_up(state, target, quiet)
    restored = target.with_name("restored")

    def progress(what: str, done: int, total: int) -> None:
        del done, total
        if what == "checking" and not (restored / REGISTRY_FILE).exists():
            sqlite3.connect(restored / REGISTRY_FILE).execute("CREATE TABLE theirs (x)").close()

    with pytest.raises(Conflict, match="began to use"):
        restore(target, restored, progress)
    assert set(tree(restored)) == {REGISTRY_FILE, "store/lock"}
    with sqlite3.connect(restored / REGISTRY_FILE) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    database.close()


# --- the commands


Run = Callable[..., tuple[object, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def ran(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as stopped:
            command.run(["state", *arguments], COMMANDS)
        said = capsys.readouterr()
        return stopped.value.code or 0, said.out, said.err

    return ran


def document(ran: tuple[object, str, str]) -> Any:
    return json.loads(ran[1])


@pytest.mark.usefixtures("registry")
def test_check_exits_with_1_where_something_is_wrong(state: Path, run: Run) -> None:
    where = ("--state", str(state))
    assert run("check", *where) == (0, f"{state} is whole\n", "")
    assert document(run("check", *where, "--json")) == {
        "state": str(state),
        "whole": True,
        "problems": [],
    }
    damage(adapter_file(state))
    status, out, _ = run("check", *where)
    assert (status, "was altered" in out) == (1, True)
    told = run("check", *where, "--json")
    assert (told[0], document(told)["whole"]) == (1, False)
    assert "was altered" in document(told)["problems"][0]["what"]
    nowhere = run("check", "--state", str(state / "nowhere"))
    assert (nowhere[0], nowhere[2]) == (
        1,
        f"tenantry: {state / 'nowhere'} holds no registry: there is no {REGISTRY_FILE} in it\n",
    )


@pytest.mark.usefixtures("registry")
def test_backup_and_restore_from_the_command_line(state: Path, run: Run, target: Path) -> None:
    made = document(run("backup", str(target), "--state", str(state), "--events", "--json"))
    assert (made["backup"], made["events"]) == (str(target), True)
    restored = target.with_name("restored")
    status, out, _ = run("restore", str(target), "--state", str(restored))
    assert status == 0
    assert f"next: tenantry serve --bundle BUNDLE --state {restored}" in out
    again = run("restore", str(target), "--state", str(restored))
    assert (again[0], "is not empty" in again[2]) == (1, True)
    assert run("backup", str(target), "--state", str(state))[0] == 1


def test_keys_rotate_and_old_ids_are_still_read(closed: Path, run: Run) -> None:
    status, out, _ = run("rotate-keys", "--state", str(closed))
    assert (status, out) == (0, "key 1 signs from now on; 1 older ones are still read\n")
    assert document(run("rotate-keys", "--state", str(closed), "--json")) == {
        "current": 2,
        "kept": [0, 1],
        "dropped": None,
    }
    for _ in range(13):
        run("rotate-keys", "--state", str(closed))
    status, out, _ = run("rotate-keys", "--state", str(closed))
    assert "key 0 made room" in out
    (closed / KEY_FILE).chmod(0o644)
    status, _, err = run("rotate-keys", "--state", str(closed))
    assert (status, "chmod 600" in err) == (1, True)


def test_a_tenant_s_events_are_erased(
    closed: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ("--state", str(closed), "--tenant", "acme")
    monkeypatch.setattr("sys.stdin", StringIO("n\n"))
    assert run("erase", *where)[0] == 1
    assert ids_of(read_all(closed / "events")) == ["label-0", "label-1"]
    erased = document(run("erase", *where, "--yes", "--json"))
    assert (erased["events"], erased["segments"], erased["unsealed"]) == (1, 1, [])
    assert ids_of(read_all(closed / "events")) == ["label-1"]
    assert run("erase", "--state", str(closed), "--tenant", "../x", "--yes")[0] == 1


def test_a_directory_that_cannot_be_entered_is_one_line(closed: Path, run: Run) -> None:
    (closed / "store" / "lock").unlink()
    (closed / "store" / "lock").mkdir()
    status, _, err = run("backup", str(closed.with_name("x.tar")), "--state", str(closed))
    assert (status, err.count("\n")) == (1, 1)


def test_events_of_a_request_are_found_and_their_text_is_not_told(tmp_path: Path, run: Run) -> None:
    with open_log(tmp_path / "events") as log:
        log.predictions(block_of(count=2, first=1, trace_id="t" * 32))
        log.predictions(block_of(first=7, texts=["secret words"]))
        log.append([label_of(1)]).result(20.0)
    where = ("find", "--state", str(tmp_path), "--json")
    for option, value, ids in (
        ("--request-id", "request-1", ["acme-1", "acme-2"]),
        ("--trace-id", "t" * 32, ["acme-1", "acme-2"]),
        ("--prediction-id", "acme-7", ["acme-7"]),
    ):
        status, out, _ = run(*where, option, value)
        found = [json.loads(line) for line in out.splitlines()]
        assert (status, [event["prediction_id"] for event in found]) == (0, ids)
        assert found[0]["digest"] == "sha256:" + "d" * 64
        assert not {"text", "embedding", "probabilities", "fingerprint"} & found[0].keys()
        assert None not in found[0].values()
    shown = run(*where[:-1], "--prediction-id", "acme-7")[1]
    assert re.search("^prediction_id +acme-7$", shown, re.MULTILINE)
    assert "secret" not in shown
    assert not list((tmp_path / "events").glob("readers/*"))  # retention does not wait for it


def test_what_the_log_does_not_have_is_not_found(closed: Path, run: Run) -> None:
    where = ("find", "--state", str(closed))
    assert run(*where, "--trace-id", "0" * 32)[:2] == (1, "")
    assert run(*where)[0] == 2
    assert run(*where, "--trace-id", "a", "--request-id", "b")[0] == 2
