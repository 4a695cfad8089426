"""The comparison of canary and live on the wire."""

import pytest

from service.api.comparison import EXAMPLE, ComparisonRoute
from service.api.comparison_document import ComparisonDocument
from service.registry.records import Proof
from service.trials.comparison import Comparison, compare
from service.trials.trial import Arms, Trial
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


class Known:
    """Knows one trial of an adapter, which may be over."""

    def __init__(self, live: int, canary: int) -> None:
        self._versions = canary, live

    def comparison(self, tenant: str, adapter: str) -> Comparison | None:
        arms = Arms(tenant, adapter, *self._versions, 1, 0.0)
        trial = Trial(arms, alpha=0.01, objective_s=0.5)
        trial.quarantined = True
        return compare(trial, 12.5)


@pytest.mark.parametrize(
    ("arms", "verdict"),
    [((1, 2), "worse"), ((3, 2), "collecting"), ((1, 3), "collecting")],
    ids=["of both", "of the live version before", "of the canary before"],
)
def test_a_verdict_stands_beside_the_versions_that_it_is_of(
    service: FakeService, arms: tuple[int, int], verdict: str
) -> None:
    rollout = {"live": 1, "canary": {"version": 2, "percent": 12.5}}
    service.registry.set_rollout("acme", "support", rollout, None, "ann")
    route = ComparisonRoute(service.registry, Known(*arms), "off")
    told = route._document("acme", "support")
    assert told["verdict"] == verdict
    assert (told["trial"] is None) == (verdict == "collecting")


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
