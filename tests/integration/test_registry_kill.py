"""What was acknowledged is there after `kill -9`, and nothing is half there."""

import json
import random
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from service.registry.records import TenantSettings
from service.registry.registry import Registry
from service.registry.routes import for_one_request
from tests.fakes.manifests import BACKBONE
from tests.fakes.packages import package_of
from tests.fakes.publisher import MANIFEST

ROOT = Path(__file__).resolve().parents[2]
KILLS = 8


def publisher(*args: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.publisher", *map(str, args)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@dataclass
class Book:
    """What was acknowledged."""

    versions: dict[int, str] = field(default_factory=dict)
    revision: int = 0
    document: dict[str, object] | None = None
    keys: dict[str, str] = field(default_factory=dict)  # id -> key
    revoking: set[str] = field(default_factory=set)  # begun, and perhaps done
    revoked: dict[str, str] = field(default_factory=dict)

    def enter(self, line: str) -> None:
        said = json.loads(line)
        if said["what"] == "version":
            assert self.versions.get(said["number"], said["digest"]) == said["digest"]
            self.versions[said["number"]] = said["digest"]
        elif said["what"] == "rollout":
            assert said["revision"] >= self.revision
            self.revision, self.document = said["revision"], said["document"]
        elif said["what"] == "key":
            self.keys[said["id"]] = said["key"]
        elif said["what"] == "revoking":
            self.revoking.add(said["id"])
        elif said["id"] in self.keys:  # it may have been made without acknowledgement
            self.revoked[said["id"]] = self.keys.pop(said["id"])


def check(state: Path, book: Book, unsaid: int) -> None:
    """Hold a state that nobody has open against what was acknowledged.

    So many changes may be there without their acknowledgement, but whole: those that were being
    made when a kill came.
    """
    with closing(Registry.open(state, BACKBONE)) as registry:
        check_versions(registry, state, book, unsaid)
        check_rollout(registry, book, unsaid)
        check_keys(registry, book, unsaid)
        assert list(registry.problems()) == []


def check_versions(registry: Registry, state: Path, book: Book, unsaid: int) -> None:
    versions = registry.versions("acme", "routing") if registry.adapters("acme") else []
    found = {version.version: version.digest for version in versions}
    assert {number: found.get(number) for number in book.versions} == book.versions
    assert len(found) <= len(book.versions) + unsaid
    for version in versions:
        adapter = registry.load_adapter(version.digest, MANIFEST)
        assert all(np.isfinite(a).all() for a, _ in adapter.deltas.values())
        assert registry.route("acme", "routing", version.version).digest == version.digest
        assert registry.extra_file(version, "README.md") is not None
    lines = registry.audit(limit=1_000).lines
    published = [line.after for line in lines if line.action == "version.published"]
    assert [(line["version"], line["digest"]) for line in published] == sorted(found.items())
    store = state / "store"
    named = {version.digest.removeprefix("sha256:") for version in versions}
    assert {folder.name for folder in (store / "adapters").glob("*/*")} == named
    cards = {version.extras["README.md"].removeprefix("sha256:") for version in versions}
    assert {file.name for file in (store / "files").glob("*/*")} == cards
    assert list((store / "tmp").iterdir()) == []


def check_rollout(registry: Registry, book: Book, unsaid: int) -> None:
    if not registry.adapters("acme"):
        assert book.document is None
        return
    rollout = registry.rollout("acme", "routing")
    assert book.revision <= rollout.revision <= book.revision + unsaid
    if rollout.revision == book.revision and book.document is not None:
        assert rollout.document() == book.document
    if rollout.live is not None:
        for key in ("a", "b", "c", "d", "e", "f"):
            route = registry.route("acme", "routing", None, key)
            canary = rollout.canary.version if rollout.canary else None
            assert route.version == (canary if route.role == "canary" else rollout.live)
            assert route.revision == rollout.revision
            shadows = for_one_request(route, None, keyed=True).shadows
            assert tuple(shadow.version for shadow in shadows) == rollout.shadows
    lines = registry.audit(limit=1_000).lines
    set_ = [line.after for line in lines if line.action == "rollout.set"]
    assert [line["revision"] for line in set_] == list(range(1, rollout.revision + 1))
    assert not set_ or set_[-1] == {"revision": rollout.revision, **rollout.document()}


def check_keys(registry: Registry, book: Book, unsaid: int) -> None:
    there = {record.id for record in registry.keys("acme")}
    for key_id, key in book.keys.items():
        opens = registry.authenticate(key)
        assert (opens is not None) == (key_id in there)
        assert opens is not None or key_id in book.revoking
    assert sum(key_id not in there for key_id in book.keys) <= unsaid
    for key in book.revoked.values():
        assert registry.authenticate(key) is None
    assert len(there - set(book.keys)) <= unsaid
    lines = registry.audit(limit=1_000).lines
    made = {line.after["id"] for line in lines if line.action == "key.created"}
    gone = {line.before["id"] for line in lines if line.action == "key.revoked"}
    assert made - gone == there


def test_whatever_was_acknowledged_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    draw = random.Random(20250301)
    book = Book()
    for kill in range(KILLS):
        with publisher(tmp_path, 1_000 * kill) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            time.sleep(draw.uniform(0.0, 0.25))
            process.kill()
            lines += process.stdout.read().splitlines(keepends=True)
        for line in lines:
            if line.endswith("\n"):  # else the kill came while it was printed
                book.enter(line)
        check(tmp_path, book, unsaid=kill + 1)
    assert len(book.versions) >= KILLS
    assert book.revision >= KILLS // 2
    assert book.revoked


@pytest.mark.parametrize("first", [True, False], ids=["first upload", "another upload"])
def test_a_death_in_any_step_that_writes_leaves_all_or_nothing(tmp_path: Path, first: bool) -> None:
    """It dies before a commit, and prints what it acknowledges before it goes on."""
    book = Book()
    with closing(Registry.open(tmp_path, BACKBONE)) as registry:
        registry.put_tenant("acme", TenantSettings(), "test")
        for seed in range(0 if first else 2):
            package = package_of(MANIFEST, seed=seed, others={"README.md": b"card %d" % seed})
            number = registry.publish("acme", "routing", package, {}, "test")[0].version
            book.versions[number] = package.digest
    check(tmp_path, book, unsaid=0)
    known = len(book.versions)
    deaths = 0
    with publisher(tmp_path, 7, "dying") as process:
        assert process.stdout is not None
        assert process.stdin is not None
        while (said := process.stdout.readline()) != "lived\n":
            if said == "died\n":
                check(tmp_path, book, unsaid=0)
                deaths += 1
                process.stdin.write("\n")
                process.stdin.flush()
            else:
                book.enter(said)
        process.stdin.close()
        assert process.wait() == 0
    assert deaths >= 40
    check(tmp_path, book, unsaid=0)
    assert len(book.versions) == known + 1
    assert book.document is not None
    assert ("canary" in book.document) == (not first)
    assert book.keys
    assert book.revoked
