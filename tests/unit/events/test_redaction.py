from importlib.metadata import EntryPoint
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.events import redaction
from service.events.redaction import (
    CHARACTERS_MAX,
    UnknownRedactor,
    load_redactor,
    redact_all,
    standard,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to ada.lovelace+x@mail.example.co.uk, please", "write to [email], please"),
        ("<o'brien@example.com>", "<[email]>"),
        ("root@localhost", "[email]"),
        ("jürgen@müller.de", "[email]"),
        ("x" * 80 + "@example.com", "x" * 16 + "[email]"),
        ("card 4111 1111 1111 1111 exp 12/26", "card [card] exp 12/26"),
        ("card 4111-1111-1111-1111.", "card [card]."),
        ("5500005555555559", "[card]"),
        ("4111 1111 1111 1111 1226 123", "[card] [phone]"),
        ("77 4111 1111 1111 1111", "77 [card]"),
        ("two 4111111111111111 5500005555555559", "two [card] [card]"),
        ("IBAN DE89 3704 0044 0532 0130 00 thanks", "IBAN [iban] thanks"),
        ("GB82WEST12345698765432.", "[iban]."),
        ("de89370400440532013000 and GB82 WEST 1234 5698 7654 32", "[iban] and [iban]"),
        ("call +49 170 1234567 now", "call [phone] now"),
        ("call (415) 555-0123", "call [phone]"),
        ("tel:0170/1234567", "tel:[phone]"),
        ("4155550123", "[phone]"),
        ("0170 1234567, 0171 7654321", "[phone], [phone]"),
    ],
)
def test_personal_data_is_named_instead_of_shown(text: str, expected: str) -> None:
    assert standard(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "nothing of the kind",
        "room 123456",
        "on 2024-05-01 at 10:30",
        "on 01.05.2024",
        "it costs 1.250.000 in all",
        "parcel 00340434161094042557",
        "version 1.2.3",
        "me @ home",
        "DE89 is a road",
        "",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    assert standard(text) == text


def test_a_number_with_a_wrong_check_digit_is_no_card() -> None:
    assert "[card]" not in standard("4111 1111 1111 1112")


@pytest.mark.parametrize(
    "text",
    [
        "a" * 9000,
        "1" * 9000,
        "1 " * 4500,
        "+(" * 4500,
        "a@" * 4500,
        "a.b-c@" * 1500,
        "DE89 " * 1800,
    ],
    ids=lambda text: text[:6],
)
def test_hostile_texts_of_the_largest_size_end(text: str) -> None:
    assert isinstance(standard(text), str)


@given(st.text(), st.sampled_from(["ada@example.com", "4111 1111 1111 1111", "+49 170 1234567"]))
def test_it_is_found_between_any_spaces(text: str, secret: str) -> None:
    assert secret not in standard(f"{text} \n {secret} \n {text}")


def test_a_text_is_cut_to_the_bound_and_nothing_at_the_cut_escapes() -> None:
    for shift in range(0, 40, 3):
        long = (
            "x " * ((CHARACTERS_MAX + 500) // 2) + "y" * shift + " ada.lovelace@example.com " * 40
        )
        [cut] = redact_all(standard, [long])
        assert cut is not None
        assert len(cut) <= CHARACTERS_MAX
        assert "ada" not in cut
        assert "lovelace" not in cut


def test_a_text_of_the_bound_is_kept_whole() -> None:
    text = "x" * CHARACTERS_MAX
    assert redact_all(standard, [text]) == [text]


def test_what_gives_no_text_withholds_it(caplog: pytest.LogCaptureFixture) -> None:
    def wrong(text: str) -> Any:
        return text.encode()

    assert redact_all(wrong, ["secret"]) == [None]
    assert "gave a bytes" in caplog.text
    assert "secret" not in caplog.text


class Installed:
    def __init__(self, *points: EntryPoint) -> None:
        self._points = points

    def __call__(self, *, group: str) -> tuple[EntryPoint, ...]:
        assert group == "tenantry.redactors"
        return self._points


def test_a_redactor_that_is_installed_is_found_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point = EntryPoint("upper", "string:capwords", redaction.GROUP)
    monkeypatch.setattr(redaction, "entry_points", Installed(point))
    assert load_redactor("upper")("a b") == "A B"
    assert load_redactor("standard") is standard


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no.such.module:it", "cannot be loaded: No module named"),
        ("string:no_such_name", "cannot be loaded"),
        ("string:digits", "cannot be called"),
    ],
)
def test_one_that_cannot_be_used_says_why(
    monkeypatch: pytest.MonkeyPatch, value: str, message: str
) -> None:
    monkeypatch.setattr(
        redaction, "entry_points", Installed(EntryPoint("x", value, redaction.GROUP))
    )
    with pytest.raises(UnknownRedactor, match=message):
        load_redactor("x")


def test_an_unknown_name_gives_the_known_ones() -> None:
    with pytest.raises(UnknownRedactor, match=r"no redactor 'strict'; installed are:.*standard"):
        load_redactor("strict")
