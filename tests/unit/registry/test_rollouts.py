import pytest

from service.errors import Conflict, RevisionMismatch, UnacceptableRequest, UnknownAdapter
from service.registry.registry import Registry
from tests.fakes.manifests import manifest_of
from tests.fakes.packages import package_of

MANIFEST = manifest_of("bert", endings=("layer.0.attention.self.query",))


@pytest.fixture
def published(registry: Registry) -> Registry:
    """A registry where `acme.routing` has three versions."""
    for seed in range(3):
        registry.publish("acme", "routing", package_of(MANIFEST, seed=seed), {}, "ann")
    return registry


def put(registry: Registry, live: object, if_match: int | None = None) -> tuple[int, int | None]:
    rollout = registry.set_rollout("acme", "routing", {"live": live}, if_match, "ann")
    return rollout.revision, rollout.live


def test_before_the_first_document_the_revision_is_0(published: Registry) -> None:
    rollout = published.rollout("acme", "routing")
    assert (rollout.revision, rollout.live, rollout.previous) == (0, None, None)
    assert rollout.document() == {"live": None}


def test_each_change_is_a_revision(published: Registry) -> None:
    assert put(published, 1) == (1, 1)
    assert put(published, 2) == (2, 2)
    assert put(published, None) == (3, None)
    rollout = published.rollout("acme", "routing")
    assert (rollout.revision, rollout.previous, rollout.actor) == (3, 2, "ann")


def test_the_same_document_again_changes_nothing(published: Registry) -> None:
    assert put(published, 1) == (1, 1)
    assert put(published, 1) == (1, 1)
    assert sum(line.action == "rollout.set" for line in published.audit().lines) == 1


def test_a_first_document_may_say_that_nothing_is_live(published: Registry) -> None:
    assert put(published, None) == (1, None)


def test_states_follow_the_rollout(published: Registry) -> None:
    put(published, 1)
    put(published, 2)
    states = [version.state for version in published.versions("acme", "routing")]
    assert states == ["retired", "live", "validated"]


def test_a_caller_that_knows_another_revision_is_refused(published: Registry) -> None:
    put(published, 1, 0)
    with pytest.raises(RevisionMismatch, match="at revision 1, not 0"):
        put(published, 2, 0)
    with pytest.raises(RevisionMismatch):
        published.rollback("acme", "routing", 7, "ann")
    assert put(published, 2, 1) == (2, 2)
    assert published.rollback("acme", "routing", 2, "ann").live == 1


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"live": 1, "canry": {"version": 2, "percent": 10}}, "not canry"),
        ({"live": 1, "shadows": [2], "forced": {"reason": "x"}}, "not forced, shadows"),
        ({}, "which version is `live`"),
        ({"live": "1"}, "number of a version"),
        ({"live": True}, "number of a version"),
        ({"live": 1.0}, "number of a version"),
        ({"live": 0}, "number of a version"),
        ({"live": 9}, "no version 9"),
        ({"live": 10**30}, "no version"),
    ],
)
def test_a_document_that_cannot_be_is_refused(
    published: Registry, document: dict[str, object], reason: str
) -> None:
    with pytest.raises(UnacceptableRequest, match=reason):
        published.set_rollout("acme", "routing", document, None, "ann")
    assert published.rollout("acme", "routing").revision == 0


def test_a_deleted_version_cannot_go_live(published: Registry) -> None:
    published.delete_version("acme", "routing", 1, "ann")
    with pytest.raises(UnacceptableRequest, match="or it was deleted"):
        put(published, 1)


def test_what_has_no_versions_has_no_rollout(published: Registry) -> None:
    with pytest.raises(UnknownAdapter):
        published.rollout("acme", "nothing")
    with pytest.raises(UnknownAdapter):
        published.set_rollout("acme", "nothing", {"live": None}, None, "ann")


def test_rolling_back_goes_back_step_by_step(published: Registry) -> None:
    for number in (1, 2, 3):
        put(published, number)
    first = published.rollback("acme", "routing", None, "bob")
    assert (first.revision, first.live) == (4, 2)
    assert published.route("acme", "routing", None).version == 2
    second = published.rollback("acme", "routing", None, "bob")
    assert (second.revision, second.live) == (5, 1)
    with pytest.raises(Conflict, match="no earlier rollout"):
        published.rollback("acme", "routing", None, "bob")
    assert put(published, 3) == (6, 3)
    assert published.rollback("acme", "routing", None, "bob").live == 1


def test_a_rollback_does_not_go_to_a_version_that_is_gone(published: Registry) -> None:
    put(published, 1)
    put(published, 2)
    published.delete_version("acme", "routing", 1, "ann")
    with pytest.raises(Conflict, match="revision 1 cannot be returned to"):
        published.rollback("acme", "routing", None, "ann")
    assert published.route("acme", "routing", None).version == 2


def test_every_change_has_a_line_with_before_and_after(published: Registry) -> None:
    put(published, 1)
    put(published, 2)
    published.rollback("acme", "routing", None, "bob")
    lines = [line for line in published.audit("acme").lines if "rollout" in line.action]
    assert [(line.actor, line.action, line.before, line.after) for line in lines] == [
        ("ann", "rollout.set", {"revision": 0, "live": None}, {"revision": 1, "live": 1}),
        ("ann", "rollout.set", {"revision": 1, "live": 1}, {"revision": 2, "live": 2}),
        ("bob", "rollout.back", {"revision": 2, "live": 2}, {"revision": 3, "live": 1}),
    ]
