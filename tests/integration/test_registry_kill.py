"""What was acknowledged is there after `kill -9`, and nothing is half there."""

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from service.registry.records import TenantSettings
from service.registry.registry import Registry
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


def check(state: Path, acknowledged: dict[int, str], live: int | None) -> int:
    """Hold a state that nobody has open against what was acknowledged; return its versions.

    The last change before a kill may be there without its acknowledgement, but whole.
    """
    registry = Registry.open(state, BACKBONE)
    try:
        versions = registry.versions("acme", "routing") if registry.adapters("acme") else []
        found = {version.version: version.digest for version in versions}
        assert {number: found.get(number) for number in acknowledged} == acknowledged
        assert len(found) <= len(acknowledged) + KILLS
        for version in versions:
            adapter = registry.load_adapter(version.digest, MANIFEST)
            assert all(np.isfinite(a).all() for a, _ in adapter.deltas.values())
            assert registry.route("acme", "routing", version.version).digest == version.digest
            assert registry.extra_file(version, "README.md") is not None
        if live is not None:
            assert registry.route("acme", "routing", None).version >= live
        lines = registry.audit(limit=1_000).lines
        published = [line.after for line in lines if line.action == "version.published"]
        assert [(line["version"], line["digest"]) for line in published] == sorted(found.items())
        store = state / "store"
        named = {version.digest.removeprefix("sha256:") for version in versions}
        assert {folder.name for folder in (store / "adapters").glob("*/*")} == named
        cards = {version.extras["README.md"].removeprefix("sha256:") for version in versions}
        assert {file.name for file in (store / "files").glob("*/*")} == cards
        assert list((store / "tmp").iterdir()) == []
        return len(versions)
    finally:
        registry.close()


def test_whatever_was_acknowledged_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    draw = random.Random(20250301)
    acknowledged: dict[int, str] = {}
    live = None
    for kill in range(KILLS):
        with publisher(tmp_path, 1_000 * kill) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            time.sleep(draw.uniform(0.0, 0.25))
            process.kill()
            lines += process.stdout.read().splitlines(keepends=True)
        for line in lines:
            if not line.endswith("\n"):
                continue  # the kill came while it was printed
            what, number, rest = line.split()
            if what == "version":
                assert int(number) not in acknowledged
                acknowledged[int(number)] = rest
            else:
                live = int(rest)
        check(tmp_path, acknowledged, live)
    assert len(acknowledged) >= KILLS


@pytest.mark.parametrize("first", [True, False], ids=["first upload", "another upload"])
def test_a_death_in_any_call_that_writes_leaves_all_or_nothing(tmp_path: Path, first: bool) -> None:
    registry = Registry.open(tmp_path, BACKBONE)
    registry.put_tenant("acme", TenantSettings(), "test")
    if not first:
        package = package_of(MANIFEST, others={"README.md": b"# card"})
        registry.publish("acme", "routing", package, {}, "test")
    registry.close()
    before = check(tmp_path, {}, None)
    deaths = 0
    with publisher(tmp_path, 7, "dying") as process:
        assert process.stdout is not None
        assert process.stdin is not None
        while (said := process.stdout.readline()) == "died\n":
            # It dies before the commit, and prints what it acknowledges before it says so.
            assert check(tmp_path, {}, None) == before
            deaths += 1
            process.stdin.write("\n")
            process.stdin.flush()
        assert said.startswith(f"version {before + 1} ")
        process.stdin.close()
        process.stdout.read()
        assert process.wait() == 0
    assert deaths >= 10
    assert check(tmp_path, {}, None) == before + 1
