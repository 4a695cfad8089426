"""What an operator of a game day does with the service: tenants, uploads, rollouts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from examples.gameday.adapters import ADAPTER, metadata_of, package_of, weights_of
from examples.gameday.errors import GameDayFailed
from examples.gameday.town import Tenant, Town
from service.client.client import Client
from service.client.documents import Version
from service.client.errors import TenantryClientError
from service.engine.adapter import FloatArray

_ASKED = 4  # texts of a new tenant


class Operator:
    """A client of the routes that change something."""

    def __init__(self, url: str, town: Town) -> None:
        self.client = Client(url)
        self._town = town

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def open_shops(self, settings: Mapping[str, Mapping[str, object]]) -> None:
        """Make every tenant, with its first version live; settings by tenant."""
        for tenant in self._town.tenants:
            self.client.put_tenant(tenant.name, settings.get(tenant.name))
            version = self.upload(tenant, self.weights(tenant), tenant.holdout)
            self.roll_out(tenant, version.version)

    def weights(self, tenant: Tenant, seed: int | None = None) -> dict[str, FloatArray]:
        """Return the weights of a tenant's adapter, or of a stranger to its texts."""
        return weights_of(self._town.bundle.manifest, tenant.seed if seed is None else seed)

    def upload(
        self,
        tenant: Tenant,
        weights: Mapping[str, FloatArray],
        holdout: Sequence[tuple[str, str]] = (),
        temperature: float | None = None,
    ) -> Version:
        """Upload a version, and return it.

        Raises `GameDayFailed` where the service refuses it.
        """
        package = package_of(self._town.bundle.manifest, weights, holdout)
        try:
            told = self.client.upload(tenant.name, ADAPTER, package, metadata_of(temperature))
        except TenantryClientError as error:
            raise GameDayFailed(f"upload for {tenant.name}: {error}") from error
        return told.version

    def labels(self, tenant: Tenant, version: int, texts: Sequence[str]) -> list[str]:
        """Return what a version answers."""
        told = self.client.predict(tenant.name, ADAPTER, texts, version=version)
        return [prediction.label for prediction in told.predictions]

    def first_digest(self, tenant: Tenant) -> str:
        """Return the digest of a tenant's first version."""
        return self.client.version(tenant.name, ADAPTER, 1).digest

    def open_branches(self, names: Sequence[str]) -> None:
        """Make more tenants, each with what the first one has, and ask them something."""
        tenant = self._town.tenants[0]
        for name in names:
            branch = replace(tenant, name=name)
            self.client.put_tenant(name)
            self.upload(branch, self.weights(branch))
            self.roll_out(branch, 1)
            self.labels(branch, 1, [judged.text for judged in branch.asked[:_ASKED]])

    def roll_out(self, tenant: Tenant, live: int, **others: Any) -> None:
        """Let a version answer, whatever the gate said; `canary` and `shadow` beside it."""
        self.client.set_rollout(
            tenant.name, ADAPTER, live, force="a game day: whatever the gate says", **others
        )
