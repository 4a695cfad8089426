"""The comparison of canary and live on the wire."""

import pytest

from service.api.comparison import EXAMPLE
from service.api.comparison_document import ComparisonDocument
from service.registry.records import Proof
from tests.contract.test_wire_native import check_document, check_problem
from tests.fakes.service import FakeService
from tests.fixtures_service import MakeService

pytestmark = pytest.mark.anyio

ROLLOUT = "/v1/tenants/acme/adapters/support/rollout"
COMPARISON = f"{ROLLOUT}/comparison"


@pytest.fixture
def service(service_with: MakeService) -> FakeService:
    """Return a service with versions 1 and 2 of an adapter."""
    made = service_with(admin_key="k" * 20)
    for seed in range(2):
        made.publish("acme", "support", seed=seed, live=False)
    made.publish("globex", "support", seed=5, live=False)
    return made


async def test_without_a_canary_there_is_nothing_to_compare(service: FakeService) -> None:
    async with service.client(headers=service.bearer("acme", "publish")) as client:
        told = check_document(await client.get(COMPARISON), 200, ComparisonDocument)
    assert (told["verdict"], told["trial"], told["last_rollback"]) == ("no_canary", None, None)
    assert told["automatic_rollback"] == "off"


async def test_of_a_canary_of_which_nothing_is_known_that_is_said(service: FakeService) -> None:
    rollout = {"live": 1, "canary": {"version": 2, "percent": 12.5}}
    async with service.client(headers=service.bearer("acme", "publish")) as client:
        await client.put(ROLLOUT, json=rollout)
        told = check_document(await client.get(COMPARISON), 200, ComparisonDocument)
    assert (told["verdict"], told["trial"]) == ("collecting", None)
    assert (told["live"], told["canary"], told["percent"], told["revision"]) == (1, 2, 12.5, 1)


async def test_a_rollback_is_told_of_until_somebody_changes_the_rollout(
    service: FakeService,
) -> None:
    rollout = {"live": 1, "canary": {"version": 2, "percent": 12.5}}
    async with service.client(headers=service.bearer("acme", "publish")) as client:
        await client.put(ROLLOUT, json=rollout)
        seen = service.registry.rollout("acme", "support")
        proof = Proof("accuracy: Version 2 is less accurate.", {"watched": "canary"})
        service.registry.take_out_canary(seen, proof, "controller")
        told = check_document(await client.get(COMPARISON), 200, ComparisonDocument)
        assert told["verdict"] == "rolled_back"
        assert told["sentence"].endswith("Version 2 is less accurate.")
        assert told["last_rollback"]["revision"] == told["revision"] == 2
        await client.put(ROLLOUT, json={"live": 2})
        told = check_document(await client.get(COMPARISON), 200, ComparisonDocument)
    assert told["verdict"] == "no_canary"
    assert told["last_rollback"]["reason"] == "accuracy: Version 2 is less accurate."


async def test_who_may_not_publish_there_may_not_compare(service: FakeService) -> None:
    async with service.client(headers=service.bearer("acme", "predict")) as client:
        check_problem(await client.get(COMPARISON), 403, "not-permitted")
    async with service.client(headers=service.bearer("globex", "publish")) as client:
        check_problem(await client.get(COMPARISON), 404, "unknown-tenant")
    async with service.client(headers=service.bearer("acme", "publish")) as client:
        other = COMPARISON.replace("support", "nobody")
        check_problem(await client.get(other), 404, "unknown-adapter")


def test_the_example_is_a_comparison() -> None:
    ComparisonDocument.model_validate(EXAMPLE)
