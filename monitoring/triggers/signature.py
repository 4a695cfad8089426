"""The signature of a request, as Standard Webhooks 1.0 has it (standardwebhooks.com).

`webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`, one for
each key, separated by spaces; so a receiver knows who sent the body, that nobody altered it, and
that it is not an old one sent again.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence

from monitoring.errors import InvalidMonitorSettings

KEY_BYTES_MIN, KEY_BYTES_MAX = 24, 64  # what Standard Webhooks asks for
PREFIX = "whsec_"


def keys_of(secret: str) -> tuple[bytes, ...]:
    """Return the keys of a secret: one, or while it is being changed, two or more, by spaces.

    `whsec_` and base64 stand for the bytes that the base64 names, any other text for its own.
    Raises `InvalidMonitorSettings`, which never repeats a secret.
    """
    keys = tuple(_key(part) for part in secret.split())
    if not keys:
        raise InvalidMonitorSettings("the secret of the webhook is empty")
    return keys


def signed_headers(
    key: str, timestamp_s: int, body: bytes, keys: Sequence[bytes]
) -> dict[str, str]:
    """Return the headers that sign a body; `key` is the event's id.

    >>> secret = keys_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    >>> body = b'{"test": 2432232314}'
    >>> found = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, secret)
    >>> found["webhook-signature"]
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    signed = b".".join((key.encode(), str(timestamp_s).encode(), body))
    signatures = (base64.b64encode(hmac.digest(one, signed, "sha256")).decode() for one in keys)
    return {
        "webhook-id": key,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _key(part: str) -> bytes:
    key = part.encode()
    if part.startswith(PREFIX):
        try:
            key = base64.b64decode(part.removeprefix(PREFIX), validate=True)
        except binascii.Error as error:
            raise InvalidMonitorSettings(
                f"the secret of the webhook begins with {PREFIX} and is no base64 after it"
            ) from error
    if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise InvalidMonitorSettings(
            f"the secret of the webhook has {len(key)} bytes;"
            f" it must have {KEY_BYTES_MIN} to {KEY_BYTES_MAX}"
        )
    return key
