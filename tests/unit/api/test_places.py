import pytest

from service.api.places import Places
from service.errors import QueueFull, TenantLimited


def test_there_are_so_many_places_and_each_comes_back() -> None:
    places = Places(2)
    for _ in range(3):
        with (
            places.taken("acme", "uploads"),
            places.taken("globex", "uploads"),
            pytest.raises(QueueFull, match="no more uploads"),
            places.taken("zeta", "uploads"),
        ):
            pass


def test_no_tenant_has_all_of_them() -> None:
    places = Places(3)
    with places.taken("acme", "uploads"), places.taken("acme", "uploads"):
        with (
            pytest.raises(TenantLimited, match="has 2 uploads") as refused,
            places.taken("acme", "uploads"),
        ):
            pass
        assert refused.value.retry_after_s == 1.0
        with places.taken("globex", "uploads"):
            pass


def test_the_only_place_is_for_everybody() -> None:
    places = Places(1)
    with places.taken("acme", "uploads"):
        pass
    with (
        places.taken("acme", "uploads"),
        pytest.raises(QueueFull),
        places.taken("acme", "uploads"),
    ):
        pass


def test_an_error_gives_the_place_back() -> None:
    places = Places(1)
    with pytest.raises(ZeroDivisionError), places.taken("acme", "uploads"):
        raise ZeroDivisionError
    with places.taken("acme", "uploads"):
        pass
