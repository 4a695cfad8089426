import base64
import doctest
import hashlib
import hmac

import pytest

from monitoring.errors import InvalidMonitorSettings
from monitoring.triggers import retries, rules, signature
from monitoring.triggers.signature import keys_of, signed_headers

LONG = "a secret of thirty-two characters"


def test_a_plain_secret_stands_for_its_own_bytes_and_a_prefixed_one_for_its_base64() -> None:
    data = bytes(range(32))
    assert keys_of("plain-secret-of-24-bytes!") == (b"plain-secret-of-24-bytes!",)
    assert keys_of(f"whsec_{base64.b64encode(data).decode()}") == (data,)


def test_while_a_secret_changes_both_sign() -> None:
    old, new = "old-" * 6, "new-" * 6
    headers = signed_headers("id", 17, b"body", keys_of(f"{new} {old}"))
    expected = [
        "v1," + base64.b64encode(hmac.new(key, b"id.17.body", hashlib.sha256).digest()).decode()
        for key in (new.encode(), old.encode())
    ]
    assert headers["webhook-signature"].split(" ") == expected
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("id", "17")


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("short-secret", "has 12 bytes; it must have 24 to 64"),
        ("x" * 65, "has 65 bytes"),
        ("whsec_no base64", "no base64|has"),
        ("whsec_%%%%", "is no base64 after it"),
        ("whsec_" + "QUJD" * 7, "has 21 bytes"),
    ],
)
def test_a_secret_that_cannot_be_used_is_refused_and_never_repeated(secret: str, told: str) -> None:
    with pytest.raises(InvalidMonitorSettings, match=told) as caught:
        keys_of(secret)
    assert not secret.strip() or secret not in str(caught.value)


@pytest.mark.parametrize("module", [retries, rules, signature])
def test_the_examples_are_true(module: object) -> None:
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert found.attempted > 0
    assert found.failed == 0
