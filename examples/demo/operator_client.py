"""What an operator asks of the service over HTTP: tenants, uploads, rollouts, metrics."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from examples.demo.errors import DemoFailed
from service.client.client import Client
from service.client.documents import Label
from service.client.errors import TenantryClientError

LABELS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Published:
    """An adapter version as the service answered its upload."""

    version: int
    digest: str
    created: bool
    state: str = "validated"  # or rejected, by the gate
    report: Mapping[str, Any] = field(default_factory=dict)


class Operator:
    """A client of the routes that change something, and of any other as it is.

    `url` is the service's root.
    """

    def __init__(self, url: str) -> None:
        self._client = Client(url)
        # What the checks ask is not always what a client would: refusals are answers to them.
        # Loopback only, so no proxy of the environment has a part in it.
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=60.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._http.close()

    def make_tenant(self, tenant: str) -> None:
        """Make the tenant, with nothing logged of what it predicts.

        The first texts are those that the adapters learned from, among others: the sidecar would
        take them for better traffic than there ever is.
        """
        self.set_log(tenant, {"sample": 0.0})

    def set_log(self, tenant: str, log: Mapping[str, object]) -> None:
        """Set what is logged of the tenant's predictions."""
        with _failing():
            self._client.put_tenant(tenant, {"log": log})

    def feedback(self, labels: Sequence[tuple[str, str]]) -> None:
        """Send labels back, by the ids of their predictions."""
        for start in range(0, len(labels), LABELS_AT_ONCE):
            some = labels[start : start + LABELS_AT_ONCE]
            with _failing():
                self._client.feedback([Label(*one) for one in some])

    def upload(
        self, tenant: str, adapter: str, package: bytes, metadata: Mapping[str, Any]
    ) -> Published:
        """Upload a packed adapter with its metadata."""
        with _failing():
            told = self._client.upload(tenant, adapter, package, metadata)
        version = told.version
        return Published(
            version.version, version.digest, told.created, version.state, version.report
        )

    def make_live(self, tenant: str, adapter: str, version: int) -> None:
        """Let the version answer from now on."""
        with _failing():
            self._client.set_rollout(tenant, adapter, version)

    def metrics(self) -> str:
        """Return the metrics in Prometheus' text format."""
        answer = self._http.get("/metrics")
        if not answer.is_success:
            raise DemoFailed(f"GET /metrics: {answer.status_code} {answer.text}")
        return answer.text

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Return status and document of any request, refused ones among them."""
        answer = self._http.request(method, path, json=body)
        return answer.status_code, answer.json()


@contextmanager
def _failing() -> Iterator[None]:
    """Raise the client's errors as the demo's."""
    try:
        yield
    except TenantryClientError as error:
        raise DemoFailed(str(error)) from error
