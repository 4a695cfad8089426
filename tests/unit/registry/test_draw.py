import hashlib
import statistics
from fractions import Fraction

import pytest

from service.registry.draw import position

KEYS = [f"user-{i}" for i in range(4_000)]


@pytest.mark.parametrize("key", ["", "user-42", "ä", "\ud800", "a/b", "x" * 10_000])
def test_a_position_is_what_its_description_says(key: str) -> None:
    digest = hashlib.sha256(b"acme/routing/" + key.encode(errors="surrogatepass")).digest()
    exact = Fraction(int.from_bytes(digest[:8], "big"), 2**64) * 100
    assert position("acme", "routing", key) == pytest.approx(float(exact), abs=1e-12)
    assert 0 <= position("acme", "routing", key) < 100


def test_positions_are_spread_evenly() -> None:
    drawn = [position("acme", "routing", key) for key in KEYS]
    assert statistics.fmean(drawn) == pytest.approx(50, abs=1.5)
    for percent in (1, 10, 50, 90):
        share = 100 * sum(each < percent for each in drawn) / len(drawn)
        assert share == pytest.approx(percent, abs=2)


def test_adapters_and_tenants_draw_independently() -> None:
    first = [key for key in KEYS if position("acme", "routing", key) < 10]
    for tenant, adapter in (("acme", "spam"), ("globex", "routing")):
        again = sum(position(tenant, adapter, key) < 10 for key in first)
        assert again / len(first) < 0.2
