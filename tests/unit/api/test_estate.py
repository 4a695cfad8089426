from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from service.api.estate import ADAPTERS_MAX, NAMED_MAX, TENANTS_MAX, survey
from service.registry.records import Canary, Rollout, Route, TenantSettings
from service.registry.routes import AdapterRoutes, Routes, TenantRoutes


def adapter(
    tenant: str,
    name: str,
    *,
    live: int | None = 1,
    canary: Canary | None = None,
    shadows: tuple[int, ...] = (),
    foreign: Mapping[int, str] | None = None,
) -> AdapterRoutes:
    """Return an adapter of three versions; the digest of one is its name and number."""
    versions = {
        number: Route(tenant, name, number, f"{tenant}.{name}.{number}!", ("a",), calibrated=False)
        for number in (1, 2, 3)
        if number not in (foreign or {})
    }
    rollout = Rollout(tenant, name, 1, live, None, None, None, canary, shadows)
    return AdapterRoutes(rollout, versions, foreign or {}, versions.get(live or 0), None)


def many(count: int) -> Routes:
    return Routes(
        {
            f"t-{number:05}": TenantRoutes(adapters={"a": adapter(f"t-{number:05}", "a")})
            for number in range(count)
        }
    )


def test_an_empty_estate_has_nothing_to_show() -> None:
    estate = survey(Routes(), (), {})
    assert (estate.tenants, estate.tenants_count, estate.is_whole) == ((), 0, True)


def test_all_tenants_are_shown_by_name_with_what_their_versions_are() -> None:
    gold = TenantSettings.model_validate({"class": "gold"})
    own = {
        "spam": adapter("b", "spam", live=None),
        "inbox": adapter("b", "inbox", canary=Canary(2, 5.0), shadows=(3,), foreign={3: "old"}),
    }
    routes = Routes({"b": TenantRoutes(gold, own), "a": TenantRoutes()})
    estate = survey(routes, (), {"b": 9})
    first, second = estate.tenants
    assert (first.name, first.kind, first.adapters) == ("a", "standard", ())
    assert (second.name, second.kind, second.adapters_count) == ("b", "gold", 2)
    inbox, spam = second.adapters
    assert (inbox.live, inbox.canary, inbox.shadows) == (1, (2, 5.0), (3,))
    assert (inbox.elsewhere, inbox.versions) == ((3,), 3)
    assert (spam.live, spam.canary, spam.shadows) == (None, None, ())
    assert estate.canaries == (inbox,)
    assert (estate.tenants_count, estate.adapters_count, estate.versions_count) == (2, 2, 6)


def test_of_too_many_tenants_the_busiest_are_shown() -> None:
    estate = survey(many(10_000), (), {"t-09999": 1, "t-05000": 7})
    assert [tenant.name for tenant in estate.tenants[:3]] == ["t-05000", "t-09999", "t-00000"]
    assert len(estate.tenants) == TENANTS_MAX
    assert (estate.tenants_count, estate.adapters_count, estate.versions_count) == (
        10_000,
        10_000,
        30_000,
    )
    assert not estate.is_whole


def test_a_tenant_that_was_deleted_is_busy_no_more() -> None:
    estate = survey(many(TENANTS_MAX + 1), (), {"gone": 99})
    assert "gone" not in [tenant.name for tenant in estate.tenants]


def test_of_too_many_adapters_the_first_are_shown() -> None:
    own = {f"a-{number:03}": adapter("t", f"a-{number:03}") for number in range(100)}
    [tenant] = survey(Routes({"t": TenantRoutes(adapters=own)}), (), {}).tenants
    assert [one.name for one in tenant.adapters] == [f"a-{n:03}" for n in range(ADAPTERS_MAX)]
    assert tenant.adapters_count == 100


def test_what_is_out_of_service_is_named_wherever_it_stands() -> None:
    routes = many(TENANTS_MAX + 1)
    digests = ("t-00050.a.2!", "t-00000.a.1!", "sha256:deleted")
    estate = survey(routes, digests, {})
    assert estate.quarantined == ("t-00000.a.1", "t-00050.a.2", "sha256:deleted")
    assert estate.quarantined_count == 3
    assert estate.tenants[0].adapters[0].quarantined == (1,)


def test_the_same_content_is_out_of_service_under_each_of_its_names() -> None:
    shared = Route("a", "x", 1, "same", ("a",), calibrated=False)
    rollout = Rollout("a", "x", 1, 1, None, None, None)
    own = {name: AdapterRoutes(rollout, {1: shared}, {}, shared, None) for name in ("x", "y")}
    estate = survey(Routes({"a": TenantRoutes(adapters=own)}), ("same",), {})
    assert estate.quarantined == ("a.x.1", "a.y.1")


def test_long_lists_are_cut_and_counted() -> None:
    tenants = {
        f"t-{number}": TenantRoutes(
            adapters={"a": adapter(f"t-{number}", "a", canary=Canary(2, 1.0))}
        )
        for number in range(NAMED_MAX + 5)
    }
    digests = [f"t-{number}.a.1!" for number in range(NAMED_MAX + 5)]
    estate = survey(Routes(tenants), digests, {})
    assert (len(estate.canaries), estate.canaries_count) == (NAMED_MAX, NAMED_MAX + 5)
    assert (len(estate.quarantined), estate.quarantined_count) == (NAMED_MAX, NAMED_MAX + 5)


def test_quarantined_versions_count_as_out_of_service_where_requests_are_sent_to_them() -> None:
    routes = Routes({"b": TenantRoutes(adapters={"inbox": adapter("b", "inbox")})})
    assert routes.count_answering(()) == 0
    assert routes.count_answering(["b.inbox.1!"]) == 1
    assert routes.count_answering(["b.inbox.2!", "of a deleted one"]) == 0


def test_what_cannot_be_read_is_named_as_what_is_out_of_service_is() -> None:
    routes = Routes({"b": TenantRoutes(adapters={"inbox": adapter("b", "inbox")})})
    estate = survey(routes, (), {}, ["b.inbox.2!", "sha256:deleted"])
    assert estate.unreadable == ("b.inbox.2", "sha256:deleted")
    assert (estate.unreadable_count, estate.quarantined_count) == (2, 0)
    assert estate.tenants[0].adapters[0].unreadable == (2,)


def test_rollouts_that_the_controller_made_are_told_for_a_day() -> None:
    now = datetime(2025, 3, 31, 12, tzinfo=UTC)

    def made(tenant: str, actor: str | None, hours_ago: float) -> TenantRoutes:
        at = (now - timedelta(hours=hours_ago)).isoformat(timespec="microseconds")
        rollout = Rollout(tenant, "x", 3, 1, None, actor, at)
        return TenantRoutes(adapters={"x": AdapterRoutes(rollout, {}, {}, None, None)})

    routes = Routes(
        {
            "a": made("a", "controller", 2.0),
            "b": made("b", "controller", 1.0),
            "c": made("c", "controller", 25.0),
            "d": made("d", "admin", 1.0),
            "e": made("e", None, 1.0),
        }
    )
    assert [one.tenant for one in survey(routes, (), {}, (), now).rollbacks] == ["b", "a"]
    assert survey(routes, (), {}).rollbacks == ()
