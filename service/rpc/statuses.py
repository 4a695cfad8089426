"""What every problem becomes over gRPC: one map, from the statuses of HTTP.

https://grpc.io/docs/guides/status-codes/. A contract test keeps it total over `problems.KINDS`.
"""

import grpc

from service.api.problems import Problem

STATUSES: dict[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    405: grpc.StatusCode.UNIMPLEMENTED,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    412: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,  # as gRPC itself says of a message that is too large
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def status_of(problem: Problem) -> grpc.StatusCode:
    """Return the status of a problem."""
    return STATUSES[problem.kind.status]


def details_of(problem: Problem) -> str:
    """Return the text that a client shows; as over HTTP, with our code at its end."""
    return f"{problem.detail} [{problem.kind.code}]"


def pushback(problem: Problem) -> list[tuple[str, str]]:
    """Return the metadata that says when to come again.

    `grpc-retry-pushback-ms` is what gRPC's own retries honour, `retry-after` has the seconds.
    """
    for name, value in problem.headers:
        if name == b"retry-after":
            seconds = value.decode("ascii")
            return [("retry-after", seconds), ("grpc-retry-pushback-ms", f"{seconds}000")]
    return []
