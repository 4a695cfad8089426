"""Is a request from the sidecar, unaltered and fresh? Standard Webhooks 1.0, version `v1`."""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping

TOLERANCE_S = 300  # between the sender's clock and ours, and the life of a copied request
PREFIX = "whsec_"


class Refused(Exception):
    """A request that is not trusted; the message may be told to whoever sent it."""


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for: base64 after `whsec_`, else its own bytes.

    Raises `ValueError` for one that cannot be used.
    """
    if not secret.startswith(PREFIX):
        key = secret.encode()
    else:
        try:
            key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            raise ValueError(f"what follows {PREFIX} is no base64") from None
    if not 24 <= len(key) <= 64:
        raise ValueError(f"the secret has {len(key)} bytes; it must have 24 to 64")
    return key


def verify(headers: Mapping[str, str], body: bytes, key: bytes, now_s: float) -> str:
    """Return the event's id; raise `Refused` for what is not signed with the key, or not now.

    `headers` are looked up in lower case. The body is taken as it came: JSON that was read and
    written again may have other bytes.
    """
    try:
        event_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
        signatures = headers["webhook-signature"].split(" ")
    except KeyError as missing:
        raise Refused(f"the header {missing.args[0]} is missing") from None
    if not re.fullmatch("[0-9]{1,12}", timestamp):
        raise Refused("webhook-timestamp is no number of seconds")
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        raise Refused(f"webhook-timestamp is more than {TOLERANCE_S} s from now")
    signed = b".".join((event_id.encode(), timestamp.encode(), body))
    expected = b"v1," + base64.b64encode(hmac.digest(key, signed, "sha256"))
    # Each is compared in a time that does not tell how much of it was right.
    if not any(hmac.compare_digest(expected, found.encode()) for found in signatures):
        raise Refused("no signature is right")
    return event_id
