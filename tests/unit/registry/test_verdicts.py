"""What the gate said of a version, and what it takes to let it answer all the same."""

from pathlib import Path

import pytest

from service.errors import NotPermitted, UnacceptableRequest
from service.registry.records import Rollout
from service.registry.registry import Registry
from service.uploads.package import Package
from tests.fakes.manifests import manifest_of
from tests.fakes.packages import package_of

MANIFEST = manifest_of("bert", endings=("layer.0.attention.self.query",))
OTHER = "sha256:" + "c" * 64
FORCED = {"live": 2, "force": {"reason": "the gate is wrong: ticket 7"}}


def package(seed: int = 0, **changes: object) -> Package:
    return package_of(MANIFEST, seed=seed, **changes)  # type: ignore[arg-type]


@pytest.fixture
def judged(registry: Registry) -> Registry:
    """A registry where `acme.routing` has a validated and a rejected version."""
    registry.publish("acme", "routing", package(0), {"accuracy": 0.9}, "ann")
    rejected, created = registry.publish(
        "acme", "routing", package(1), {"accuracy": 0.1}, "ann", state="rejected"
    )
    assert created
    assert (rejected.version, rejected.state, rejected.verdict) == (2, "rejected", "rejected")
    return registry


def put(registry: Registry, document: dict[str, object], *, may_force: bool = True) -> Rollout:
    return registry.set_rollout("acme", "routing", document, None, "ann", may_force=may_force)


def test_a_verdict_is_kept_with_its_report(judged: Registry) -> None:
    found = [(v.state, v.verdict, v.report) for v in judged.versions("acme", "routing")]
    assert found == [
        ("validated", "validated", {"accuracy": 0.9}),
        ("rejected", "rejected", {"accuracy": 0.1}),
    ]
    line = judged.audit("acme").lines[-1]
    assert line.after == {
        "version": 2,
        "digest": package(1).digest,
        "verdict": "rejected",
    }


def test_the_same_content_again_has_the_verdict_that_it_has(judged: Registry) -> None:
    again, created = judged.publish("acme", "routing", package(1), {"accuracy": 1.0}, "bob")
    assert not created
    assert (again.state, again.report) == ("rejected", {"accuracy": 0.1})
    assert judged.version("acme", "routing", 2) == again


def test_known_content_is_found_by_its_digest(judged: Registry) -> None:
    found = judged.find_version_of("acme", "routing", package(1).digest)
    assert found == judged.version("acme", "routing", 2)
    for tenant, adapter, digest in (
        ("acme", "routing", package(2).digest),
        ("acme", "spam", package(1).digest),
        ("nobody", "routing", package(1).digest),
    ):
        assert judged.find_version_of(tenant, adapter, digest) is None
    judged.delete_version("acme", "routing", 2, "ann")
    assert judged.find_version_of("acme", "routing", package(1).digest) is None


@pytest.mark.parametrize(
    "document",
    [
        {"live": 2},
        {"live": 1, "canary": {"version": 2, "percent": 1}},
        {"live": 1, "shadow": [2]},
    ],
)
def test_a_rejected_version_needs_force_in_any_role(
    judged: Registry, document: dict[str, object]
) -> None:
    with pytest.raises(UnacceptableRequest, match="version 2 was rejected by the upload gate"):
        put(judged, document)
    forced = put(judged, {**document, "force": {"reason": "on trial"}})
    assert forced.document() == {**document, "force": {"reason": "on trial"}}
    assert judged.version("acme", "routing", 2).state in ("live", "canary", "shadow")
    assert judged.version("acme", "routing", 2).verdict == "rejected"


def test_force_is_for_those_who_may(judged: Registry) -> None:
    for document in (FORCED, {"live": 1, "force": {"reason": "for the sake of it"}}):
        with pytest.raises(NotPermitted, match="the scope admin"):
            put(judged, document, may_force=False)
    assert judged.rollout("acme", "routing").revision == 0
    assert put(judged, {"live": 1}, may_force=False).revision == 1


def test_a_reason_is_in_the_audit_trail(judged: Registry) -> None:
    put(judged, {"live": 1})
    put(judged, FORCED)
    line = judged.audit("acme").lines[-1]
    assert line.after == {"revision": 2, **FORCED}
    assert judged.rollout("acme", "routing").forced == "the gate is wrong: ticket 7"


def test_another_reason_is_another_document(judged: Registry) -> None:
    assert put(judged, FORCED).revision == 1
    assert put(judged, FORCED).revision == 1
    assert put(judged, {"live": 2, "force": {"reason": "another"}}).revision == 2


def test_force_does_not_make_a_version_appear(judged: Registry) -> None:
    with pytest.raises(UnacceptableRequest, match="no version 3"):
        put(judged, {"live": 3, "force": {"reason": "please"}})


def test_what_was_forced_once_can_be_rolled_back_to(judged: Registry) -> None:
    put(judged, FORCED)
    put(judged, {"live": 1})
    assert judged.rollback("acme", "routing", None, "bob").document() == FORCED
    assert judged.route("acme", "routing", None).version == 2


def test_a_rejected_version_that_was_live_is_retired(judged: Registry) -> None:
    put(judged, FORCED)
    put(judged, {"live": 1})
    assert judged.version("acme", "routing", 2).state == "retired"
    with pytest.raises(UnacceptableRequest, match="was rejected"):
        put(judged, {"live": 2})


def test_another_bundle_judges_anew(judged: Registry, state: Path) -> None:
    put(judged, {"live": 1})
    judged.close()
    registry = Registry.open(state, OTHER)
    for seed in (0, 1):
        assert registry.find_version_of("acme", "routing", package(seed).digest) is None
    again, created = registry.publish(
        "acme", "routing", package(0, backbone=OTHER), {"n": 1}, "ann", state="rejected"
    )
    assert not created
    assert (again.state, again.verdict, again.report) == ("live", "rejected", {"n": 1})
    assert registry.version("acme", "routing", 1) == again
    again, _ = registry.publish("acme", "routing", package(1, backbone=OTHER), {"n": 2}, "ann")
    assert (again.state, again.verdict) == ("validated", "validated")
    line = registry.audit("acme").lines[-1]
    assert (line.action, line.before["verdict"], line.after["verdict"]) == (
        "version.rejudged",
        "rejected",
        "validated",
    )
    registry.close()
