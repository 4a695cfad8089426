from datetime import date, timedelta
from pathlib import Path

import pytest

from service.errors import UnknownTenant
from service.registry.records import TenantSettings, Usage, UsageLine
from service.registry.registry import Registry
from tests.fakes.manifests import BACKBONE
from tests.unit.registry.conftest import FakeClock

TODAY = date(2025, 3, 1)


def test_usage_adds_up_by_tenant_and_day(registry: Registry, state: Path) -> None:
    registry.put_tenant("globex", TenantSettings(), "ann")
    yesterday = TODAY - timedelta(days=1)
    registry.add_usage({("acme", TODAY): Usage(1, 2, 30, 0.5, 0)})
    registry.add_usage(
        {
            ("acme", TODAY): Usage(10, 20, 300, 0.25, 4),
            ("acme", yesterday): Usage(1, 1, 1, 1.0, 1),
            ("globex", TODAY): Usage(7, 7, 7, 7.0, 7),
        }
    )
    lines = [UsageLine(yesterday, 1, 1, 1, 1.0, 1), UsageLine(TODAY, 11, 22, 330, 0.75, 4)]
    assert registry.usage("acme") == lines
    assert registry.usage("globex") == [UsageLine(TODAY, 7, 7, 7, 7.0, 7)]
    registry.close()
    again = Registry.open(state, BACKBONE)
    assert again.usage("acme") == lines
    again.close()


def test_usage_can_be_of_some_days(registry: Registry) -> None:
    days = [TODAY - timedelta(days=back) for back in range(5)]
    registry.add_usage({("acme", day): Usage(1, 1, 1, 1.0, 0) for day in days})
    for since, until, count in (
        (None, None, 5),
        (days[1], None, 2),
        (None, days[1], 4),
        (days[3], days[2], 2),
        (days[0], days[1], 0),
    ):
        found = [line.day for line in registry.usage("acme", since, until)]
        assert len(found) == count
        assert found == sorted(found)


def test_usage_is_kept_for_400_days(registry: Registry, clock: FakeClock) -> None:
    for back in (401, 400, 0):
        registry.add_usage({("acme", TODAY - timedelta(days=back)): Usage(1, 1, 1, 1.0, 0)})
    kept = [line.day for line in registry.usage("acme")]
    assert kept == [TODAY - timedelta(days=400), TODAY]
    clock.pass_s(86_400)
    registry.add_usage({("acme", TODAY + timedelta(days=1)): Usage(1, 1, 1, 1.0, 0)})
    assert [line.day for line in registry.usage("acme")] == [TODAY, TODAY + timedelta(days=1)]


def test_nothing_is_nothing(registry: Registry) -> None:
    registry.add_usage({})
    assert registry.usage("acme") == []
    with pytest.raises(UnknownTenant):
        registry.usage("nobody")


def test_the_usage_of_a_deleted_tenant_can_still_be_read(registry: Registry) -> None:
    registry.add_usage({("acme", TODAY): Usage(1, 1, 1, 1.0, 0)})
    registry.delete_tenant("acme", "ann")
    assert len(registry.usage("acme")) == 1


def test_numbers_may_be_large(registry: Registry) -> None:
    many = 2**40
    for _ in range(2):
        registry.add_usage({("acme", TODAY): Usage(many, many, many, 1e9, many)})
    (line,) = registry.usage("acme")
    assert (line.requests, line.tokens, line.compute_s) == (2 * many, 2 * many, 2e9)


def test_usage_of_every_tenant_is_one_transaction(registry: Registry) -> None:
    rows = {(f"t{i}", TODAY): Usage(i, i, i, float(i), i) for i in range(1_000)}
    for _ in range(2):
        registry.add_usage(rows)
    assert registry.usage("t999") == [UsageLine(TODAY, 1998, 1998, 1998, 1998.0, 1998)]
    assert registry.usage("t1") == [UsageLine(TODAY, 2, 2, 2, 2.0, 2)]
