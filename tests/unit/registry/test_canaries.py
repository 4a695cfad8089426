"""Canaries and shadows: who is drawn, what rides along, and what keeps versions in place."""

from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import Conflict, NoLiveVersion, UnacceptableRequest
from service.registry.draw import position
from service.registry.records import Canary, RegistryLimits, Rollout, TenantSettings
from service.registry.registry import Registry
from service.registry.routes import for_one_request
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.packages import package_of

MANIFEST = manifest_of("bert", endings=("layer.0.attention.self.query",))
OTHER = "sha256:" + "c" * 64
KEYS = [f"user-{i}" for i in range(500)]
WHOLE: dict[str, object] = {"live": 1, "canary": {"version": 2, "percent": 20.0}, "shadow": [3, 4]}


@pytest.fixture
def published(registry: Registry) -> Registry:
    """A registry where `acme.routing` has five versions."""
    for seed in range(5):
        registry.publish("acme", "routing", package_of(MANIFEST, seed=seed), {}, "ann")
    return registry


def put(registry: Registry, document: dict[str, object]) -> Rollout:
    return registry.set_rollout("acme", "routing", document, None, "ann")


def who_has_the_canary(registry: Registry) -> set[str]:
    return {key for key in KEYS if registry.route("acme", "routing", None, key).role == "canary"}


def test_a_rollout_is_kept_whole(published: Registry) -> None:
    rollout = put(published, WHOLE)
    assert rollout.document() == WHOLE
    assert (rollout.live, rollout.canary, rollout.shadows) == (1, Canary(2, 20.0), (3, 4))
    assert published.rollout("acme", "routing") == rollout
    (listed,) = published.adapters("acme")
    assert (listed.live, listed.canary, listed.shadows) == (1, Canary(2, 20.0), (3, 4))


def test_the_draw_decides_between_live_and_canary(published: Registry) -> None:
    put(published, WHOLE)
    for key in KEYS:
        route = published.route("acme", "routing", None, key)
        drawn = position("acme", "routing", key) < 20
        assert (route.version, route.role) == ((2, "canary") if drawn else (1, "live"))
        assert route.revision == 1
    assert 0 < len(who_has_the_canary(published)) < len(KEYS)


def test_raising_the_percent_keeps_those_who_had_the_canary(published: Registry) -> None:
    had: set[str] = set()
    for percent in (1, 10, 20.5, 100):
        put(published, {"live": 1, "canary": {"version": 2, "percent": percent}})
        have = who_has_the_canary(published)
        assert had < have
        had = have
    assert had == set(KEYS)


def test_without_a_routing_key_chance_decides(published: Registry) -> None:
    put(published, WHOLE)
    roles = [published.route("acme", "routing", None).role for _ in range(2_000)]
    assert roles.count("canary") / len(roles) == pytest.approx(0.2, abs=0.06)
    assert set(roles) == {"live", "canary"}


def test_shadows_ride_with_live_and_canary_alike(published: Registry) -> None:
    put(published, WHOLE)
    with_canary = who_has_the_canary(published)
    for key in (min(with_canary), min(set(KEYS) - with_canary)):
        route = published.route("acme", "routing", None, key)
        shadows = for_one_request(route, None, keyed=True).shadows
        assert [(s.version, s.role, s.revision, s.shadows) for s in shadows] == [
            (3, "shadow", 1, ()),
            (4, "shadow", 1, ()),
        ]
        for shadow in shadows:
            assert shadow.digest == published.version("acme", "routing", shadow.version).digest


def test_what_the_canary_answers_the_live_version_answers_too(published: Registry) -> None:
    put(published, WHOLE)
    with_canary = who_has_the_canary(published)
    twin, *others = published.route("acme", "routing", None, min(with_canary)).shadows
    assert (twin.version, twin.role, twin.revision, twin.shadows) == (1, "paired", 1, ())
    assert {other.role for other in others} == {"shadow"}
    canary = published.route("acme", "routing", None, min(with_canary))
    assert canary.twin_share == pytest.approx(0.9)
    assert [shadow.role for shadow in for_one_request(canary, None, keyed=False).shadows] == [
        "shadow",
        "shadow",
    ]


@pytest.mark.parametrize(
    ("percent", "of_canary", "of_live"),
    [(1.0, 1.0, 1 / 99), (20.0, 1.0, 0.25), (50.0, 1.0, 1.0), (80.0, 0.25, 1.0)],
)
def test_as_many_of_the_requests_of_either_have_twins(
    published: Registry, percent: float, of_canary: float, of_live: float
) -> None:
    put(published, {**WHOLE, "canary": {"version": 2, "percent": percent}})
    with_canary = who_has_the_canary(published)
    live = published.route("acme", "routing", None, min(set(KEYS) - with_canary))
    twin, *others = live.shadows
    assert (twin.version, twin.role, twin.revision, twin.shadows) == (2, "paired", 1, ())
    assert {other.role for other in others} == {"shadow"}
    assert live.twin_share == pytest.approx(0.9 * of_live)
    canary = published.routes().of_adapter("acme", "routing").canary
    assert canary is not None
    assert canary.twin_share == pytest.approx(0.9 * of_canary)
    assert for_one_request(live, 0.9 * of_live - 1e-6, keyed=True) == replace(
        live, alone=False, keyed=True
    )
    alone = for_one_request(live, 0.9 * of_live + 1e-6, keyed=False)
    assert (alone.alone, len(alone.shadows), alone.twin_share) == (True, 2, 0.0)
    assert alone.keyed is False
    put(published, {"live": 1})
    only = published.route("acme", "routing", None)
    assert (only.twin_share, only.shadows, only.alone) == (0.0, (), None)
    assert for_one_request(only, 0.0, keyed=True) is only


def test_a_canary_that_answers_everything_has_nothing_to_be_compared_with(
    published: Registry,
) -> None:
    put(published, {**WHOLE, "canary": {"version": 2, "percent": 100.0}})
    canary = published.route("acme", "routing", None)
    assert (canary.version, canary.twin_share) == (2, 0.0)
    assert [shadow.role for shadow in canary.shadows] == ["shadow", "shadow"]


def test_a_version_in_the_path_is_pinned_and_takes_nothing_along(published: Registry) -> None:
    put(published, WHOLE)
    for number in (1, 2, 3, 5):
        route = published.route("acme", "routing", number, KEYS[0])
        assert (route.version, route.role, route.revision, route.shadows) == (
            number,
            "pinned",
            0,
            (),
        )


def test_routes_carry_the_settings_that_hold(published: Registry) -> None:
    put(published, WHOLE)
    settings = TenantSettings(weight=7.0)
    published.put_tenant("acme", settings, "ann")
    assert published.tenant_settings("acme") == settings
    published.publish("acme", "other", package_of(MANIFEST), {}, "ann")
    pinned = published.route("acme", "other", 1)
    live = published.route("acme", "routing", None, KEYS[0])
    for route in (pinned, live, *live.shadows, published.route("acme", "routing", 2)):
        assert route.settings == settings
    assert live.role in ("live", "canary")
    assert len(live.shadows) == 3


def test_states_follow_the_roles(published: Registry) -> None:
    put(published, {"live": 5})
    put(published, WHOLE)
    states = [version.state for version in published.versions("acme", "routing")]
    assert states == ["live", "canary", "shadow", "shadow", "retired"]
    put(published, {"live": 2})
    states = [version.state for version in published.versions("acme", "routing")]
    assert states == ["retired", "live", "validated", "validated", "retired"]


def test_the_same_document_again_changes_nothing(published: Registry) -> None:
    assert put(published, WHOLE).revision == 1
    assert put(published, WHOLE).revision == 1
    assert put(published, {**WHOLE, "canary": {"version": 2, "percent": 20}}).revision == 1
    others: list[dict[str, object]] = [
        {**WHOLE, "canary": {"version": 2, "percent": 21}},
        {**WHOLE, "canary": {"version": 5, "percent": 21}},
        {**WHOLE, "shadow": [4, 3]},
        {"live": 1},
    ]
    for changed in others:
        before = published.rollout("acme", "routing").revision
        assert put(published, changed).revision == before + 1


@pytest.mark.parametrize(("number", "role"), [(1, "live"), (2, "its canary"), (3, "a shadow")])
def test_a_version_in_the_rollout_cannot_be_deleted(
    published: Registry, number: int, role: str
) -> None:
    put(published, WHOLE)
    with pytest.raises(Conflict, match=rf"version {number} of acme\.routing is {role}; take it"):
        published.delete_version("acme", "routing", number, "ann")
    published.delete_version("acme", "routing", 5, "ann")


@pytest.mark.parametrize("document", [{"live": 2}, {"live": None, "shadow": [2]}, WHOLE])
def test_what_has_a_version_in_a_rollout_cannot_be_deleted(
    published: Registry, document: dict[str, object]
) -> None:
    put(published, document)
    with pytest.raises(Conflict, match="version"):
        published.delete_adapter("acme", "routing", "ann")
    with pytest.raises(Conflict, match="whose rollouts name versions: routing"):
        published.delete_tenant("acme", "ann")
    put(published, {"live": None})
    published.delete_tenant("acme", "ann")


def test_rolling_back_brings_canary_and_shadows_back(published: Registry) -> None:
    put(published, WHOLE)
    put(published, {"live": 2})
    rollout = published.rollback("acme", "routing", 2, "bob")
    assert (rollout.revision, rollout.previous) == (3, None)
    assert rollout.document() == WHOLE
    route = published.route("acme", "routing", None, min(who_has_the_canary(published)))
    assert (route.version, route.revision, len(route.shadows)) == (2, 3, 3)


@pytest.mark.parametrize("gone", [2, 4])
def test_a_rollback_needs_every_version_that_it_names(published: Registry, gone: int) -> None:
    put(published, WHOLE)
    put(published, {"live": 1})
    published.delete_version("acme", "routing", gone, "ann")
    with pytest.raises(Conflict, match=f"returned to: there is no version {gone}"):
        published.rollback("acme", "routing", None, "ann")
    assert published.rollout("acme", "routing").document() == {"live": 1}


def test_every_version_that_is_not_there_is_named(published: Registry) -> None:
    published.delete_version("acme", "routing", 4, "ann")
    with pytest.raises(UnacceptableRequest) as raised:
        put(published, {"live": 7, "canary": {"version": 8, "percent": 1}, "shadow": [4, 1]})
    told = str(raised.value)
    assert [f"no version {number}" in told for number in (1, 4, 7, 8)] == [False, True, True, True]
    assert published.rollout("acme", "routing").revision == 0


def test_shadows_are_bounded_by_the_limits(state: Path) -> None:
    registry = Registry.open(state, BACKBONE, RegistryLimits(shadows_max=1))
    registry.put_tenant("acme", TenantSettings(), "test")
    for seed in range(3):
        registry.publish("acme", "routing", package_of(MANIFEST, seed=seed), {}, "ann")
    with pytest.raises(UnacceptableRequest, match="the limit is 1"):
        put(registry, {"live": 1, "shadow": [2, 3]})
    assert put(registry, {"live": 1, "shadow": [2]}).shadows == (2,)
    registry.close()


def test_lines_tell_the_documents_before_and_after(published: Registry) -> None:
    put(published, {"live": 1})
    put(published, WHOLE)
    line = published.audit("acme").lines[-1]
    assert (line.action, line.adapter, line.actor) == ("rollout.set", "routing", "ann")
    assert line.before == {"revision": 1, "live": 1}
    assert line.after == {"revision": 2, **WHOLE}


def test_versions_of_another_bundle_wait_to_be_sent_again(published: Registry, state: Path) -> None:
    put(published, {"live": 1, "canary": {"version": 2, "percent": 100}, "shadow": [3, 4]})
    published.close()
    registry = Registry.open(state, OTHER)

    def send(seed: int) -> None:
        package = package_of(MANIFEST, seed=seed, backbone=OTHER)
        assert not registry.publish("acme", "routing", package, {}, "ann")[1]

    for seed in (1, 2):  # the canary and a shadow
        send(seed)
    with pytest.raises(NoLiveVersion, match="another bundle"):
        registry.route("acme", "routing", None, "x")
    send(0)
    route = registry.route("acme", "routing", None, "x")
    assert (route.version, route.role) == (2, "canary")
    assert [shadow.version for shadow in for_one_request(route, None, keyed=True).shadows] == [3]
    with pytest.raises(UnacceptableRequest, match="version 4 was judged against the bundle"):
        put(registry, {"live": 1, "shadow": [4]})
    registry.close()


def test_others_are_told_of_each_change_after_it_holds(published: Registry) -> None:
    told = []

    def tell(before: Rollout, after: Rollout, actor: str, at: str) -> None:
        assert published.rollout("acme", "routing") == after
        assert published.route("acme", "routing", None).revision == after.revision
        assert at == after.created_at
        told.append((before.revision, after.revision, after.document(), actor))

    put(published, {"live": 5})
    published.on_rollout = tell
    put(published, WHOLE)
    put(published, WHOLE)
    with pytest.raises(UnacceptableRequest):
        put(published, {"live": 9})
    published.rollback("acme", "routing", None, "bob")
    assert told == [(1, 2, WHOLE, "ann"), (2, 3, {"live": 5}, "bob")]


def test_who_cannot_be_told_says_so_and_the_change_stays(published: Registry) -> None:
    def tell(*_: object) -> None:
        raise OSError("the log is full")

    published.on_rollout = tell
    with pytest.raises(OSError, match="the log is full"):
        put(published, WHOLE)
    assert published.rollout("acme", "routing").document() == WHOLE
    assert published.route("acme", "routing", None).revision == 1
    published.on_rollout = None
    assert put(published, {"live": 1}).revision == 2
