"""Prediction ids: what a label needs to find its prediction, signed, with no lookup.

An id is 36 bytes, written as 48 base64url characters:

    1   format version (high 4 bits) and key id (low 4 bits)
    8   reference of tenant, adapter and version
    4   seconds since 1970, unsigned
    2   class index
    2   confidence, in 65,535ths
    2   flags (high 3 bits: live, canary, audit sample) and audit probability (low 13)
    5   nonce
    12  HMAC-SHA256 of the 24 bytes before it, truncated (RFC 2104, section 5)

The audit probability is kept as -512 log2(p), rounded, so that its relative error is below 0.07 %
at any size down to 2**-15.99; 8191 stands for 0.
"""

import base64
import binascii
import hashlib
import hmac
import math
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

FORMAT = 1
KEY_IDS = 16
KEY_BYTES = 32
NONCE_BYTES = 5
CHARACTERS = 48

_PAYLOAD = struct.Struct(">B8sIHHH5s")
_MAC_BYTES = 12
_LIVE, _CANARY, _AUDIT = 0x8000, 0x4000, 0x2000
_NEVER = 0x1FFF
_STEPS_AN_OCTAVE = 512
_CLASSES_MAX = 1 << 16
_FINGERPRINTS = b"tenantry: fingerprints of texts"  # no payload of an id: those have 24 bytes


class InvalidPredictionId(ValueError):
    """An id that this service did not issue, or that was altered on the way."""


class PredictionId(NamedTuple):
    """What an id says; a tuple, because one is made for every text."""

    reference: bytes  # 8 bytes, see `reference`
    seconds: int  # since 1970
    class_index: int
    confidence: float
    live: bool = True
    canary: bool = False
    audit: bool = False
    audit_probability: float = 0.0


@lru_cache(maxsize=4096)
def reference(tenant: str, adapter: str, version: int) -> bytes:
    """Return the 8 bytes that stand for a version in its prediction ids."""
    return hashlib.sha256(f"{tenant}/{adapter}/{version}".encode()).digest()[:8]


class Signer:
    """Issues and reads prediction ids.

    `keys` maps a key id (0 to 15) to 32 bytes; new ids are signed by the key `current`, and ids
    of every key in `keys` are read, so that keys can rotate.
    """

    def __init__(self, keys: Mapping[int, bytes], current: int) -> None:
        assert current in keys, "the current key is one of the keys"
        assert all(0 <= key_id < KEY_IDS for key_id in keys), "a key id fits into 4 bits"
        assert all(len(key) == KEY_BYTES for key in keys.values()), "a key has 32 bytes"
        self._keys = dict(keys)
        self._key = self._keys[current]
        # Of texts (`service/events/text_figures.py`); it tells nothing of the key that signs.
        self.fingerprint_key = hmac.digest(self._key, _FINGERPRINTS, "sha256")
        self._first = FORMAT << 4 | current

    def issue(self, prediction: PredictionId, nonce: bytes) -> str:
        """Return the id of a prediction; `nonce` is 5 random bytes."""
        assert 0 <= prediction.class_index < _CLASSES_MAX, "a class index fits into 2 bytes"
        flags = (
            (_LIVE if prediction.live else 0)
            | (_CANARY if prediction.canary else 0)
            | (_AUDIT if prediction.audit else 0)
            | _packed_probability(prediction.audit_probability)
        )
        payload = _PAYLOAD.pack(
            self._first,
            prediction.reference,
            prediction.seconds,
            prediction.class_index,
            round(min(max(prediction.confidence, 0.0), 1.0) * 0xFFFF),
            flags,
            nonce,
        )
        mac = hmac.digest(self._key, payload, "sha256")[:_MAC_BYTES]
        return base64.urlsafe_b64encode(payload + mac).decode("ascii")

    def read(self, text: str) -> PredictionId:
        """Return what an id says; raise `InvalidPredictionId` for one that was not issued here."""
        if len(text) != CHARACTERS:
            raise InvalidPredictionId(f"a prediction id has {CHARACTERS} characters")
        try:
            data = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError) as error:
            raise InvalidPredictionId("not a prediction id: not base64url") from error
        payload, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
        if payload[0] >> 4 != FORMAT:
            raise InvalidPredictionId("a prediction id of an unknown format")
        key = self._keys.get(payload[0] & 0x0F)
        if key is None:
            raise InvalidPredictionId("a prediction id signed by a key that is not known here")
        expected = hmac.digest(key, payload, "sha256")[:_MAC_BYTES]
        if not hmac.compare_digest(mac, expected):
            raise InvalidPredictionId("a prediction id that was not issued here, or was altered")
        _, version, seconds, class_index, confidence, flags, _ = _PAYLOAD.unpack(payload)
        return PredictionId(
            reference=version,
            seconds=seconds,
            class_index=class_index,
            confidence=confidence / 0xFFFF,
            live=bool(flags & _LIVE),
            canary=bool(flags & _CANARY),
            audit=bool(flags & _AUDIT),
            audit_probability=_unpacked_probability(flags & _NEVER),
        )


def _packed_probability(probability: float) -> int:
    if probability <= 0.0:
        return _NEVER
    steps = round(-_STEPS_AN_OCTAVE * math.log2(min(probability, 1.0)))
    return min(steps, _NEVER - 1)


def _unpacked_probability(steps: int) -> float:
    return 0.0 if steps == _NEVER else float(2.0 ** (-steps / _STEPS_AN_OCTAVE))
