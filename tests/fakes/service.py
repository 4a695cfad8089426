"""The whole service but for its model: real routes, registry and uploads over a fake batcher."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from service.api.app import create_app
from service.api.lifecycle import Lifecycle
from service.engine.bundle import Bundle
from service.events.ids import KEY_BYTES, Signer
from service.metrics import Metrics
from service.registry.records import TenantSettings, Version
from service.registry.registry import Registry
from service.settings import Settings
from service.uploads.limits import UploadLimits
from service.uploads.package import open_package
from tests.fakes.batching import FakeBatcher
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.packages import files_of, metadata_of, zip_of
from tests.fakes.tokens import FakeTokeniser

ORIGIN = "http://localhost:8000"


@dataclass(frozen=True)
class FakeService:
    """A service and its parts."""

    app: FastAPI
    batcher: FakeBatcher
    registry: Registry
    bundle: Bundle
    lifecycle: Lifecycle
    metrics: Metrics
    signer: Signer

    def client(self, **options: Any) -> httpx.AsyncClient:
        """Return a client that calls the application without a network."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url=ORIGIN, **options)

    def publish(
        self,
        tenant: str,
        adapter: str,
        *,
        labels: int = 3,
        seed: int = 0,
        live: bool = True,
        **metadata: object,
    ) -> Version:
        """Put a version into the registry, past the wire, and make it answer."""
        package = open_package(
            self.zipped(labels=labels, seed=seed),
            metadata_of(labels, **metadata),
            self.bundle.manifest,
            self.bundle.digest,
            UploadLimits(),
        )
        self.registry.put_tenant(tenant, TenantSettings(), "tests")
        version, _ = self.registry.publish(tenant, adapter, package, {}, "tests")
        self.batcher.labels[version.digest] = version.labels
        if live:
            self.registry.set_rollout(tenant, adapter, {"live": version.version}, None, "tests")
        return version

    def zipped(self, *, labels: int = 3, seed: int = 0) -> bytes:
        """Return the package of an adapter."""
        return zip_of(files_of(self.bundle.manifest, labels=labels, seed=seed))

    def metric(self, name: str, **labels: str) -> float:
        """Return a sample's value; fail where there is none."""
        value = self.metrics.registry.get_sample_value(name, labels)
        assert value is not None, f"there is no sample {name}{labels}"
        return value


def make_service(
    state: Path,
    *,
    warm: bool = True,
    batcher: FakeBatcher | None = None,
    listening: int | None = None,
    **settings: Any,
) -> FakeService:
    """Return a service over a state directory; settings may be changed by name.

    `listening` is the port that the operator's socket got, where settings ask for any.
    """
    chosen = Settings(bundle=state, state=state, **settings)
    bundle = Bundle(state, BACKBONE, manifest_of("bert"), {})
    registry = Registry.open(state, bundle.digest)
    batcher = batcher or FakeBatcher({})
    metrics = Metrics(CollectorRegistry(), chosen.tenant_series_max)
    lifecycle = Lifecycle(warm=warm)
    signer = Signer({0: bytes(KEY_BYTES)}, 0)
    app = create_app(
        registry,
        batcher,
        FakeTokeniser(),
        bundle,
        chosen,
        metrics,
        signer,
        lifecycle=lifecycle,
        operator_port=listening or chosen.operator_port,
    )
    return FakeService(app, batcher, registry, bundle, lifecycle, metrics, signer)
