from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from service.api.vllm_metrics import NAMES_MAX, LiveNames, VllmMetrics
from service.registry.records import DEFAULTS, Canary, Rollout, Route
from service.registry.routes import AdapterRoutes, Routes, TenantRoutes, routes_of
from tests.fakes.occupancy import FakeLoad, FakeOccupancy


def names_of(digest: str) -> list[str]:
    return {"both": ["acme.one", "other.one"], "gone": []}.get(digest, [f"acme.{digest}"])


def scraped(occupancy: FakeOccupancy) -> dict[str, Metric]:
    registry = CollectorRegistry()
    registry.register(VllmMetrics(occupancy, names_of, clock=lambda: 1700.5))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {family.name: family for family in families}


def test_adapters_are_one_sample_whose_value_is_the_time() -> None:
    found = scraped(FakeOccupancy(in_slots=["a", "b"], waiting=["c"]))
    [sample] = found["vllm:lora_requests_info"].samples
    assert sample.value == 1700.5
    assert sample.labels == {
        "max_lora": "8",
        "running_lora_adapters": "acme.a,acme.b",
        "waiting_lora_adapters": "acme.c",
    }
    assert found["vllm:lora_requests_info"].type == "gauge"


def test_a_second_scrape_has_one_sample_again() -> None:
    occupancy = FakeOccupancy(in_slots=["a"])
    registry = CollectorRegistry()
    registry.register(VllmMetrics(occupancy, names_of))
    generate_latest(registry)
    occupancy.in_slots = ["b"]
    lines = [
        line
        for line in generate_latest(registry).decode().splitlines()
        if line.startswith("vllm:lora_requests_info{")
    ]
    assert len(lines) == 1
    assert "acme.b" in lines[0]


def test_nothing_loaded_is_an_empty_list_and_not_an_absent_one() -> None:
    [sample] = scraped(FakeOccupancy())["vllm:lora_requests_info"].samples
    assert sample.labels["running_lora_adapters"] == ""


def test_a_digest_goes_by_all_its_names_and_an_unnamed_one_by_none() -> None:
    [sample] = scraped(FakeOccupancy(in_slots=["gone", "both", "both"]))[
        "vllm:lora_requests_info"
    ].samples
    assert sample.labels["running_lora_adapters"] == "acme.one,other.one"


def test_lists_are_bounded() -> None:
    many = [f"adapter-{number}" for number in range(500)]
    [sample] = scraped(FakeOccupancy(in_slots=["both", *many], waiting=many))[
        "vllm:lora_requests_info"
    ].samples
    for label in ("running_lora_adapters", "waiting_lora_adapters"):
        assert len(sample.labels[label].split(",")) == NAMES_MAX
    assert sample.labels["running_lora_adapters"].startswith("acme.one,other.one,acme.adapter-0,")


def test_the_load_is_told() -> None:
    found = scraped(FakeOccupancy(FakeLoad(queue_texts=7, running_texts=3, slots_used=2)))
    told = {name: family.samples[0].value for name, family in found.items()}
    assert told["vllm:num_requests_waiting"] == 7
    assert told["vllm:num_requests_running"] == 3
    assert told["vllm:kv_cache_usage_perc"] == 0.25


def test_a_batcher_that_has_not_started_uses_no_slot() -> None:
    found = scraped(FakeOccupancy(FakeLoad(slots=0)))
    assert found["vllm:kv_cache_usage_perc"].samples[0].value == 0.0


def test_registering_asks_the_batcher_nothing() -> None:
    class Silent(FakeOccupancy):
        def status(self) -> FakeLoad:
            raise AssertionError("it has not started")

    CollectorRegistry().register(VllmMetrics(Silent(), names_of))


def routes(tenant: str, adapter: str, canary: int | None, *digests: str) -> AdapterRoutes:
    """Return the routes of an adapter whose first version is live."""
    versions = [
        Route(tenant, adapter, number, digest, ("a", "b"), calibrated=False)
        for number, digest in enumerate(digests, 1)
    ]
    chosen = None if canary is None else Canary(canary, 10.0)
    rollout = Rollout(tenant, adapter, 1, 1, None, "tests", None, chosen)
    return routes_of(versions, {}, rollout, DEFAULTS)


def test_a_digest_is_called_by_every_name_that_it_answers_for() -> None:
    acme = TenantRoutes(adapters={"one": routes("acme", "one", 2, "x", "y", "z")})
    other = TenantRoutes(adapters={"two": routes("other", "two", None, "x")})
    held = Routes({"acme": acme, "other": other})
    names = LiveNames(lambda: held)
    assert list(names("x")) == ["acme.one", "other.two"]
    assert list(names("y")) == ["acme.one"], "a canary answers by the name of its adapter"
    assert list(names("z")) == [], "a version that answers nobody has no name"
    held = Routes({"acme": acme})
    assert list(names("x")) == ["acme.one"], "a change of the routes is seen"
