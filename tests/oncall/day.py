"""A day on which everything happens that the dashboards show, on a service with a sidecar.

Six tenants on every wire, requests that fail in every way, labels, uploads, a canary that is fine
and one that is worse, a shadow, an adapter that overflows, a tenant whose texts drift, a flood, and
more adapters than the bank holds.
"""

import io
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from examples.gameday.adapters import ADAPTER
from examples.gameday.callers import Callers, calling
from examples.gameday.faulty import NON_FINITE
from examples.gameday.operator import Operator
from examples.gameday.pair import monitoring, serving
from examples.gameday.programs import Program
from examples.gameday.town import Tenant, Town

DRIFTED, CANARY, WORSE, SHADOW, POISONED, FLOODED = (
    "florist",
    "bakery",
    "cinema",
    "library",
    "hotel",
    "garage",
)
_SERVICE = {
    "events_flush_s": 0.2,
    "usage_flush_s": 1,
    "bank_slots": 6,
    "host_cache_bytes_max": 1,  # so that what lost its slot is read again
    "base_embedding_ratio": 0.2,
    "audit_ratio": 0.1,
    # So short that some answers are slow, and all of one class.
    "latency_objective_s": 0.005,
    "class_latency_objectives": '["gold=0.001"]',
    "trace_ratio": 1,
    "automatic_rollback": "canary",
    "tenant_series_max": 6,
}
_SIDECAR = {
    "bucket_s": 1,
    "poll_s": 0.1,
    "checkpoint_s": 0.5,
    "drift_patience_s": 2,
    "alarms_per_week": 600,
    "webhook_cooldown_s": 5,
}
_TENANTS: Mapping[str, Mapping[str, object]] = {
    FLOODED: {"rates": {"requests_per_s": 6.0}},
    DRIFTED: {"class": "gold"},
}
# Seeds that no tenant's adapter has.
_WORSE, _SHADOW, _BROKEN, _DAMAGED = 96, 97, 98, 99
_LONG = "please send the parcel back " * 40


@dataclass(slots=True)
class Day:
    """What runs on it."""

    town: Town
    service: Program
    sidecar: Program
    operator: Operator
    callers: Mapping[str, Callers]
    faults: Path
    state: Path
    _damaged: Sequence[str] = ()

    def begin(self) -> None:
        """Let everything happen that goes on by itself from then on."""
        self.callers[DRIFTED].habits.words = "foreign"
        self.callers[FLOODED].habits.requests_per_s = 20.0
        # One request in ten of either version tells of latency, and a hundred are needed.
        self.callers[CANARY].habits.requests_per_s = 80.0
        self.callers[CANARY].habits.labelled = 0.05
        self._roll_out()
        self._damaged = [self._damage(name) for name in (SHADOW, DRIFTED)]

    def _roll_out(self) -> None:
        operator, tenant = self.operator, self.town.tenant
        fine = tenant(CANARY)
        canary = operator.upload(fine, operator.weights(fine), fine.holdout, temperature=1.1)
        operator.roll_out(fine, 1, canary=(canary.version, 50.0))
        worse = tenant(WORSE)
        stranger = operator.upload(worse, operator.weights(worse, _WORSE), worse.holdout)
        operator.roll_out(worse, 1, canary=(stranger.version, 50.0))
        shadowed = tenant(SHADOW)
        beside = operator.upload(shadowed, operator.weights(shadowed, _SHADOW))
        operator.roll_out(shadowed, 1, shadow=[beside.version])
        bad = tenant(POISONED)
        broken = operator.upload(bad, operator.weights(bad, _BROKEN))
        operator.roll_out(bad, broken.version)
        (self.faults / NON_FINITE).write_text(broken.digest, encoding="ascii")

    def ask_in_every_way(self) -> None:
        """Ask once on every wire, once for each way to be refused, and upload in every way."""
        with httpx.Client(base_url=self.service.url, trust_env=False, timeout=30.0) as client:
            for tenant in self.town.tenants:
                _ask_on_every_wire(client, tenant)
            _be_refused(client, self.town.tenant(CANARY))
            client.put("/v1/tenants/newcomer", json={})  # one more than have series
            client.post("/v1/tenants/newcomer/adapters/none/predict", json={"inputs": ["a"]})
            for path in self._damaged:
                client.post(path, json={"inputs": ["where is my order"]})
        tenant = self.town.tenant(CANARY)
        self.operator.upload(tenant, self.operator.weights(tenant), tenant.holdout)  # known

    def _damage(self, name: str) -> str:
        """Damage the file of a version that nobody asked for yet, and return its path to ask it."""
        tenant = self.town.tenant(name)
        weights = self.operator.weights(tenant, _DAMAGED + tenant.seed)
        version = self.operator.upload(tenant, weights)
        digest = version.digest.removeprefix("sha256:")
        folder = self.state / "store" / "adapters" / digest[:2] / digest
        file = folder / "adapter_model.safetensors"
        file.chmod(0o600)
        file.write_bytes(bytes(len(file.read_bytes())))
        return f"{tenant.adapter}/versions/{version.version}/predict"


@contextmanager
def day(town: Town, folder: Path, traces: str) -> Iterator[Day]:
    """Run service, sidecar and callers around the block; `traces` is where spans are sent."""
    state = folder / "state"
    faults = folder / "faults"
    faults.mkdir()
    settings = {**_SERVICE, "otlp_endpoint": traces}
    command = (sys.executable, "-m", "examples.gameday.faulty", str(faults))
    with ExitStack() as opened:
        service = opened.enter_context(
            serving(
                town.bundle.path, state, folder / "service.log", settings=settings, command=command
            )
        )
        operator = opened.enter_context(Operator(service.url, town))
        operator.open_shops(_TENANTS)
        sidecar = opened.enter_context(monitoring(state, folder / "sidecar.log", settings=_SIDECAR))
        callers = opened.enter_context(calling(service.url, town.tenants))
        yield Day(town, service, sidecar, operator, callers, faults, state)


def _ask_on_every_wire(client: httpx.Client, tenant: Tenant) -> None:
    """Ask in each protocol; what a tenant's broken adapter answers is as good as any."""
    model = f"{tenant.name}.{ADAPTER}"
    text = tenant.asked[0].text
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
    for path, body in (
        (f"{tenant.adapter}/predict", {"inputs": [text, "", "caf\ufffd", _LONG], "group": "web"}),
        (f"{tenant.adapter}/versions/1/predict", {"inputs": [text], "embedding": True}),
        (f"/v2/models/{model}/infer", {"inputs": [tensor]}),
        (f"/tei/{model}/predict", {"inputs": text}),
        (f"/tei/{model}/embed", {"inputs": text}),
        (f"/hf/{model}", {"inputs": text}),
        ("/classify", {"model": model, "input": text}),
    ):
        client.post(path, json=body)
    for path in ("/v1/models", "/v2/health/ready", f"{tenant.adapter}/rollout/comparison"):
        client.get(path)


def _be_refused(client: httpx.Client, tenant: Tenant) -> None:
    predict = f"{tenant.adapter}/predict"
    client.post(predict, content=b"{", headers={"content-type": "application/json"})
    client.post(predict, content=b"a", headers={"content-type": "text/plain"})
    client.post(predict, json={"inputs": []})
    client.post("/v1/tenants/nobody/adapters/none/predict", json={"inputs": ["a"]})
    client.post(predict, json={"inputs": [_LONG] * 900}, headers={"x-timeout-ms": "5"})
    client.post("/v1/feedback", json={"labels": [{"id": "no id", "label": "praise"}]})
    client.get("/nowhere")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as empty:
        empty.writestr("README.md", "nothing")
    client.post(
        f"{tenant.adapter}/versions",
        files={"package": ("a.zip", archive.getvalue())},
        data={"metadata": "{}"},
    )
