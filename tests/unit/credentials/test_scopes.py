import pytest

from service.credentials.scopes import SCOPES, covers, listed, scopes_of, text_of


def test_a_scope_covers_itself_and_admin_covers_all() -> None:
    for asked in SCOPES:
        assert {held for held in SCOPES if covers({held}, asked)} == {asked, "admin"}
        assert not covers((), asked)


def test_scopes_have_one_order_and_one_text() -> None:
    assert listed({"publish", "predict"}) == ["predict", "publish"]
    assert text_of(("admin", "predict")) == '["predict","admin"]'
    assert scopes_of(text_of(SCOPES)) == frozenset(SCOPES)


def test_a_scope_of_a_later_version_opens_nothing_here() -> None:
    assert scopes_of('["predict", "everything"]') == {"predict"}


@pytest.mark.parametrize("text", ["", "predict", '"predict"', '{"predict": 1}', "null"])
def test_what_is_no_list_of_scopes_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="JSON list"):
        scopes_of(text)
