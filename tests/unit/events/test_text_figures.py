import hashlib

import hypothesis.strategies as st
import pytest
from hypothesis import given

from service.events.text_figures import TextFigures, figures_of

KEY = b"k" * 32
TEXTS = st.text(st.characters(), max_size=30)  # halves of surrogate pairs among them
INPUTS = st.lists(TEXTS | st.tuples(TEXTS, TEXTS), max_size=6)


def fingerprint(text: str | tuple[str, str], tenant: str = "acme", key: bytes = KEY) -> int:
    [found] = figures_of([text], tenant, key).fingerprints
    return found


def test_sizes_are_those_of_the_text_as_it_came() -> None:
    figures = figures_of(
        ["", "abc", "grüß dich", "€\N{GRINNING FACE}", "a\ufffdb\ufffd"], "acme", KEY
    )
    assert figures.characters == [0, 3, 9, 2, 4]
    assert figures.bytes == [0, 3, 11, 7, 8]
    assert figures.replaced == [0, 0, 0, 0, 2]
    assert len(figures) == 5


def test_figures_of_a_pair_are_of_both_texts() -> None:
    figures = figures_of([("ä", "b\ufffd")], "acme", KEY)
    assert (figures.characters, figures.bytes, figures.replaced) == ([3], [6], [1])


def test_half_a_surrogate_pair_is_a_character_of_three_bytes() -> None:
    figures = figures_of(["\ud800"], "acme", KEY)
    assert (figures.characters, figures.bytes, figures.replaced) == ([1], [3], [0])
    assert fingerprint("\ud800") != fingerprint("?") != fingerprint("\ufffd")


@given(INPUTS)
def test_a_fingerprint_has_63_bits_and_is_never_0(texts: list[str | tuple[str, str]]) -> None:
    figures = figures_of(texts, "acme", KEY)
    assert all(0 < found < 1 << 63 for found in figures.fingerprints)
    assert figures_of(texts, "acme", KEY) == figures


@given(TEXTS | st.tuples(TEXTS, TEXTS), TEXTS | st.tuples(TEXTS, TEXTS))
def test_equal_texts_have_equal_fingerprints_and_others_do_not(
    one: str | tuple[str, str], other: str | tuple[str, str]
) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (one == other)


@pytest.mark.parametrize(
    "other",
    [("a", "bc"), ("abc", ""), ("", "abc"), "ab\nc", ("ab\0", "c"), (7 * "\0" + "\2ab", "c")],
)
def test_where_a_pair_is_divided_matters(other: str | tuple[str, str]) -> None:
    assert fingerprint(("ab", "c")) != fingerprint(other)
    assert fingerprint("abc") != fingerprint(other)
    # A text that looks like what is hashed of a pair is another one all the same.
    assert fingerprint(7 * "\0" + "\2abc") != fingerprint(("ab", "c"))


def test_another_key_or_tenant_gives_another_fingerprint() -> None:
    found = {
        fingerprint("abc"),
        fingerprint("abc", tenant="globex"),
        fingerprint("abc", key=b"l" * 32),
    }
    assert len(found) == 3


def test_a_fingerprint_is_the_documented_one() -> None:
    whose = hashlib.sha256(b"acme").digest()[:16]
    hashed = hashlib.blake2b("grüß dich".encode(), digest_size=8, key=KEY, person=whose)
    assert fingerprint("grüß dich") == int.from_bytes(hashed.digest(), "big") >> 1


def test_some_rows_keep_their_own_figures() -> None:
    texts: list[str | tuple[str, str]] = ["a", ("bb", "\ufffd"), "ccc"]
    figures = figures_of(texts, "acme", KEY)
    assert figures.rows([1, 2]) == figures_of(texts[1:], "acme", KEY)
    assert figures.rows([]) == TextFigures([], [], [], [])
