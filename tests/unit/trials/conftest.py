from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from service.metrics import Metrics
from service.registry.records import TenantSettings
from service.registry.registry import Registry
from tests.fakes.logs import DAY_S
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.packages import package_of


class RegistryClock:
    """The registry's clock; it follows the log's by hand."""

    def __init__(self) -> None:
        self.now_s = DAY_S

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.now_s, UTC)


@pytest.fixture
def registry_clock() -> RegistryClock:
    return RegistryClock()


@pytest.fixture
def registry(tmp_path: Path, registry_clock: RegistryClock) -> Iterator[Registry]:
    """A registry where `acme.support` has four versions, of which 1 is live."""
    registry = Registry.open(tmp_path / "state", BACKBONE, clock=registry_clock)
    registry.put_tenant("acme", TenantSettings(), "test")
    for seed in range(4):
        registry.publish("acme", "support", package_of(manifest_of(), seed=seed), {}, "ann")
    registry.set_rollout("acme", "support", {"live": 1}, None, "ann")
    yield registry
    registry.close()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry(), 10)
