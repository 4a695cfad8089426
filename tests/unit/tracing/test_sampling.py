import pytest

from service.tracing.sampling import Sampling, tenant_ratios


class Ticking:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_tenants_own_ratio_goes_before_the_ratio_of_all() -> None:
    sampling = Sampling(0.05, {"loud": 0.5, "silent": 0.0}, draw=lambda: 0.3)
    assert sampling.records("loud")
    assert not sampling.records("silent")
    assert not sampling.records("acme")
    assert Sampling(0.05, draw=lambda: 0.04).records("acme")


def test_the_ends_of_the_range_need_no_luck() -> None:
    assert Sampling(1.0, draw=lambda: 0.999999).records("acme")
    assert not Sampling(0.0, draw=lambda: 0.0).records("acme")


@pytest.mark.parametrize("caller_records", [None, True, False])
def test_a_caller_is_not_asked_unless_it_is_followed(caller_records: bool | None) -> None:
    assert not Sampling(0.5, draw=lambda: 0.7).records("acme", caller_records)
    assert Sampling(0.5, draw=lambda: 0.3).records("acme", caller_records)


def test_a_caller_that_is_followed_decides_and_one_without_a_trace_does_not() -> None:
    sampling = Sampling(0.0, {"all": 1.0}, follow=True)
    assert sampling.records("acme", caller_records=True)
    assert not sampling.records("all", caller_records=False)
    assert sampling.records("all", None)
    assert not sampling.records("acme", None)


def test_callers_make_no_more_recorded_than_the_rate_allows() -> None:
    clock = Ticking()
    sampling = Sampling(0.0, follow=True, followed_per_s_max=2.0, clock_s=clock)
    assert sum(sampling.records("acme", caller_records=True) for _ in range(100)) == 2
    clock.now_s += 0.5
    assert sum(sampling.records("acme", caller_records=True) for _ in range(100)) == 1
    clock.now_s += 3600.0
    assert sum(sampling.records("acme", caller_records=True) for _ in range(100)) == 2


def test_beyond_the_rate_the_tenants_ratio_decides() -> None:
    sampling = Sampling(0.0, {"all": 1.0}, follow=True, followed_per_s_max=0.0)
    assert sampling.records("all", caller_records=True)
    assert not sampling.records("acme", caller_records=True)


def test_a_slow_rate_lets_one_through_now_and_then() -> None:
    clock = Ticking()
    sampling = Sampling(0.0, follow=True, followed_per_s_max=0.1, clock_s=clock)
    assert sampling.records("acme", caller_records=True)
    clock.now_s += 9.0
    assert not sampling.records("acme", caller_records=True)
    clock.now_s += 1.5
    assert sampling.records("acme", caller_records=True)


def test_ratios_of_tenants_are_pairs() -> None:
    assert tenant_ratios(["acme=1", "globex=0.25"]) == {"acme": 1.0, "globex": 0.25}


@pytest.mark.parametrize(
    "pairs", [["acme"], ["=1"], ["acme=2"], ["acme=-0.1"], ["acme=nan"], ["acme=a"], ["a=1", "a=0"]]
)
def test_anything_else_is_refused(pairs: list[str]) -> None:
    with pytest.raises(ValueError, match=r"must hold pairs|names the tenant"):
        tenant_ratios(pairs)
