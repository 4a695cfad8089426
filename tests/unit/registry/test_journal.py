from datetime import UTC, datetime, timedelta, timezone

from service.registry.records import Proof, TenantSettings
from service.registry.registry import Registry
from tests.fakes.manifests import manifest_of
from tests.fakes.packages import package_of
from tests.unit.registry.conftest import FakeClock

MANIFEST = manifest_of("bert", endings=("layer.0.attention.self.query",))


def test_lines_come_in_pages_oldest_first(registry: Registry) -> None:
    for i in range(5):
        registry.put_tenant(f"t{i}", TenantSettings(), "ann")
    names = []
    cursor = None
    pages = 0
    while True:
        page = registry.audit(cursor=cursor, limit=2)
        names += [line.tenant for line in page.lines]
        pages += 1
        cursor = page.cursor
        if cursor is None:
            break
    assert names == ["acme", "t0", "t1", "t2", "t3", "t4"]
    assert pages == 3


def test_lines_can_be_of_one_tenant_or_from_a_time_on(registry: Registry, clock: FakeClock) -> None:
    clock.pass_s(60)
    registry.put_tenant("later", TenantSettings(), "ann")
    registry.put_tenant("acme", TenantSettings(weight=2), "bob")
    assert [line.actor for line in registry.audit("acme").lines] == ["test", "bob"]
    for since in (clock.now, clock.now.replace(tzinfo=None), clock.now.astimezone(EAST)):
        assert [line.tenant for line in registry.audit(since=since).lines] == ["later", "acme"]
    assert registry.audit(since=clock.now + timedelta(seconds=1)).lines == ()
    line = registry.audit("later").lines[0]
    assert datetime.fromisoformat(line.at) == clock.now
    assert datetime.fromisoformat(line.at).tzinfo == UTC


EAST = timezone(timedelta(hours=9))


def test_a_quarantine_is_noted_for_every_adapter_that_has_the_digest(registry: Registry) -> None:
    made, _ = registry.publish("acme", "routing", package_of(MANIFEST), {}, "ann")
    registry.publish("acme", "spam", package_of(MANIFEST), {}, "ann")
    registry.publish("acme", "spam", package_of(MANIFEST, seed=1), {}, "ann")
    registry.delete_version("acme", "spam", 1, "ann")
    registry.note_quarantined(made.digest, "engine")
    lines = [line for line in registry.audit().lines if line.action == "version.quarantined"]
    assert [(line.tenant, line.adapter, line.actor) for line in lines] == [
        ("acme", "routing", "engine")
    ]
    assert lines[0].after["version"] == 1
    assert lines[0].after["digest"] == made.digest


def test_a_tenant_s_own_lines_begin_where_it_was_made_whatever_the_clock_says(
    registry: Registry, clock: FakeClock
) -> None:
    registry.put_tenant("acme", TenantSettings(weight=2), "of an earlier tenant")
    registry.delete_tenant("acme", "of an earlier tenant")
    clock.pass_s(-3600)  # it jumps back before the earlier tenant was made
    registry.put_tenant("acme", TenantSettings(), "ann")
    clock.pass_s(-3600)
    registry.put_tenant("acme", TenantSettings(weight=3), "bob")
    assert [line.actor for line in registry.audit("acme", own=True).lines] == ["ann", "bob"]
    first = registry.audit("acme", own=True, limit=1)
    rest = registry.audit("acme", cursor=first.cursor, own=True)
    assert [line.actor for line in rest.lines] == ["bob"]
    assert len(registry.audit("acme").lines) == 5, "the operator sees all"


def test_a_new_tenant_is_told_of_no_rollback_of_the_one_before_it(registry: Registry) -> None:
    for seed in (1, 2):
        package = package_of(MANIFEST, seed=seed)
        registry.publish("acme", "routing", package, {}, "ann")
    canary = {"live": 1, "canary": {"version": 2, "percent": 10}}
    registry.set_rollout("acme", "routing", canary, None, "ann")
    proof = Proof("accuracy: of old acme", {"watched": "canary"})
    registry.take_out_canary(registry.rollout("acme", "routing"), proof, "controller")
    assert registry.last_automatic_rollback("acme", "routing") is not None
    registry.set_rollout("acme", "routing", {"live": None}, None, "ann")
    registry.delete_adapter("acme", "routing", "ann")
    registry.delete_tenant("acme", "ann")
    registry.put_tenant("acme", TenantSettings(), "ann")
    registry.publish("acme", "routing", package_of(MANIFEST, seed=3), {}, "ann")
    assert registry.last_automatic_rollback("acme", "routing") is None
