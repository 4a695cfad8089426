"""Errors in the words of each wire: by its path, a request is answered as its client reads it.

| path | body | statuses |
| --- | --- | --- |
| `/v2` | `{"error": "<text>"}`, because Triton's and KServe's clients read nothing else | ours |
| `/tei` | `{"error", "error_type"}`, as Text Embeddings Inference | its own, below |
| `/hf` | `{"error": "<text>"}`, which Hugging Face's clients quote | ours |
| `/classify`, `/v1/models` | `{"error": {"message", "type", "param", "code"}}`, as vLLM | its own |
| all others | `application/problem+json` (RFC 9457) | ours |

A text ends with our code in brackets wherever the form has no place for it.
"""

from collections.abc import Callable

import orjson

from service.api.problems import Problem, oip_error_body, problem_body

_JSON, _PROBLEM_JSON = b"application/json", b"application/problem+json"

# text-embeddings-inference, router/src/http/server.rs: `From<&ErrorType> for StatusCode`. Its
# framework refuses a body of another form with 422 before any of that.
_TEI_TYPES = {
    400: "Empty",
    413: "Validation",
    422: "Tokenizer",
    424: "Backend",
    429: "Overloaded",
    503: "Unhealthy",
}
_TEI_STATUSES = {
    "input-too-long": 413,
    "queue-full": 429,
    "adapter-quarantined": 424,
    "adapter-unreadable": 424,
}
# vllm, entrypoints/openai: an exception's status and the name of its class.
_VLLM_TYPES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "BadRequestError",
    429: "RateLimitError",
    503: "ServiceUnavailableError",
    504: "TimeoutError",
}


def error_body(problem: Problem, path: str, request_id: str) -> tuple[int, bytes, bytes]:
    """Return the status, body and media type that tell a problem on a path."""
    tell = _NATIVE
    for prefix, wire in _WIRES.items():
        if path == prefix or path.startswith(prefix + "/"):
            tell = wire
    return tell(problem, request_id)


def _native(problem: Problem, request_id: str) -> tuple[int, bytes, bytes]:
    return problem.kind.status, problem_body(problem, request_id), _PROBLEM_JSON


def _oip(problem: Problem, _: str) -> tuple[int, bytes, bytes]:
    return problem.kind.status, oip_error_body(problem), _JSON


def _tei(problem: Problem, _: str) -> tuple[int, bytes, bytes]:
    status = _TEI_STATUSES.get(problem.kind.code, problem.kind.status)
    # What that server has no word for: a fault of ours is its backend's, one of the caller's a
    # matter of validation.
    kind = _TEI_TYPES.get(status, "Backend" if status >= 500 else "Validation")
    return status, orjson.dumps({"error": _text(problem), "error_type": kind}), _JSON


def _hf(problem: Problem, _: str) -> tuple[int, bytes, bytes]:
    return problem.kind.status, orjson.dumps({"error": _text(problem)}), _JSON


def _vllm(problem: Problem, _: str) -> tuple[int, bytes, bytes]:
    status = 400 if problem.kind.status == 422 else problem.kind.status
    kind = _VLLM_TYPES.get(status, "InternalServerError" if status >= 500 else "BadRequestError")
    error = {"message": _text(problem), "type": kind, "param": None, "code": status}
    return status, orjson.dumps({"error": error}), _JSON


def _text(problem: Problem) -> str:
    return f"{problem.detail} [{problem.kind.code}]"


_Tell = Callable[[Problem, str], tuple[int, bytes, bytes]]
_NATIVE: _Tell = _native
_WIRES: dict[str, _Tell] = {
    "/v2": _oip,
    "/tei": _tei,
    "/hf": _hf,
    "/classify": _vllm,
    "/v1/models": _vllm,
}
