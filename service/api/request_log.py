"""The one line that a request may leave in the log: ids and figures, never what it sent."""

import logging
import re

from starlette.types import Scope

from service.api.call import Call
from service.api.logs import FIELDS, safe_words
from service.api.names import model_parts
from service.engine.errors import TenantryError
from service.errors import AdapterUnreadable

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_OURS = 500  # the status from which on a failure is a fault of ours
_FULL = {503, 504}  # a server at its limit, or a caller's; no fault in it


def log_request(
    logger: logging.Logger, call: Call, method: str, route: str, seconds: float
) -> None:
    """Log a request that is over; one that a mistake of ours ended, as an error with its frames."""
    fields: dict[str, object] = {
        "request_id": call.request_id,
        "method": method,
        "route": route,
        "status": call.status,
        "seconds": round(seconds, 6),
    }
    if call.trace_id is not None:
        fields["trace_id"] = call.trace_id
    if call.trace is not None:
        fields["span_id"] = call.span_id
    if call.caller is not None:
        fields["caller"] = call.caller.actor
    ours = call.error is not None or (call.failure >= _OURS and call.failure not in _FULL)
    level = logging.ERROR if ours else logging.INFO
    logger.log(level, "request", exc_info=call.error, extra={FIELDS: fields | call.log})


def blame(error: Exception, call: Call, scope: Scope) -> dict[str, object]:
    """Return what the log tells of a request that an error of ours ended: whose, and why.

    Names stand in the path, and are told once the router has found them: any others are a
    caller's own words. Of the cause its safe words are told, with the paths of files.
    """
    fields: dict[str, object] = {}
    if call.reached is not None:
        fields |= _named(call.reached[0], scope.get("path_params", {}))
    words = safe_words(error)
    if words is not None:
        fields["cause"] = words
    digest = _DIGEST.search(str(error)) if isinstance(error, AdapterUnreadable) else None
    if digest is not None:
        fields["digest"] = digest[0]
    return fields


def named_detail(detail: str, call: Call) -> str:
    """Return what a caller is told of an adapter's damage: by the names that he knows it by."""
    known = call.log
    if "adapter" not in known:
        return detail
    version = f" version {known['version']}" if "version" in known else ""
    return f"{known['tenant']}.{known['adapter']}{version}: {detail}"


def _named(tenant: str, path: dict[str, str]) -> dict[str, object]:
    """Return the names of a path that leads to an adapter of the tenant that was found."""
    fields: dict[str, object] = {"tenant": tenant}
    try:
        parts = model_parts(path["model"]) if "model" in path else (tenant, path.get("adapter"))
    except TenantryError:
        return fields
    if parts[0] == tenant and parts[1] is not None:
        fields["adapter"] = parts[1]
        if path.get("version", "").isdigit():
            fields["version"] = int(path["version"])
    return fields
