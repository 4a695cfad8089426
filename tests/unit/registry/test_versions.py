from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.engine.errors import Problem
from service.engine.windows import Windows
from service.errors import (
    AdapterUnreadable,
    Conflict,
    NoLiveVersion,
    UnacceptableRequest,
    UnknownAdapter,
    UnknownTenant,
    UnknownVersion,
)
from service.registry.records import RegistryLimits, Route
from service.registry.registry import Registry
from service.uploads.package import Package
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.packages import package_of

MANIFEST = manifest_of("bert", endings=("layer.0.attention.self.query",))
OTHER = "sha256:" + "c" * 64


def package(seed: int = 0, **changes: object) -> Package:
    return package_of(MANIFEST, seed=seed, **changes)  # type: ignore[arg-type]


def test_a_package_gets_the_next_number(registry: Registry) -> None:
    report = {"probe": {"passed": True}}
    first, created = registry.publish("acme", "routing", package(0), report, "ann")
    assert created
    assert (first.version, first.state, first.report) == (1, "validated", report)
    assert first.digest == package(0).digest
    assert first.labels == ("label 0", "label 1", "label 2")
    assert first.metadata["labels"] == list(first.labels)
    assert first.bytes == package(0).adapter.nbytes
    second, _ = registry.publish("acme", "routing", package(1), {}, "ann")
    assert second.version == 2
    other, _ = registry.publish("acme", "spam", package(0), {}, "ann")
    assert (other.version, other.digest) == (1, first.digest)
    assert registry.versions("acme", "routing") == [first, second]
    assert registry.version("acme", "routing", 2) == second


def test_the_same_content_again_is_the_same_version(registry: Registry) -> None:
    first, _ = registry.publish("acme", "routing", package(0), {"n": 1}, "ann")
    registry.publish("acme", "routing", package(1), {}, "ann")
    again, created = registry.publish("acme", "routing", package(0), {"n": 2}, "bob")
    assert not created
    assert again == first
    assert len(registry.versions("acme", "routing")) == 2
    assert sum(line.action == "version.published" for line in registry.audit().lines) == 2


def test_adapters_are_listed_with_what_is_live(registry: Registry) -> None:
    for seed in range(3):
        registry.publish("acme", "routing", package(seed), {}, "ann")
    registry.publish("acme", "spam", package(0), {}, "ann")
    registry.set_rollout("acme", "routing", {"live": 2}, None, "ann")
    registry.delete_version("acme", "routing", 1, "ann")
    listed = [(a.adapter, a.versions, a.latest, a.live) for a in registry.adapters("acme")]
    assert listed == [("routing", 2, 3, 2), ("spam", 1, 1, None)]


def test_unknown_names_are_told_apart(registry: Registry) -> None:
    registry.publish("acme", "routing", package(), {}, "ann")
    with pytest.raises(UnknownTenant, match="'nobody'"):
        registry.versions("nobody", "routing")
    with pytest.raises(UnknownAdapter, match="'nothing'"):
        registry.versions("acme", "nothing")
    with pytest.raises(UnknownVersion, match="no version 7"):
        registry.version("acme", "routing", 7)
    with pytest.raises(UnknownTenant):
        registry.publish("nobody", "routing", package(), {}, "ann")
    with pytest.raises(UnknownVersion):
        registry.delete_version("acme", "routing", 7, "ann")
    with pytest.raises(UnknownAdapter):
        registry.delete_adapter("acme", "nothing", "ann")


def test_what_is_loaded_is_what_was_published(registry: Registry) -> None:
    sent = package(calibrated=True, temperature=1.5)
    registry.publish("acme", "routing", sent, {}, "ann")
    found = registry.load_adapter(sent.digest, MANIFEST)
    assert found.digest == sent.digest
    assert found.labels == sent.adapter.labels
    assert found.temperature == 1.5
    assert found.rank == sent.adapter.rank
    for target, (a, b) in sent.adapter.deltas.items():
        assert np.array_equal(found.deltas[target][0], a)
        assert np.array_equal(found.deltas[target][1], b)
    for name, tensor in sent.adapter.head.items():
        assert np.array_equal(found.head[name], tensor)


def test_a_deleted_version_leaves_a_tombstone(registry: Registry) -> None:
    version, _ = registry.publish("acme", "routing", package(0), {}, "ann")
    registry.publish("acme", "routing", package(1), {}, "ann")
    registry.delete_version("acme", "routing", 1, "bob")
    with pytest.raises(UnknownVersion):
        registry.version("acme", "routing", 1)
    with pytest.raises(UnknownVersion):
        registry.route("acme", "routing", 1)
    tombstone = registry.versions("acme", "routing", deleted=True)[0]
    assert tombstone.state == "deleted"
    assert (tombstone.digest, tombstone.labels) == (version.digest, version.labels)


def test_numbers_are_never_used_twice(registry: Registry) -> None:
    for seed in range(2):
        registry.publish("acme", "routing", package(seed), {}, "ann")
    registry.delete_version("acme", "routing", 2, "ann")
    again, created = registry.publish("acme", "routing", package(1), {}, "ann")
    assert (again.version, created) == (3, True)
    registry.delete_adapter("acme", "routing", "ann")
    with pytest.raises(UnknownAdapter):
        registry.versions("acme", "routing")
    with pytest.raises(UnknownAdapter):
        registry.route("acme", "routing", None)
    assert registry.publish("acme", "routing", package(0), {}, "ann")[0].version == 4


def test_whoever_asked_is_told_of_deleted_versions_once_they_cannot_be_asked(
    registry: Registry,
) -> None:
    told: list[list[str]] = []

    def tell(digests: Sequence[str]) -> None:
        with pytest.raises((UnknownVersion, UnknownAdapter)):
            registry.route("acme", "routing", len(told) + 1)
        told.append(list(digests))

    registry.on_deleted = tell
    for seed in range(2):
        registry.publish("acme", "routing", package(seed), {}, "ann")
    registry.delete_version("acme", "routing", 1, "ann")
    registry.delete_adapter("acme", "routing", "ann")
    assert told == [[package(0).digest], [package(1).digest]]


def test_what_is_live_cannot_be_deleted(registry: Registry) -> None:
    for seed in range(2):
        registry.publish("acme", "routing", package(seed), {}, "ann")
    registry.set_rollout("acme", "routing", {"live": 2}, None, "ann")
    with pytest.raises(Conflict, match=r"version 2 of acme\.routing is live"):
        registry.delete_version("acme", "routing", 2, "ann")
    with pytest.raises(Conflict, match="is live"):
        registry.delete_adapter("acme", "routing", "ann")
    assert [version.state for version in registry.versions("acme", "routing")] == [
        "validated",
        "live",
    ]


def test_adapters_and_versions_are_bounded(state: Path, registry: Registry) -> None:
    limits = RegistryLimits(adapters_per_tenant_max=2, adapters_max=3, versions_per_adapter_max=2)
    bounded = Registry.open(state, BACKBONE, limits)
    bounded.put_tenant("globex", registry.tenant("acme").settings, "ann")
    for tenant, adapter in (("acme", "a"), ("acme", "b")):
        bounded.publish(tenant, adapter, package(0), {}, "ann")
    with pytest.raises(UnacceptableRequest, match="tenant acme has 2 adapters"):
        bounded.publish("acme", "c", package(0), {}, "ann")
    bounded.publish("globex", "a", package(0), {}, "ann")
    with pytest.raises(UnacceptableRequest, match="holds 3 adapters"):
        bounded.publish("globex", "b", package(0), {}, "ann")
    bounded.publish("acme", "a", package(1), {}, "ann")
    with pytest.raises(UnacceptableRequest, match=r"acme.a has 2 versions"):
        bounded.publish("acme", "a", package(2), {}, "ann")
    assert not bounded.publish("acme", "a", package(1), {}, "ann")[1]
    bounded.delete_version("acme", "a", 1, "ann")
    assert bounded.publish("acme", "a", package(2), {}, "ann")[1]
    bounded.close()


def test_a_refused_upload_leaves_an_audit_line_and_nothing_else(registry: Registry) -> None:
    problems = [Problem(f"key {i}", "is wrong") for i in range(30)]
    registry.note_refused("acme", "routing", problems, "ann")
    line = registry.audit("acme").lines[-1]
    assert (line.action, line.adapter, line.actor) == ("version.refused", "routing", "ann")
    assert line.after["count"] == 30
    assert line.after["problems"][0] == "key 0: is wrong"
    with pytest.raises(UnknownAdapter):
        registry.versions("acme", "routing")


def test_other_files_of_an_upload_belong_to_the_version(registry: Registry) -> None:
    holdout = b'{"text": "a", "label": "label 0"}\n'
    others = {"README.md": b"# card", "holdout.jsonl": holdout}
    first, _ = registry.publish("acme", "routing", package(others=others), {}, "ann")
    second, _ = registry.publish("acme", "spam", package(others={"README.md": b"# 2"}), {}, "ann")
    assert second.digest == first.digest
    assert registry.extra_file(first, "README.md") == b"# card"
    assert registry.extra_file(first, "holdout.jsonl") == holdout
    assert registry.extra_file(second, "README.md") == b"# 2"
    assert registry.extra_file(second, "holdout.jsonl") is None


def test_versions_of_another_bundle_do_not_answer_until_they_are_sent_again(
    state: Path, registry: Registry
) -> None:
    version, _ = registry.publish("acme", "routing", package(), {"n": 1}, "ann")
    registry.publish("acme", "routing", package(1), {}, "ann")
    registry.set_rollout("acme", "routing", {"live": 1}, None, "ann")
    registry.close()
    other = Registry.open(state, OTHER)
    assert other.routes().foreign() == {BACKBONE: 2}
    both = f"another bundle than this server serves: {BACKBONE}, here is {OTHER}"
    with pytest.raises(NoLiveVersion, match=both):
        other.route("acme", "routing", None)
    with pytest.raises(UnknownVersion, match=both):
        other.route("acme", "routing", 1)
    with pytest.raises(UnacceptableRequest, match=OTHER):
        other.set_rollout("acme", "routing", {"live": 2}, None, "ann")
    again, created = other.publish(
        "acme", "routing", package_of(MANIFEST, backbone=OTHER), {"n": 2}, "ann"
    )
    assert not created
    assert (again.version, again.backbone, again.report) == (1, OTHER, {"n": 2})
    assert other.version("acme", "routing", 1) == again
    assert other.route("acme", "routing", None).digest == version.digest
    assert other.routes().foreign() == {BACKBONE: 1}
    other.close()


def test_routes_tell_what_answers(registry: Registry) -> None:
    sent = package(calibrated=True, temperature=2.0)
    registry.publish("acme", "routing", sent, {}, "ann")
    with pytest.raises(NoLiveVersion, match="none is live"):
        registry.route("acme", "routing", None)
    expected = Route("acme", "routing", 1, sent.digest, sent.adapter.labels, True)
    assert expected.role == "pinned"
    assert registry.route("acme", "routing", 1) == expected
    registry.set_rollout("acme", "routing", {"live": 1}, None, "ann")
    live = registry.route("acme", "routing", None)
    assert live == replace(expected, role="live", revision=1)
    assert registry.route("acme", "routing", 1) == expected
    with pytest.raises(UnknownTenant):
        registry.route("nobody", "routing", None)
    with pytest.raises(UnknownAdapter):
        registry.route("acme", "nothing", None)
    with pytest.raises(UnknownVersion):
        registry.route("acme", "routing", 2)


def test_routes_are_there_after_a_restart(state: Path, registry: Registry) -> None:
    sent = package()
    registry.publish("acme", "routing", sent, {}, "ann")
    registry.set_rollout("acme", "routing", {"live": 1}, None, "ann")
    registry.close()
    again = Registry.open(state, BACKBONE)
    assert again.route("acme", "routing", None).digest == sent.digest
    assert again.load_adapter(sent.digest, MANIFEST).digest == sent.digest
    again.close()


def test_another_process_sees_a_change_when_it_reads_anew(state: Path, registry: Registry) -> None:
    other = Registry.open(state, BACKBONE)
    registry.publish("acme", "routing", package(), {}, "ann")
    registry.set_rollout("acme", "routing", {"live": 1}, None, "ann")
    with pytest.raises(UnknownAdapter):
        other.route("acme", "routing", None)
    other.refresh()
    assert other.route("acme", "routing", None).version == 1
    other.close()


def test_an_adapter_that_nobody_published_cannot_be_read(registry: Registry) -> None:
    with pytest.raises(AdapterUnreadable, match=OTHER):
        registry.load_adapter(OTHER, MANIFEST)


def test_windows_come_with_the_route_and_survive_a_restart(state: Path, registry: Registry) -> None:
    registry.publish("acme", "routing", package(), {}, "ann")
    sent = package(windows={"overlap": 4, "max": 8})
    registry.publish("acme", "routing", sent, {}, "ann")
    assert registry.route("acme", "routing", 1).windows is None
    assert registry.route("acme", "routing", 2).windows == Windows(4, 8)
    registry.set_rollout("acme", "routing", {"live": 1, "shadow": [2]}, None, "ann")
    registry.close()
    again = Registry.open(state, BACKBONE)
    live = again.route("acme", "routing", None)
    assert live.windows is None
    assert [shadow.windows for shadow in live.shadows] == [Windows(4, 8)]
    assert again.load_adapter(sent.digest, MANIFEST).digest == sent.digest
    again.close()
