"""The draw between live and canary, for any key and any percent."""

from hypothesis import given
from hypothesis import strategies as st

from service.registry.draw import position

names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)


@given(names, names, st.text())
def test_a_position_is_always_the_same_and_in_range(tenant: str, adapter: str, key: str) -> None:
    drawn = position(tenant, adapter, key)
    assert 0 <= drawn < 100
    assert position(tenant, adapter, key) == drawn


@given(names, names, st.text(), st.floats(0, 100), st.floats(0, 100))
def test_raising_the_percent_keeps_those_who_had_the_canary(
    tenant: str, adapter: str, key: str, first: float, second: float
) -> None:
    low, high = sorted((first, second))
    drawn = position(tenant, adapter, key)
    assert not drawn < low or drawn < high
