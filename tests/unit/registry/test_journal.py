from datetime import UTC, datetime, timedelta, timezone

from service.registry.records import TenantSettings
from service.registry.registry import Registry
from tests.unit.registry.conftest import FakeClock


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
