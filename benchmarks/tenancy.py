"""Tenants and their adapters, made over HTTP as an ML team would."""

from collections.abc import Iterable
from dataclasses import dataclass

import httpx
import orjson

from benchmarks.adapters import metadata_of, zipped
from benchmarks.rounds import show
from service.engine.adapter import Adapter
from service.engine.bundle import Manifest


@dataclass(frozen=True, slots=True)
class Placed:
    """A published adapter."""

    tenant: str
    adapter: str

    @property
    def path(self) -> str:
        """Return the path of its predict route."""
        return f"/v1/tenants/{self.tenant}/adapters/{self.adapter}/predict"


def publish_all(
    url: str, adapters: Iterable[tuple[str, str, Adapter]], manifest: Manifest
) -> list[Placed]:
    """Create tenants, upload an adapter (tenant, name, adapter) each, and make it live."""
    placed = []
    known: set[str] = set()
    with httpx.Client(base_url=url, timeout=60.0) as client:
        for number, (tenant, name, adapter) in enumerate(adapters, 1):
            if tenant not in known:
                _check(client.put(f"/v1/tenants/{tenant}", json={}))
                known.add(tenant)
            path = f"/v1/tenants/{tenant}/adapters/{name}"
            package = ("adapter.zip", zipped(adapter, manifest), "application/zip")
            metadata = ("metadata.json", metadata_of(adapter.labels), "application/json")
            form = {"package": package, "metadata": metadata}
            answer = _check(client.post(f"{path}/versions", files=form))
            version = answer.json()["version"]
            _check(client.put(f"{path}/rollout", json={"live": version}))
            placed.append(Placed(tenant, name))
            show(f"published {number} adapters", last=False)
    show(f"published {len(placed)} adapters")
    return placed


def _check(answer: httpx.Response) -> httpx.Response:
    if not answer.is_success:
        raise RuntimeError(f"{answer.request.url}: {answer.status_code} {answer.text}")
    return answer


def predict_body(texts: list[str]) -> bytes:
    """Return the body of a predict request, everything optional left out."""
    return orjson.dumps({"inputs": texts})
