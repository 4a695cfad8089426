"""What an operator asks of the service over HTTP: tenants, uploads, rollouts, metrics."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import httpx

from examples.demo.errors import DemoFailed


@dataclass(frozen=True, slots=True)
class Published:
    """An adapter version as the service answered its upload."""

    version: int
    digest: str
    created: bool


class Operator:
    """A client of the routes that change something; `url` is the service's root."""

    def __init__(self, url: str) -> None:
        # Loopback only, so no proxy of the environment has a part in it.
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=60.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def make_tenant(self, tenant: str) -> None:
        """Make the tenant, with defaults alone."""
        self._done(self._http.put(f"/v1/tenants/{tenant}", json={}))

    def upload(
        self, tenant: str, adapter: str, package: bytes, metadata: Mapping[str, Any]
    ) -> Published:
        """Upload a packed adapter with its metadata."""
        answer = self._done(
            self._http.post(
                f"/v1/tenants/{tenant}/adapters/{adapter}/versions",
                files={
                    "package": ("adapter.zip", package, "application/zip"),
                    "metadata": ("metadata.json", json.dumps(metadata), "application/json"),
                },
            )
        )
        told = answer.json()
        created = answer.status_code == httpx.codes.CREATED
        return Published(told["version"], told["digest"], created)

    def make_live(self, tenant: str, adapter: str, version: int) -> None:
        """Let the version answer from now on."""
        path = f"/v1/tenants/{tenant}/adapters/{adapter}/rollout"
        self._done(self._http.put(path, json={"live": version}))

    def metrics(self) -> str:
        """Return the metrics in Prometheus' text format."""
        return self._done(self._http.get("/metrics")).text

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Return status and document of any request, refused ones among them."""
        answer = self._http.request(method, path, json=body)
        return answer.status_code, answer.json()

    def _done(self, answer: httpx.Response) -> httpx.Response:
        if not answer.is_success:
            request = answer.request
            raise DemoFailed(
                f"{request.method} {request.url.path}: {answer.status_code} {answer.text}"
            )
        return answer
