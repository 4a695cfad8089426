import base64
import doctest
import hashlib
import hmac

import pytest

from examples.retrain_receiver import command, ledger
from examples.retrain_receiver.command import check, filled
from examples.retrain_receiver.verification import TOLERANCE_S, Refused, key_of, verify
from monitoring.triggers.signature import keys_of, signed_headers

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
KEY = key_of(SECRET)
NOW = 1_743_415_200
BODY = b'{"id": "retrain_1"}'


def headers(**changes: str) -> dict[str, str]:
    found = signed_headers("retrain_1", NOW, BODY, keys_of(SECRET))
    return found | {name.replace("_", "-"): value for name, value in changes.items()}


def test_what_the_sidecar_signs_is_trusted() -> None:
    assert verify(headers(), BODY, KEY, NOW + 1.5) == "retrain_1"
    both = signed_headers("retrain_1", NOW, BODY, keys_of(f"{'other-secret' * 3} {SECRET}"))
    assert verify(both, BODY, KEY, NOW) == "retrain_1"


def test_the_signature_is_what_the_standard_says() -> None:
    signed = f"a.{NOW}.".encode() + BODY
    signature = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    given = headers(webhook_id="a", webhook_signature=f"v2,x v1,{signature}")
    assert verify(given, BODY, KEY, NOW) == "a"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"webhook_id": "retrain_2"}, "no signature"),
        ({"webhook_signature": "v1,AAAA"}, "no signature"),
        ({"webhook_signature": ""}, "no signature"),
        ({"webhook_timestamp": str(NOW + 1)}, "no signature"),
        ({"webhook_timestamp": "soon"}, "no number"),
        ({"webhook_timestamp": "-1"}, "no number"),
        ({"webhook_timestamp": "9" * 5000}, "no number"),
    ],
)
def test_what_was_altered_is_refused(changes: dict[str, str], told: str) -> None:
    with pytest.raises(Refused, match=told):
        verify(headers(**changes), BODY, KEY, NOW)


def test_another_body_or_key_is_refused() -> None:
    with pytest.raises(Refused, match="no signature"):
        verify(headers(), BODY + b" ", KEY, NOW)
    with pytest.raises(Refused, match="no signature"):
        verify(headers(), BODY, bytes(32), NOW)


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_is_missing_is_named(missing: str) -> None:
    given = headers()
    del given[missing]
    with pytest.raises(Refused, match=missing):
        verify(given, BODY, KEY, NOW)


@pytest.mark.parametrize("seconds", [TOLERANCE_S + 1, -TOLERANCE_S - 1])
def test_a_request_of_another_time_is_refused(seconds: int) -> None:
    with pytest.raises(Refused, match="more than 300 s"):
        verify(headers(), BODY, KEY, NOW + seconds)
    assert verify(headers(), BODY, KEY, NOW + (seconds - 1 if seconds > 0 else seconds + 1))


@pytest.mark.parametrize("secret", ["short", "whsec_AAAA", "whsec_%%%", "x" * 65])
def test_a_secret_that_cannot_be_used_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match=r"base64|bytes"):
        key_of(secret)


def test_a_template_may_hold_what_an_event_has_and_nothing_else() -> None:
    check(["train.py", "{tenant}", "--name={adapter}-{version}", "{event}"])
    with pytest.raises(ValueError, match=r"\{owner\} is not one of"):
        check(["train.py", "{owner}"])
    with pytest.raises(ValueError, match="no command"):
        check([])


def test_values_stay_within_their_word() -> None:
    nasty = "a; rm -rf / $(x) {tenant}"
    assert filled(["run", "{reason}"], {"reason": nasty}) == ["run", nasty]


@pytest.mark.parametrize("module", [command, ledger])
def test_the_examples_are_true(module: object) -> None:
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert found.attempted > 0
    assert found.failed == 0
