"""Which version answered, told in headers where the body of a wire has no place for it."""

from typing import Any, Final

from service.api.prediction import Predicted

_VERSION, _DIGEST = "X-Tenantry-Version", "X-Tenantry-Digest"

SHOWN: Final[dict[str, Any]] = {
    _VERSION: {
        "description": "the version that answered",
        "schema": {"type": "integer"},
    },
    _DIGEST: {
        "description": "its digest, read from where the answer was computed",
        "schema": {"type": "string"},
    },
}


def provenance(predicted: Predicted) -> list[tuple[bytes, bytes]]:
    """Return the headers that name the version which answered, and its digest."""
    return [
        (_VERSION.lower().encode("ascii"), b"%d" % predicted.route.version),
        (_DIGEST.lower().encode("ascii"), predicted.answer.digest.encode("ascii")),
    ]
