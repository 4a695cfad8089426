"""The one line that a request may leave in the log: ids and figures, never what it sent."""

import logging

from service.api.call import Call
from service.api.logs import FIELDS


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
    level = logging.INFO if call.error is None else logging.ERROR
    logger.log(level, "request", exc_info=call.error, extra={FIELDS: fields | call.log})
