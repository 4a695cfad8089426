"""A state directory that is not whole is told of, thing by thing."""

import shutil
import sqlite3
import threading
from collections.abc import Container, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from service.engine.digest import of_bytes
from service.errors import InvalidSettings
from service.registry.inspection import problems_of_state
from service.registry.registry import Registry
from service.registry.store import Digests, Progress, Store
from service.uploads.package import Package
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.packages import CONFIG, WEIGHTS, package_of
from tests.unit.registry.conftest import FakeClock
from tests.unit.registry.test_schema import state_of

MANIFEST = manifest_of("bert", endings=("layer.0.attention.self.query",))
FILE = "registry.sqlite3"


def package(seed: int = 0) -> Package:
    return package_of(MANIFEST, seed=seed, others={"README.md": b"card %d" % seed})


@pytest.fixture
def whole(registry: Registry) -> Registry:
    for seed in range(3):
        registry.publish("acme", "routing", package(seed), {}, "ann")
    registry.set_rollout(
        "acme", "routing", {"live": 1, "canary": {"version": 2, "percent": 5}}, None, "ann"
    )
    return registry


def told(registry: Registry) -> list[str]:
    return [str(problem) for problem in registry.problems()]


def folder_of(registry: Registry, seed: int) -> Path:
    return registry._store.folder(package(seed).digest)


def test_a_whole_state_has_no_problems(whole: Registry, state: Path) -> None:
    assert told(whole) == []
    whole.close()
    assert list(problems_of_state(state)) == []


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, "identity.json"])
def test_an_altered_file_is_told_of_with_its_digest(whole: Registry, name: str) -> None:
    path = folder_of(whole, 1) / name
    data = bytearray(path.read_bytes())
    at = data.index(b"8") if name == CONFIG else len(data) // 2
    data[at] ^= 1
    path.write_bytes(data)
    (problem,) = told(whole)
    assert package(1).digest in problem
    assert name in problem


def test_missing_files_are_told_of(whole: Registry) -> None:
    shutil.rmtree(folder_of(whole, 0))
    (folder_of(whole, 2) / WEIGHTS).unlink()
    card = whole._store.file(of_bytes(b"card 1"))
    card.unlink()
    found = told(whole)
    assert len(found) == 3
    assert any(f"{package(0).digest} is missing" in problem for problem in found)
    assert any(package(2).digest in problem and WEIGHTS in problem for problem in found)
    assert any(f"{of_bytes(b'card 1')} is missing" in problem for problem in found)


def test_an_altered_card_is_told_of(whole: Registry) -> None:
    whole._store.file(of_bytes(b"card 1")).write_bytes(b"another")
    (problem,) = told(whole)
    assert f"{of_bytes(b'card 1')} was altered" in problem


def test_what_nothing_names_is_told_of(whole: Registry, state: Path) -> None:
    orphan = state / "store" / "adapters" / "aa" / ("a" * 64)
    orphan.mkdir(parents=True)
    stray = state / "store" / "files" / "bb" / "notes.txt"
    stray.parent.mkdir(exist_ok=True)
    stray.write_text("x")
    (folder_of(whole, 0) / "model.bin").write_bytes(b"x")
    found = told(whole)
    assert len(found) == 3
    assert any(f"adapters/aa/{'a' * 64}: no version names it" in problem for problem in found)
    assert any("files/bb/notes.txt: no version names it" in problem for problem in found)
    assert any("its folder holds model.bin too" in problem for problem in found)


def test_what_a_tombstone_names_may_be_there_or_not(whole: Registry, clock: FakeClock) -> None:
    whole.delete_version("acme", "routing", 3, "ann")
    assert folder_of(whole, 2).exists()
    assert told(whole) == []
    shutil.rmtree(folder_of(whole, 2))
    assert told(whole) == []
    clock.pass_s(1_000)
    whole.publish("acme", "routing", package(4), {}, "ann")
    assert told(whole) == []


def test_a_rollout_that_names_what_is_not_there_is_told_of(whole: Registry, state: Path) -> None:
    with closing(sqlite3.connect(state / FILE)) as connection:
        connection.execute("UPDATE versions SET deleted_at = '2025' WHERE number < 3")
        connection.execute(
            "INSERT INTO rollouts VALUES (99,'acme','x',1,7,NULL,'a','b',NULL,NULL,'[8]',NULL)"
        )
        connection.commit()
    assert told(whole) == [
        "acme.routing: its rollout names version 1 as live, and there is none",
        "acme.routing: its rollout names version 2 as canary, and there is none",
        "acme.x: its rollout names version 7 as live, and there is none",
        "acme.x: its rollout names version 8 as shadow, and there is none",
    ]


def test_versions_of_no_tenant_are_told_of(whole: Registry, state: Path) -> None:
    with closing(sqlite3.connect(state / FILE)) as connection:
        connection.execute("DELETE FROM tenants")
        connection.commit()
    assert told(whole) == ["acme.routing: it has versions, and there is no such tenant"]


def test_a_damaged_database_is_told_of(whole: Registry, state: Path) -> None:
    for i in range(50):
        whole.note_refused("acme", f"a{i}", [], "ann")
    whole.close()
    with closing(sqlite3.connect(state / FILE)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    data = bytearray((state / FILE).read_bytes())
    for page in range(2, len(data) // size):
        data[page * size : page * size + 64] = bytes(64)
    (state / FILE).write_bytes(data)
    found = [str(problem) for problem in problems_of_state(state)]
    assert found
    assert all(problem.startswith(f"{FILE}: ") for problem in found)


def test_progress_is_told(whole: Registry) -> None:
    steps: list[tuple[int, int]] = []
    assert list(whole.problems(lambda done, of: steps.append((done, of)))) == []
    assert steps == [(done, 6) for done in range(1, 7)]  # three adapters and three cards


def test_an_upload_that_comes_in_between_is_no_problem(
    whole: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there before the walk ends, and was not wanted when the walk began."""
    check = Store.check

    def slow(
        self: Store,
        wanted: Digests,
        allowed: Digests,
        progress: Progress | None = None,
        only: Container[str] | None = None,
    ) -> Iterator[tuple[str, str]]:
        if only is None:
            uploading = threading.Thread(
                target=lambda: whole.publish("acme", "routing", package(7), {}, "ann")
            )
            uploading.start()
            uploading.join()
            shutil.rmtree(folder_of(whole, 0))
        return check(self, wanted, allowed, progress, only)

    monkeypatch.setattr(Store, "check", slow)
    (problem,) = told(whole)
    assert f"{package(0).digest} is missing" in problem


def test_where_there_is_no_registry_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="holds no registry"):
        list(problems_of_state(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidSettings, match="holds no registry"):
        list(problems_of_state(tmp_path / "empty"))
    assert list((tmp_path / "empty").iterdir()) == []


def test_looking_does_not_migrate(tmp_path: Path) -> None:
    state = state_of(1, tmp_path / "old")
    (problem,) = map(str, problems_of_state(state))
    assert "has schema 1" in problem
    with closing(sqlite3.connect(state / FILE)) as connection:
        assert connection.execute("SELECT value FROM about").fetchone() == ("1",)


def test_looking_keeps_others_from_sweeping(whole: Registry, state: Path) -> None:
    whole.close()
    orphan = state / "store" / "adapters" / "aa" / ("a" * 64)
    orphan.mkdir(parents=True)
    looking = problems_of_state(state)
    next(looking)
    Registry.open(state, BACKBONE).close()
    assert orphan.exists()
    looking.close()  # type: ignore[attr-defined]
    Registry.open(state, BACKBONE).close()
    assert not orphan.exists()
