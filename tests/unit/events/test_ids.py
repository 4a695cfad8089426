import base64
import hashlib

import pytest

from service.events.ids import (
    CHARACTERS,
    InvalidPredictionId,
    PredictionId,
    Signer,
    reference,
)

KEY = b"k" * 32
NONCE = b"12345"
PREDICTION = PredictionId(
    reference=reference("acme", "support", 3),
    seconds=1_743_413_400,
    class_index=7,
    confidence=0.75,
    canary=True,
    audit=True,
    audit_probability=0.02,
)


def test_an_id_has_48_plain_characters_and_says_what_went_in() -> None:
    text = Signer({0: KEY}, 0).issue(PREDICTION, NONCE)
    assert len(text) == CHARACTERS == 48
    assert text.replace("-", "a").replace("_", "a").isalnum()
    read = Signer({0: KEY}, 0).read(text)
    assert read.confidence == pytest.approx(0.75, abs=1e-5)
    assert read.audit_probability == pytest.approx(0.02, rel=7e-4)
    assert read._replace(confidence=0.75, audit_probability=0.02) == PREDICTION, (
        "all but the rounded figures are exact"
    )


def test_the_layout_is_the_documented_one() -> None:
    data = base64.urlsafe_b64decode(Signer({5: KEY}, 5).issue(PREDICTION, NONCE))
    assert len(data) == 36
    assert data[0] == 0x15, "format 1, key 5"
    assert data[1:9] == hashlib.sha256(b"acme/support/3").digest()[:8]
    assert int.from_bytes(data[9:13]) == 1_743_413_400
    assert int.from_bytes(data[13:15]) == 7
    assert int.from_bytes(data[15:17]) == round(0.75 * 65535)
    assert data[17] & 0xE0 == 0xE0, "live, canary, audit"
    assert data[19:24] == NONCE


@pytest.mark.parametrize("place", range(0, CHARACTERS, 3))
def test_an_altered_id_is_refused(place: int) -> None:
    signer = Signer({0: KEY}, 0)
    text = signer.issue(PREDICTION, NONCE)
    other = "A" if text[place] != "A" else "B"
    with pytest.raises(InvalidPredictionId):
        signer.read(text[:place] + other + text[place + 1 :])


@pytest.mark.parametrize("text", ["", "x", "*" * 48, "é" * 48, "A" * 47, "A" * 49, "A" * 48])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidPredictionId):
        Signer({0: KEY}, 0).read(text)


def test_an_id_of_another_installation_is_refused() -> None:
    foreign = Signer({0: b"f" * 32}, 0).issue(PREDICTION, NONCE)
    with pytest.raises(InvalidPredictionId, match="not issued here"):
        Signer({0: KEY}, 0).read(foreign)


def test_ids_of_an_old_key_are_read_until_the_key_is_gone() -> None:
    old = Signer({0: KEY}, 0).issue(PREDICTION, NONCE)
    rotated = Signer({0: KEY, 1: b"n" * 32}, 1)
    assert rotated.read(old).class_index == 7
    assert rotated.read(rotated.issue(PREDICTION, NONCE)).class_index == 7
    with pytest.raises(InvalidPredictionId, match="key that is not known"):
        Signer({1: b"n" * 32}, 1).read(old)


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_the_ends_of_the_audit_probability_are_exact(probability: float) -> None:
    signer = Signer({0: KEY}, 0)
    text = signer.issue(PREDICTION._replace(audit_probability=probability), NONCE)
    assert signer.read(text).audit_probability == probability


def test_the_nonce_tells_two_equal_predictions_apart() -> None:
    signer = Signer({0: KEY}, 0)
    assert signer.issue(PREDICTION, b"aaaaa") != signer.issue(PREDICTION, b"aaaab")


def test_the_key_of_fingerprints_follows_from_the_current_key_and_is_another_one() -> None:
    signer = Signer({0: KEY, 1: b"l" * 32}, 0)
    assert signer.fingerprint_key == Signer({0: KEY}, 0).fingerprint_key
    assert len(signer.fingerprint_key) == 32
    assert signer.fingerprint_key not in (KEY, Signer({0: KEY, 1: b"l" * 32}, 1).fingerprint_key)
