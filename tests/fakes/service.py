"""The whole service but for its model: real routes, registry and uploads over a fake batcher."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from service.api.app import Application, Parts, create_app
from service.api.lifecycle import Lifecycle
from service.api.report_example import REPORT_EXAMPLE
from service.credentials.scopes import Scope
from service.engine.bundle import Bundle, Manifest
from service.events.ids import Signer
from service.limits import TenantLimits
from service.metrics import Metrics, Objectives
from service.registry.records import TenantSettings, Usage, Verdict, Version
from service.registry.registry import Registry
from service.settings import Settings
from service.tracing.tracing import Tracing
from service.uploads.limits import UploadLimits
from service.uploads.package import open_package
from service.usage import UsageBook
from tests.fakes.batching import FakeBatcher
from tests.fakes.event_log import FakeEventLog
from tests.fakes.images import FakePreprocessor
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.packages import files_of, metadata_of, zip_of
from tests.fakes.prediction_keys import FakeSigning
from tests.fakes.tokens import FakeTokeniser

ORIGIN = "http://localhost:8000"
ADMIN_KEY = "correct-horse-battery-staple"


def bearer(key: str) -> dict[str, str]:
    """Return the headers that carry a key."""
    return {"authorization": f"Bearer {key}"}


@dataclass(frozen=True)
class FakeService:
    """A service and its parts."""

    app: Application
    batcher: FakeBatcher
    registry: Registry
    bundle: Bundle
    lifecycle: Lifecycle
    metrics: Metrics
    signing: FakeSigning
    log: FakeEventLog
    usage: UsageBook
    state: Path
    tracing: Tracing | None = None

    @property
    def signer(self) -> Signer:
        """Return the signer of prediction ids that holds now."""
        return self.signing.signer

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
        verdict: Verdict = "validated",
        **metadata: object,
    ) -> Version:
        """Put a version into the registry, past the wire and the gate, and make it answer."""
        package = open_package(
            self.zipped(labels=labels, seed=seed),
            metadata_of(labels, **metadata),
            self.bundle.manifest,
            self.bundle.digest,
            UploadLimits(),
        )
        self.registry.put_tenant(tenant, TenantSettings(), "tests")
        report = {**REPORT_EXAMPLE, "verdict": verdict}
        version, _ = self.registry.publish(tenant, adapter, package, report, "tests", state=verdict)
        self.batcher.labels[version.digest] = version.labels
        if live:
            self.registry.set_rollout(tenant, adapter, {"live": version.version}, None, "tests")
        return version

    def key(self, tenant: str, *scopes: Scope) -> str:
        """Make a key of a tenant, and the tenant where there is none."""
        if tenant not in {known.name for known in self.registry.tenants()}:
            self.registry.put_tenant(tenant, TenantSettings(), "tests")
        _, key = self.registry.create_key(tenant, frozenset(scopes), "tests")
        return key

    def bearer(self, tenant: str, *scopes: Scope) -> dict[str, str]:
        """Return the headers that carry a new key of a tenant."""
        return bearer(self.key(tenant, *scopes))

    def add_usage(
        self,
        tenant: str,
        day: str,
        *,
        requests: int = 0,
        texts: int = 0,
        tokens: int = 0,
        compute_s: float = 0.0,
        limited: int = 0,
    ) -> None:
        """Write down what a tenant used on a day."""
        usage = Usage(requests, texts, tokens, compute_s, limited)
        self.registry.add_usage({(tenant, date.fromisoformat(day)): usage})

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
    manifest: Manifest | None = None,
    tracing: Tracing | None = None,
    **settings: Any,
) -> FakeService:
    """Return a service over a state directory; settings may be changed by name.

    `manifest` is the bundle's, a tiny BERT's where it is not given. `listening` is the port that
    the operator's socket got, where settings ask for any.
    """
    chosen = Settings(bundle=state, state=state, **settings)
    bundle = Bundle(state, BACKBONE, manifest or manifest_of("bert"), {})
    registry = Registry.open(state, bundle.digest)
    batcher = batcher or FakeBatcher({})
    objectives = Objectives(chosen.latency_objective_s, chosen.latency_objectives)
    metrics = Metrics(CollectorRegistry(), chosen.tenant_series_max, objectives)
    lifecycle = Lifecycle(warm=warm)
    signing = FakeSigning()
    log = FakeEventLog()
    usage = UsageBook(registry, metrics)
    parts = Parts(
        registry=registry,
        batcher=batcher,
        tokeniser=FakeTokeniser(),
        bundle=bundle,
        settings=chosen,
        metrics=metrics,
        signing=signing,
        log=log,
        limits=TenantLimits(),
        usage=usage,
        lifecycle=lifecycle,
        preprocessor=None if bundle.manifest.image is None else FakePreprocessor(),
        tracing=tracing,
    )
    app = create_app(parts, operator_port=listening or chosen.operator_port)
    return FakeService(
        app, batcher, registry, bundle, lifecycle, metrics, signing, log, usage, state, tracing
    )
