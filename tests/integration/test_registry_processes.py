"""Several processes on one state: each sees what the others change, and one of them migrates."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from service.errors import NoLiveVersion, UnknownAdapter
from service.registry import tables
from service.registry.records import TenantSettings
from service.registry.registry import Registry
from tests.fakes.manifests import BACKBONE
from tests.fakes.patience import until

ROOT = Path(__file__).resolve().parents[2]
DUMP = ROOT / "tests" / "unit" / "registry" / "data" / "schema_1.sql"
ROUNDS = 6

OPEN = f"""
import sys
from pathlib import Path
from service.registry.registry import Registry
print("ready", flush=True)
sys.stdin.readline()
registry = Registry.open(Path(sys.argv[1]), {BACKBONE!r})
print(registry.route("acme", "routing", None).version)
registry.close()
"""


def python(*args: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *map(str, args)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_process_sees_what_another_one_changes(tmp_path: Path) -> None:
    failures: list[int] = []
    with closing(Registry.open(tmp_path, BACKBONE)) as registry:
        registry.put_tenant("acme", TenantSettings(), "test")
        registry.watch(0.02, lambda: None, lambda: failures.append(1))
        with python("-m", "tests.fakes.publisher", tmp_path, 1) as process:
            assert process.stdout is not None
            rounds = 0
            made: dict[str, str] = {}
            for line in process.stdout:
                said = json.loads(line)
                if said["what"] == "rollout":
                    revision = said["revision"]
                    until(lambda r=revision: _revision(registry) >= r)  # type: ignore[misc]
                    rounds += 1
                elif said["what"] == "revoked" and said["id"] in made:
                    until(lambda k=made[said["id"]]: registry.authenticate(k) is None)  # type: ignore[misc]
                elif said["what"] == "key":
                    made[said["id"]] = said["key"]
                    # Both change at once, and neither loses the other's.
                    registry.put_tenant(f"tenant-{rounds}", TenantSettings(), "test")
                if rounds == ROUNDS:
                    break
            process.kill()
        until(lambda: not registry.refresh())
        there = {record.id for record in registry.keys("acme")}
        assert there
        for key_id, key in made.items():
            assert (registry.authenticate(key) is not None) == (key_id in there)
        with closing(Registry.open(tmp_path, BACKBONE)) as fresh:
            assert registry._keeper.view == fresh._keeper.view
    assert failures == []


def _revision(registry: Registry) -> int:
    try:
        return registry.route("acme", "routing", None).revision
    except (UnknownAdapter, NoLiveVersion):
        return 0  # not there yet


def test_processes_that_start_at_once_migrate_once(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "registry.sqlite3")) as connection:
        connection.executescript(DUMP.read_text())
    processes = [python("-c", OPEN, tmp_path) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        out, _ = process.communicate(timeout=60)
        assert (out, process.returncode) == ("2\n", 0)
    with closing(sqlite3.connect(tmp_path / "registry.sqlite3")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [
            (tables.REVISION,)
        ]
    assert (tmp_path / f"registry.sqlite3.before-{tables.REVISION}").exists()
