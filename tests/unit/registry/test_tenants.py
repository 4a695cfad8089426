from pathlib import Path

import pytest
from pydantic import ValidationError

from service.errors import Conflict, UnacceptableRequest, UnknownTenant
from service.registry.records import RegistryLimits, TenantSettings
from service.registry.registry import Registry
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.packages import package_of

HEAVY = TenantSettings.model_validate({"weight": 2.5, "class": "batch", "log": {"text": True}})


def test_a_tenant_is_made_then_changed_then_left_alone(registry: Registry) -> None:
    made, created = registry.put_tenant("globex", TenantSettings(), "ann")
    assert created
    changed, created = registry.put_tenant("globex", HEAVY, "bob")
    assert not created
    assert changed.settings == HEAVY
    assert changed.created_at == made.created_at
    registry.put_tenant("globex", HEAVY, "carl")
    assert registry.tenant("globex") == changed
    assert [tenant.name for tenant in registry.tenants()] == ["acme", "globex"]
    lines = [(line.actor, line.action) for line in registry.audit("globex").lines]
    assert lines == [("ann", "tenant.created"), ("bob", "tenant.changed")]


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "a.b", "a" * 64, "a\n", "ä", "../x"])
def test_a_name_that_cannot_be_one_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(UnacceptableRequest, match="a-z, 0-9 and -"):
        registry.put_tenant(name, TenantSettings(), "test")
    package = package_of(manifest_of())
    with pytest.raises(UnacceptableRequest, match="a-z, 0-9 and -"):
        registry.publish("acme", name, package, {}, "test")


@pytest.mark.parametrize("name", ["a", "0", "a-", "a" * 63])
def test_the_shortest_and_the_longest_names_are_taken(registry: Registry, name: str) -> None:
    assert registry.put_tenant(name, TenantSettings(), "test")[1]


def test_settings_go_over_the_wire_and_back() -> None:
    document = HEAVY.document()
    assert document == {
        "class": "batch",
        "weight": 2.5,
        "rates": {"requests_per_s": None, "tokens_per_s": None, "concurrent_requests": None},
        "log": {"text": True, "embedding": True, "sample": 1.0},
    }
    assert TenantSettings.model_validate(document) == HEAVY


@pytest.mark.parametrize(
    "settings",
    [
        {"wieght": 1},
        {"weight": 0},
        {"weight": float("nan")},
        {"class": "A b"},
        {"log": {"sample": 1.1}},
        {"log": {"txt": True}},
        {"log": {"text": "yes"}},  # what keeps texts is not guessed at
        {"weight": "2"},
        {"rates": {"requests_per_s": 0}},
        {"rates": {"tokens_per_s": 1e-308}},
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TenantSettings.model_validate(settings)


def test_the_number_of_tenants_is_bounded(state: Path) -> None:
    bounded = Registry.open(state, BACKBONE, RegistryLimits(tenants_max=2))
    for name in ("a", "b"):
        bounded.put_tenant(name, TenantSettings(), "test")
    with pytest.raises(UnacceptableRequest, match="holds 2 tenants"):
        bounded.put_tenant("c", TenantSettings(), "test")
    bounded.put_tenant("b", HEAVY, "test")
    bounded.close()


def test_a_tenant_with_a_live_adapter_cannot_be_deleted(registry: Registry) -> None:
    registry.publish("acme", "routing", package_of(manifest_of()), {}, "test")
    registry.set_rollout("acme", "routing", {"live": 1}, None, "test")
    with pytest.raises(Conflict, match="routing"):
        registry.delete_tenant("acme", "test")
    registry.set_rollout("acme", "routing", {"live": None}, None, "test")
    registry.delete_tenant("acme", "test")
    for call in (
        lambda: registry.tenant("acme"),
        lambda: registry.adapters("acme"),
        lambda: registry.versions("acme", "routing"),
        lambda: registry.rollout("acme", "routing"),
        lambda: registry.route("acme", "routing", 1),
        lambda: registry.delete_tenant("acme", "test"),
        lambda: registry.publish("acme", "x", package_of(manifest_of()), {}, "test"),
    ):
        with pytest.raises(UnknownTenant):
            call()


def test_numbers_go_on_where_a_deleted_tenant_of_that_name_stopped(registry: Registry) -> None:
    package = package_of(manifest_of())
    registry.publish("acme", "routing", package, {}, "test")
    registry.delete_tenant("acme", "test")
    registry.put_tenant("acme", TenantSettings(), "test")
    assert registry.adapters("acme") == []
    version, created = registry.publish("acme", "routing", package, {}, "test")
    assert (version.version, created) == (2, True)
