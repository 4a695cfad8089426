import pytest

from service.credentials.bearer import bearer


@pytest.mark.parametrize("given", [b"Bearer key", b"bearer key", b"BEARER  key\t"])
def test_the_key_is_found_whatever_the_scheme_s_case(given: bytes) -> None:
    assert bearer({b"authorization": given}) == b"key"


@pytest.mark.parametrize("given", [None, b"", b"key", b"Bearer", b"Bearer \t", b"Basic key"])
def test_nothing_else_carries_a_key(given: bytes | None) -> None:
    assert bearer({} if given is None else {b"authorization": given}) is None
