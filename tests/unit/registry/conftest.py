from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.registry.records import TenantSettings
from service.registry.registry import Registry
from tests.fakes.manifests import BACKBONE


class FakeClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2025, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def registry(state: Path, clock: FakeClock) -> Iterator[Registry]:
    """A registry with the tenant `acme`."""
    registry = Registry.open(state, BACKBONE, clock=clock)
    registry.put_tenant("acme", TenantSettings(), "test")
    yield registry
    registry.close()
