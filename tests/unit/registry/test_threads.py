import contextlib
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from service.errors import Conflict, NoLiveVersion, RevisionMismatch, StoreFull, UnknownAdapter
from service.registry.records import TenantSettings
from service.registry.registry import Registry
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.packages import package_of

MANIFEST = manifest_of("bert", endings=("layer.0.attention.self.query",))
PACKAGES = [package_of(MANIFEST, seed=seed) for seed in range(12)]


def test_numbers_are_given_once_however_many_publish(registry: Registry) -> None:
    def publish(i: int) -> tuple[int, str, bool]:
        version, created = registry.publish("acme", "routing", PACKAGES[i % 12], {}, "ann")
        return version.version, version.digest, created

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(publish, range(36)))
    assert sum(created for *_, created in found) == 12
    assert {number for number, *_ in found} == set(range(1, 13))
    assert len({(number, digest) for number, digest, _ in found}) == 12
    for package in PACKAGES:
        assert registry.load_adapter(package.digest, MANIFEST).digest == package.digest


def test_of_those_that_know_one_revision_one_wins(registry: Registry) -> None:
    for package in PACKAGES[:8]:
        registry.publish("acme", "routing", package, {}, "ann")
    start = threading.Barrier(8)

    def put(number: int) -> int | None:
        start.wait()
        try:
            return registry.set_rollout("acme", "routing", {"live": number}, 0, "ann").live
        except RevisionMismatch:
            return None

    with ThreadPoolExecutor(8) as pool:
        won = [live for live in pool.map(put, range(1, 9)) if live is not None]
    assert len(won) == 1
    assert registry.route("acme", "routing", None).version == won[0]


def test_a_route_is_always_one_that_held(registry: Registry) -> None:
    """Readers see only pairs of number and digest that were published, while all changes."""
    digests = {number: package.digest for number, package in enumerate(PACKAGES[:4], start=1)}
    for package in PACKAGES[:4]:
        registry.publish("acme", "routing", package, {}, "ann")
    registry.set_rollout("acme", "routing", {"live": 1}, None, "ann")
    done = threading.Event()
    seen: set[tuple[int, str]] = set()

    def read() -> int:
        count = 0
        while not done.wait(0.0002):
            route = registry.route("acme", "routing", None)
            seen.add((route.version, route.digest))
            with contextlib.suppress(NoLiveVersion, UnknownAdapter):
                registry.route("acme", "other", None)
            count += 1
        return count

    def change() -> None:
        for i in range(20):
            registry.set_rollout("acme", "routing", {"live": 1 + i % 4}, None, "ann")
            registry.publish("acme", "other", PACKAGES[4 + i % 4], {}, "ann")
            with contextlib.suppress(Conflict):
                registry.rollback("acme", "routing", None, "ann")
        done.set()

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        pool.submit(change).result()
        assert all(reader.result() > 0 for reader in readers)
    assert seen <= set(digests.items())
    assert len(seen) > 1


def test_changes_do_not_wait_one_after_another_for_a_database_that_is_held(state: Path) -> None:
    start = threading.Barrier(8)
    with contextlib.closing(Registry.open(state, BACKBONE, busy_s=0.3)) as registry:

        def change(number: int) -> str:
            start.wait()
            try:
                registry.put_tenant(f"tenant-{number}", TenantSettings(), "ann")
            except StoreFull as error:
                return str(error)
            return "changed"

        with contextlib.closing(sqlite3.connect(state / "registry.sqlite3")) as other:
            other.execute("BEGIN EXCLUSIVE")
            with ThreadPoolExecutor(8) as pool:
                said = list(pool.map(change, range(8)))
        assert "the registry cannot be written: another process holds it" in said
        assert "the registry cannot be written: other changes wait for it" in said
        assert registry.tenants() == []
        registry.put_tenant("acme", TenantSettings(), "ann")
