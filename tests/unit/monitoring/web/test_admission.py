from hypothesis import given
from hypothesis import strategies as st

from monitoring.web.admission import Admission

TENANTS = st.lists(st.sampled_from("abcdefgh"), unique=True)


def test_the_first_tenants_are_admitted_up_to_the_bound() -> None:
    admission = Admission(2)
    assert admission.admit(["c", "a", "b"]) == {"c", "a"}
    assert admission.dropped == 1


def test_an_admitted_tenant_keeps_its_place_whatever_the_order() -> None:
    admission = Admission(2)
    admission.admit(["c", "a"])
    assert admission.admit(["x", "y", "a", "c"]) == {"c", "a"}


def test_a_tenant_that_is_gone_gives_its_place_up() -> None:
    admission = Admission(1)
    admission.admit(["a", "b"])
    assert admission.admit(["b"]) == {"b"}
    assert admission.admit(["a", "b"]) == {"b"}


def test_a_tenant_is_counted_once_for_as_long_as_it_waits() -> None:
    admission = Admission(1)
    for _ in range(3):
        admission.admit(["a", "b"])
    assert admission.dropped == 1
    admission.admit(["a"])
    admission.admit(["a", "b"])
    assert admission.dropped == 2


def test_without_places_nobody_is_admitted() -> None:
    admission = Admission(0)
    assert admission.admit(["a"]) == frozenset()


@given(st.lists(TENANTS), st.integers(0, 8))
def test_places_are_bounded_kept_and_given_to_those_who_are_there(
    rounds: list[list[str]], places: int
) -> None:
    admission = Admission(places)
    before: frozenset[str] = frozenset()
    for present in rounds:
        admitted = admission.admit(present)
        assert len(admitted) == min(places, len(present))
        assert admitted <= set(present)
        assert before & set(present) <= admitted
        before = admitted
