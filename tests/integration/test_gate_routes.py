"""The gate on the wire: what is refused and how it is told, reports and cards by route."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.errors import QueueFull
from service.events.records import Reference
from service.gate import measure
from service.gate.report import Report
from tests.fakes.gating import GateBatcher
from tests.fakes.packages import files_of, labels_of, metadata_of, zip_of
from tests.fakes.service import FakeService
from tests.fakes.signing import SigningKey
from tests.fixtures_service import MakeService

pytestmark = pytest.mark.anyio

VERSIONS = "/v1/tenants/acme/adapters/support/versions"
ROWS = [{"text": f"text number {n}", "label": labels_of()[n % 3]} for n in range(40)]
HOLDOUT = "\n".join(map(json.dumps, ROWS)).encode()


@pytest.fixture
def make(service_with: MakeService) -> MakeService:
    """Return a maker of services that can run hold-outs."""

    def made(**settings: Any) -> FakeService:
        return service_with(batcher=GateBatcher({}), **settings)

    return made


@pytest.fixture
def service(make: MakeService) -> FakeService:
    """Return a service with the default settings."""
    return make()


def files(service: FakeService, **others: bytes) -> dict[str, bytes]:
    """Return the files of an adapter, and others, each `_` of whose names is a dot."""
    named = {name.replace("_", "."): data for name, data in others.items()}
    return {**files_of(service.bundle.manifest, labels=3), **named}


async def upload(
    client: httpx.AsyncClient, packed: dict[str, bytes], **metadata: Any
) -> httpx.Response:
    await client.put("/v1/tenants/acme", json={})
    form = {"package": ("a.zip", zip_of(packed)), "metadata": (None, metadata_of(**metadata))}
    return await client.post(VERSIONS, files=form)


async def problems_of(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    return {problem["where"]: problem["what"] for problem in answer.json()["problems"]}


async def test_a_hold_out_is_measured_and_the_report_is_there_by_route(
    service: FakeService,
) -> None:
    async with service.client() as client:
        made = await upload(client, files(service, holdout_jsonl=HOLDOUT))
        assert made.status_code == 201, made.text
        report = made.json()["report"]
        assert Report.model_validate(report).document() == report
        assert report["measured"]["rows"] == 40
        assert (await client.get(f"{VERSIONS}/1/report")).json() == report
        assert (await client.get(f"{VERSIONS}/1")).json() == made.json()
    (write,) = service.log.writes
    (reference,) = write
    assert isinstance(reference, Reference)
    assert (reference.tenant, reference.adapter, reference.version) == ("acme", "support", 1)
    assert len(reference) == 40


async def test_a_reference_that_cannot_be_written_is_a_503_and_leaves_no_version(
    service: FakeService,
) -> None:
    async with service.client() as client:
        service.log.full = True
        answer = await upload(client, files(service, holdout_jsonl=HOLDOUT))
        assert answer.status_code == 503, answer.text
        assert answer.json()["code"] == "store-full"
        assert (await client.get(f"{VERSIONS}/1")).status_code == 404
        service.log.full = False
        again = await upload(client, files(service, holdout_jsonl=HOLDOUT))
        assert again.status_code == 201


async def test_a_server_without_room_for_the_hold_out_is_full(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "_PAUSE_S", 1e9)  # the first refusal is one too many
    async with service.client() as client:
        packed = files(service, holdout_jsonl=HOLDOUT)
        await client.put("/v1/tenants/acme", json={})

        async def refuse(*_: Any) -> Any:
            raise QueueFull("full")

        monkeypatch.setattr(service.batcher, "answer", refuse)
        answer = await upload(client, packed)
    assert answer.status_code == 503
    assert answer.json()["code"] == "queue-full"
    assert "hold-out" in answer.json()["detail"]
    assert answer.headers["retry-after"]


async def test_a_licence_that_is_not_allowed_is_refused_and_audited(
    make: MakeService,
) -> None:
    service = make(gate_licenses=("Apache-2.0", "CC0-1.0"))
    async with service.client() as client:
        for metadata in ({"license": "MIT"}, {}):
            answer = await upload(client, files(service), **metadata)
            found = await problems_of(answer)
            assert list(found) == ["metadata/license"]
            assert "Apache-2.0, CC0-1.0" in found["metadata/license"]
        trail = (await client.get("/v1/audit?tenant=acme")).json()["lines"]
        assert [line["action"] for line in trail].count("version.refused") == 2
        taken = await upload(client, files(service), license="cc0-1.0")
        assert taken.status_code == 201
        assert taken.json()["report"]["license"] == "cc0-1.0"


async def test_a_hold_out_can_be_asked_for(make: MakeService) -> None:
    service = make(gate_holdout_required=True)
    async with service.client() as client:
        found = await problems_of(await upload(client, files(service), owner=""))
        assert set(found) == {"package/holdout.jsonl", "metadata/owner"}
        assert (await upload(client, files(service, holdout_jsonl=HOLDOUT))).status_code == 201


async def test_a_temperature_needs_something_to_be_fitted_on(service: FakeService) -> None:
    async with service.client() as client:
        none = await problems_of(await upload(client, files(service), calibrated=True))
        assert "send holdout.jsonl" in none["metadata/temperature"]
        few = files(service, holdout_jsonl=HOLDOUT[: HOLDOUT.index(b"\n")])
        found = await problems_of(await upload(client, few, calibrated=True))
        assert "a temperature needs 20" in found["holdout.jsonl"]
        fitted = await upload(client, files(service, holdout_jsonl=HOLDOUT), calibrated=True)
        again = await upload(client, files(service, holdout_jsonl=HOLDOUT), calibrated=True)
    assert (fitted.status_code, again.status_code) == (201, 200)
    assert again.json() == fitted.json()


async def test_a_server_that_asks_for_signatures_takes_no_other_package(
    make: MakeService, tmp_path: Path
) -> None:
    key, foreign = SigningKey(tmp_path, "ours"), SigningKey(tmp_path, "theirs")
    trusted = key.trusted_in(tmp_path / "trusted")
    service = make(gate_signing_keys=trusted)
    packed = files(service, holdout_jsonl=HOLDOUT)
    async with service.client() as client:
        unsigned = await problems_of(await upload(client, packed))
        assert "signed packages only" in unsigned["package/model.sig"]
        wrong = await problems_of(await upload(client, foreign.signed(packed)))
        assert "another key" in wrong["model.sig"]
        assert (await client.get(VERSIONS)).status_code == 404
        made = await upload(client, key.signed(packed))
    assert made.status_code == 201, made.text
    assert made.json()["report"]["signed_by"] == "ours.pub"
    version = service.registry.version("acme", "support", 1)
    assert "model.sig" in version.extras
    assert not list((service.state / "store" / "tmp").iterdir())


async def test_a_signature_that_nobody_asked_for_is_kept_and_not_judged(
    service: FakeService,
) -> None:
    async with service.client() as client:
        made = await upload(client, files(service, model_sig=b"anything"))
    assert made.status_code == 201
    assert made.json()["report"]["signed_by"] is None


@pytest.mark.parametrize(
    ("metadata", "others", "own"),
    [
        ({"card": "# From the metadata"}, {"README_md": b"# File"}, "# From the metadata"),
        ({}, {"README_md": "# Größe".encode()}, "# Größe"),
        ({}, {"README_md": b"\xff\xfe broken"}, "broken"),
        ({}, {}, None),
    ],
)
async def test_a_card_is_markdown_with_the_owner_s_own_below(
    service: FakeService, metadata: dict[str, Any], others: dict[str, bytes], own: str | None
) -> None:
    async with service.client() as client:
        made = await upload(client, files(service, **others), owner="ml@acme.example", **metadata)
        assert made.status_code == 201, made.text
        card = await client.get(f"{VERSIONS}/1/card")
    assert card.status_code == 200
    assert card.headers["content-type"] == "text/markdown; charset=utf-8"
    assert card.headers["x-content-type-options"] == "nosniff"
    assert card.text.startswith("# acme.support, version 1\n")
    assert "acme\\.example" in card.text
    assert ("## From its owner" in card.text) is (own is not None)
    if own is not None:
        assert own in card.text.partition("## From its owner")[2]


async def test_a_card_of_nothing_is_a_404(service: FakeService) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        for path, code in (
            (f"{VERSIONS}/2/card", "unknown-version"),
            (f"{VERSIONS}/x/card", "unknown-version"),
            ("/v1/tenants/acme/adapters/none/versions/1/card", "unknown-adapter"),
            ("/v1/tenants/nobody/adapters/none/versions/1/card", "unknown-tenant"),
        ):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, code)


async def test_a_version_from_before_the_gate_has_a_card(service: FakeService) -> None:
    service.publish("acme", "support")  # with an empty report
    async with service.client() as client:
        card = await client.get(f"{VERSIONS}/1/card")
    assert card.status_code == 200
    assert "label 0" in card.text
