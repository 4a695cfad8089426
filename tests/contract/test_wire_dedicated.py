"""A dedicated bundle on the wire: its own classifier answers who published it, and nobody else."""

import json
from typing import Any

import httpx
import pytest

from tests.fakes.gating import GateBatcher
from tests.fakes.manifests import dedicated_manifest_of, manifest_of
from tests.fakes.packages import CONFIG, WEIGHTS, files_of, labels_of, metadata_of, tar_of, zip_of
from tests.fakes.service import FakeService
from tests.fixtures_service import MakeService

pytestmark = pytest.mark.anyio

ADAPTER = "/v1/tenants/acme/adapters/support"
LABELS = tuple(labels_of())
ROWS = [{"text": f"text number {n}", "label": LABELS[n % 3]} for n in range(60)]
HOLDOUT = "\n".join(map(json.dumps, ROWS)).encode()


@pytest.fixture
def service(service_with: MakeService) -> FakeService:
    return service_with(batcher=GateBatcher({}), manifest=dedicated_manifest_of(LABELS))


async def upload(
    client: httpx.AsyncClient, package: bytes, metadata: dict[str, Any]
) -> httpx.Response:
    await client.put("/v1/tenants/acme", json={})
    form = {"package": ("p", package), "metadata": (None, json.dumps(metadata).encode())}
    return await client.post(f"{ADAPTER}/versions", files=form)


def problems_of(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    return {problem["where"]: problem["what"] for problem in answer.json()["problems"]}


async def test_nobody_is_answered_before_publishing(service: FakeService) -> None:
    async with service.client() as client:
        await client.put("/v1/tenants/acme", json={})
        answer = await client.post(f"{ADAPTER}/predict", json={"inputs": ["hello"]})
    assert answer.status_code == 404
    assert answer.json()["code"] == "unknown-adapter"


@pytest.mark.parametrize(
    "package",
    [zip_of({}), tar_of({}), zip_of({"README.md": b"# Card"})],
    ids=["zip", "tar", "card"],  # the bytes hold the time
)
async def test_an_empty_package_publishes_the_bundle_s_own_classifier(
    service: FakeService, package: bytes
) -> None:
    async with service.client() as client:
        made = await upload(client, package, {"dedicated": True})
        assert made.status_code == 201, made.text
        version = made.json()
        assert version["labels"] == list(LABELS)
        assert version["metadata"]["dedicated"] is True
        assert (version["report"]["rank"], version["report"]["adapter_bytes"]) == (0, 0)
        service.batcher.labels[version["digest"]] = LABELS
        await client.put(f"{ADAPTER}/rollout", json={"live": 1})
        answer = await client.post(f"{ADAPTER}/predict", json={"inputs": ["hello"]})
    assert answer.status_code == 200
    assert answer.json()["model"]["digest"] == version["digest"]
    assert sorted(answer.json()["predictions"][0]["scores"]) == sorted(LABELS)


async def test_the_same_again_is_the_same_version(service: FakeService) -> None:
    async with service.client() as client:
        first = await upload(client, zip_of({}), {"dedicated": True})
        again = await upload(client, tar_of({}), {"dedicated": True, "labels": list(LABELS)})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["digest"] == again.json()["digest"]


async def test_a_hold_out_is_measured_and_fits_a_temperature(service: FakeService) -> None:
    async with service.client() as client:
        package = zip_of({"holdout.jsonl": HOLDOUT})
        made = await upload(client, package, {"dedicated": True, "calibrated": True})
    assert made.status_code == 201, made.text
    assert made.json()["report"]["measured"]["rows"] == len(ROWS)
    assert made.json()["metadata"]["temperature"] > 0


async def test_other_labels_are_refused(service: FakeService) -> None:
    async with service.client() as client:
        document = {"dedicated": True, "labels": list(reversed(LABELS))}
        answer = await upload(client, zip_of({}), document)
    assert list(problems_of(answer)) == ["metadata/labels"]


async def test_an_adapter_is_refused_and_told_what_to_do(service: FakeService) -> None:
    files = files_of(manifest_of(), labels=3)
    async with service.client() as client:
        answer = await upload(client, zip_of(files), json.loads(metadata_of(3)))
        found = problems_of(answer)
        both = problems_of(await upload(client, zip_of(files), {"dedicated": True}))
    assert list(found) == ["package"]
    assert "takes no adapters" in found["package"]
    assert "--dedicated" in found["package"]
    assert sorted(both) == [f"package/{CONFIG}", f"package/{WEIGHTS}"]


async def test_a_backbone_refuses_to_publish_itself(service_with: MakeService) -> None:
    service = service_with()
    async with service.client() as client:
        found = problems_of(await upload(client, zip_of({}), {"dedicated": True}))
    assert "without a classifier of its own" in found["metadata/dedicated"]


async def test_a_signature_is_asked_for_where_every_upload_needs_one(
    service_with: MakeService, tmp_path_factory: pytest.TempPathFactory
) -> None:
    keys = tmp_path_factory.mktemp("keys")
    manifest = dedicated_manifest_of(LABELS)
    service = service_with(batcher=GateBatcher({}), manifest=manifest, gate_signing_keys=keys)
    async with service.client() as client:
        found = problems_of(await upload(client, zip_of({}), {"dedicated": True}))
    assert list(found) == ["package/model.sig"]
