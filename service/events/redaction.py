"""Taking personal data out of texts before they are written: `standard`, or one that is installed.

`standard` finds e-mail addresses, IBANs, card numbers (13 to 19 digits with a right check digit)
and telephone numbers, which it cannot tell from other numbers of 7 digits and more. Names and
addresses stay. So logged texts carry less risk, and are not anonymous.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points

from service.events.ports import Redactor

log = logging.getLogger(__name__)

GROUP = "tenantry.redactors"
STANDARD = "standard"
CHARACTERS_MAX = 8192  # of a logged text
# A text is cut before it is redacted; what could be half of something at the cut is left out.
_MARGIN = 512

# Every repetition is bounded, so the time is proportional to the text's length.
_EMAIL = re.compile(r"[\w.+%'-]{1,64}@(?:[\w-]{1,63}\.){0,8}[^\W\d_][\w-]{1,62}")
_IBAN_HEAD = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?=[ -]?[A-Za-z0-9])")
_IBAN = re.compile(r"[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11,30}")
_IBAN_LENGTHS = range(34, 14, -1)
_DIGITS = re.compile(r"(?<![0-9])[0-9](?:[ -]?[0-9]){12,60}(?![0-9])")
_CARD_LENGTHS = range(19, 12, -1)
_CheckSums = tuple[list[int], list[int]]
_PHONE = re.compile(r"(?<!\w)[+(]{0,2}[0-9](?:[ \-./()]{0,2}[0-9]){6,22}(?!\w)")
_NO_PHONE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2}([./])[0-9]{1,2}\1[0-9]{4}"  # dates
    r"|[0-9]{1,3}(?:\.[0-9]{3})+"  # amounts
    r"|[0-9]{16,}"  # numbers of orders and parcels
)


class UnknownRedactor(ValueError):
    """No redactor of that name is installed, or it cannot be used."""


def load_redactor(name: str) -> Redactor:
    """Return `standard`, or what the entry point `name` of the group `tenantry.redactors` is.

    Raises `UnknownRedactor`.
    """
    if name == STANDARD:
        return standard
    installed = {point.name: point for point in entry_points(group=GROUP)}
    if name not in installed:
        known = ", ".join(sorted({STANDARD, *installed}))
        raise UnknownRedactor(f"there is no redactor {name!r}; installed are: {known}")
    return _loaded(installed[name])


def _loaded(point: EntryPoint) -> Redactor:
    try:
        redactor = point.load()
    except Exception as error:
        raise UnknownRedactor(
            f"the redactor {point.name!r} ({point.value}) cannot be loaded: {error}"
        ) from error
    if not callable(redactor):
        raise UnknownRedactor(f"the redactor {point.name!r} ({point.value}) cannot be called")
    loaded: Redactor = redactor
    return loaded


def redact_all(redact: Redactor, texts: Sequence[str]) -> list[str | None]:
    """Return the texts as they may be written, cut to the bound.

    A text whose redaction fails gives None: it is not written at all.
    """
    return [_redacted(redact, text) for text in texts]


def _redacted(redact: Redactor, text: str) -> str | None:
    cut = text[: CHARACTERS_MAX + _MARGIN]
    try:
        redacted: object = redact(cut)
    except Exception as error:  # noqa: BLE001 - another's code; the text must not go on
        # Neither the text nor the error's words, which may hold it.
        log.warning("event log: the redactor failed with %s", type(error).__name__)
        return None
    if not isinstance(redacted, str):
        log.warning("event log: the redactor gave a %s", type(redacted).__name__)
        return None
    if len(cut) < len(text):
        redacted = redacted[: max(0, len(redacted) - _MARGIN)]
    return redacted[:CHARACTERS_MAX]


def standard(text: str) -> str:
    """Return the text with `[email]`, `[iban]`, `[card]` and `[phone]` in place of what is one."""
    text = _EMAIL.sub("[email]", text)
    if _IBAN_HEAD.search(text):
        text = "".join(_without_ibans(text))
    text = _DIGITS.sub(lambda match: "".join(_without_cards(match[0])), text)
    return _PHONE.sub(_phone, text)


def _phone(match: re.Match[str]) -> str:
    return match[0] if _NO_PHONE.fullmatch(match[0]) else "[phone]"


def _without_ibans(text: str) -> Iterator[str]:
    at = 0
    while head := _IBAN_HEAD.search(text, at):
        yield text[at : head.start()]
        at = head.end()
        whole = _IBAN.match(text, head.start())
        length = _iban_length(whole[0]) if whole else 0
        if length:
            yield "[iban]"
            at = head.start() + length
        else:
            yield head[0]
    yield text[at:]


def _iban_length(text: str) -> int:
    """Return how many characters of the beginning are an IBAN (ISO 13616), 0 for none."""
    places = [place for place, character in enumerate(text) if character not in " -"]
    numbers = [str(int(text[place], 36)) for place in places]
    first = "".join(numbers[:4])
    for count in _IBAN_LENGTHS:
        if count > len(places):
            continue
        end = places[count - 1] + 1
        if end < len(text) and text[end] not in " -":
            continue
        if int("".join(numbers[4:count]) + first) % 97 == 1:
            return end
    return 0


def _without_cards(run: str) -> Iterator[str]:
    """Yield a run of digits, each card number in it replaced that stands between separators."""
    places = [place for place, character in enumerate(run) if character not in " -"]
    sums = _check_sums([int(run[place]) for place in places])
    begin = 0  # of what was not yielded yet
    first = 0  # number of the digit where a card may begin
    while first < len(places):
        place = places[first]
        starts = place == 0 or run[place - 1] in " -"
        count = _card_digits(run, places, sums, first) if starts else 0
        if count:
            yield run[begin:place] + "[card]"
            begin = places[first + count - 1] + 1
        first += count or 1
    yield run[begin:]


def _card_digits(run: str, places: Sequence[int], sums: _CheckSums, first: int) -> int:
    """Return of how many digits the card number is that begins with one, 0 for none.

    Its last digit is the check digit of the others (Luhn, ISO/IEC 7812-1).
    """
    for count in _CARD_LENGTHS:
        behind = first + count
        if behind > len(places):
            continue
        end = places[behind - 1] + 1
        if end < len(run) and run[end] not in " -":
            continue
        of_last = sums[(behind - 1) % 2]
        if (of_last[behind] - of_last[first]) % 10 == 0:
            return count
    return 0


def _check_sums(digits: Sequence[int]) -> _CheckSums:
    """Return Luhn's sums of the first digits, none of them to all.

    In the first of both the digits at even places count as they are, and the others doubled; in
    the second it is the other way round.
    """
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits]
    even, odd = [0], [0]
    for place, (plain, twice) in enumerate(zip(digits, doubled, strict=True)):
        even.append(even[-1] + (twice if place % 2 else plain))
        odd.append(odd[-1] + (plain if place % 2 else twice))
    return even, odd
