import hashlib
import hmac
import re
from dataclasses import dataclass

import pytest

from service.credentials.tenant_keys import find, hash_of, new_id, new_key


@dataclass(frozen=True)
class Known:
    tenant: str
    hash: bytes


def made(tenant: str) -> tuple[str, str, Known]:
    key_id = new_id()
    key = new_key(key_id)
    return key_id, key, Known(tenant, hash_of(key))


def test_a_new_key_says_its_id_and_nothing_else_that_could_be_guessed() -> None:
    key_id, key, known = made("acme")
    assert re.fullmatch(rf"tk_{key_id}_[A-Za-z0-9_-]{{43}}", key)
    assert known.hash == hashlib.sha256(key.encode()).digest()
    assert len({new_key(key_id) for _ in range(100)}) == 100


def test_a_key_finds_what_is_known_of_it_and_no_other_key_does() -> None:
    keys = [made(f"tenant-{number}") for number in range(10)]
    held = {key_id: known for key_id, _, known in keys}
    for _, key, known in keys:
        assert find(held, key) is known
    key_id, key, _ = keys[0]
    for wrong in (
        "",
        key[:-1],
        key + "A",
        key.upper(),
        f"{key}\n",
        new_key(key_id),
        new_key("0" * 16),
        key[:19] + keys[1][1][19:],
        "ä" * len(key),
    ):
        assert find(held, wrong) is None, wrong


@pytest.mark.parametrize("known", [True, False])
def test_a_key_of_the_right_form_costs_one_comparison_whether_its_id_is_known_or_not(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id, key, found = made("acme")
    compare, lengths = hmac.compare_digest, []

    def counting(given: bytes, expected: bytes) -> bool:
        lengths.append((len(given), len(expected)))
        return compare(given, expected)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    assert (find({key_id: found} if known else {}, key) is found) == known
    assert lengths == [(32, 32)]
