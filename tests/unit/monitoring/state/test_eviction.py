from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from monitoring.state.eviction import leaving


@dataclass(frozen=True, slots=True)
class Owner:
    id: int
    tenant: str
    last_us: int


def gone(owners: list[Owner], count: int) -> list[int]:
    return [owner.id for owner in leaving(owners, lambda owner: owner.last_us, count)]


def test_a_tenant_with_many_loses_its_own_however_silent_the_others_are() -> None:
    quiet = [Owner(1, "quiet", 5), Owner(2, "quiet", 6)]
    crowd = [Owner(10 + number, "crowd", 1000 + number) for number in range(50)]
    assert gone([*quiet, *crowd], 48) == list(range(10, 58))


def test_of_one_tenant_the_longest_silent_goes_first() -> None:
    owners = [Owner(1, "acme", 30), Owner(2, "acme", 10), Owner(3, "acme", 20)]
    assert gone(owners, 2) == [2, 3]


def test_where_all_have_as_many_the_longest_silent_goes_first() -> None:
    assert gone([Owner(1, "acme", 30), Owner(2, "globex", 10), Owner(3, "hooli", 20)], 2) == [2, 3]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), max_size=30), st.integers(0, 30)
)
def test_nobody_with_fewer_than_the_largest_share_left_loses_any(
    given_: list[tuple[str, int]], count: int
) -> None:
    owners = [Owner(number, *one) for number, one in enumerate(given_)]
    lost = set(gone(owners, count))
    assert len(lost) == min(count, len(owners))
    left = dict.fromkeys("abc", 0)
    for owner in owners:
        left[owner.tenant] += owner.id not in lost
    for owner in owners:
        if owner.id in lost:
            assert left[owner.tenant] >= max(left.values()) - 1
