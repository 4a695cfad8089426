"""The OpenAPI document: bodies, examples, limits, and every error that a route can answer."""

from collections.abc import Iterable
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from service.api.feedback_request import FeedbackRequest
from service.api.foreign_requests import FOREIGN_REQUESTS
from service.api.permissions import MANAGING, need_of, told
from service.api.problems import INTERNAL, KINDS, Kind
from service.api.requests import OipRequest, PredictRequest
from service.api.schemas import KeyRequest, OipError, ProblemDocument, RolloutRequest
from service.engine.errors import TenantryError
from service.errors import (
    AdapterQuarantined,
    AdapterUnreadable,
    BodyTooLarge,
    DeadlinePassed,
    ForeignHost,
    MalformedRequest,
    NoLiveVersion,
    NotAuthenticated,
    NotPermitted,
    QueueFull,
    Stopping,
    TenantLimited,
    UnacceptableRequest,
    UnknownAdapter,
    UnknownTenant,
    UnknownVersion,
    WrongMediaType,
)
from service.registry.records import TenantSettings
from service.settings import Settings
from service.uploads.metadata import Metadata

PROBLEM_JSON = "application/problem+json"

IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "the ETag of the revision that the change is meant for",
    "schema": {"type": "string"},
    "example": '"5"',
}
TIMEOUT = {
    "name": "X-Timeout-Ms",
    "in": "header",
    "required": False,
    "description": "milliseconds that an answer may take; beyond them 504",
    "schema": {"type": "integer", "minimum": 1},
    "example": 2000,
}

REFERENCE = "#/components/schemas/{model}"  # as pydantic fills it
_STRUCT_REFERENCE = "#/components/schemas/{name}"  # as msgspec does
IMAGE_BODY: dict[str, Any] = {
    "image/*": {
        "schema": {"type": "string", "format": "binary"},
        "example": "(the bytes of a file: JPEG, PNG, WebP, GIF or BMP)",
    }
}
# What asking an adapter can end in.
ASKING: tuple[type[TenantryError], ...] = (
    UnknownTenant,
    UnknownAdapter,
    UnknownVersion,
    NoLiveVersion,
    AdapterQuarantined,
    TenantLimited,
    DeadlinePassed,
    AdapterUnreadable,
)
_EVERYWHERE = (NotAuthenticated, NotPermitted, ForeignHost, Stopping)
_WITH_BODY = (MalformedRequest, BodyTooLarge, WrongMediaType, UnacceptableRequest, QueueFull)


# Models that no route declares to the framework, because bodies and errors are ours to read and
# to write.
_BODIES: tuple[type[BaseModel], ...] = (
    ProblemDocument,
    OipError,
    KeyRequest,
    RolloutRequest,
    TenantSettings,
    Metadata,
)
_STRUCTS = (PredictRequest, OipRequest, FeedbackRequest, *FOREIGN_REQUESTS)


def body_of(model: type[BaseModel], example: object) -> dict[str, Any]:
    """Return what documents a JSON body that the route reads by itself; see `_BODIES`."""
    assert model in _BODIES, "a schema that is named is also in the document"
    schema = {"$ref": REFERENCE.format(model=model.__name__)}
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


def struct_body(struct: type[msgspec.Struct], examples: dict[str, Any]) -> dict[str, Any]:
    """Return the request body of a route that decodes it by itself; see `_STRUCTS`."""
    assert struct in _STRUCTS, "a schema that is named is also in the document"
    schema = {"$ref": REFERENCE.format(model=struct.__name__)}
    return {
        "required": True,
        "content": {"application/json": {"schema": schema, "examples": examples}},
    }


def example_of(
    model: type[BaseModel], example: object, description: str = "Answered"
) -> dict[str, Any]:
    """Return what documents an answer."""
    return {
        "model": model,
        "description": description,
        "content": {"application/json": {"example": example}},
    }


def refusals(
    *raised: type[TenantryError], body: bool = False, oip: bool = False
) -> dict[int | str, dict[str, Any]]:
    """Return what documents a route's errors, one entry a status with all its codes."""
    classes = [*raised, *_EVERYWHERE, *(_WITH_BODY if body else ())]
    by_status: dict[int, list[Kind]] = {}
    for kind in [*(KINDS[error] for error in classes), INTERNAL]:
        kinds = by_status.setdefault(kind.status, [])
        if kind not in kinds:
            kinds.append(kind)
    responses: dict[int | str, dict[str, Any]] = {}
    for status, kinds in sorted(by_status.items()):
        codes = ", ".join(f"`{kind.code}`" for kind in kinds)
        media_type = "application/json" if oip else PROBLEM_JSON
        responses[status] = {
            "description": f"{kinds[0].title} ({codes})",
            "content": {media_type: {"schema": _error_schema(oip=oip), **_example(kinds, oip=oip)}},
        }
    return responses


def _error_schema(*, oip: bool) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=(OipError if oip else ProblemDocument).__name__)}


def _example(kinds: Iterable[Kind], *, oip: bool) -> dict[str, Any]:
    kind = next(iter(kinds))
    if oip:
        return {"example": {"error": f"{kind.title} [{kind.code}]"}}
    return {
        "example": {
            "type": f"urn:tenantry:problem:{kind.code}",
            "title": kind.title,
            "status": kind.status,
            "detail": "what exactly was wrong, for people",
            "code": kind.code,
            "request_id": "8c1f0a52e4b7d9630f5a21bc",
        }
    }


def describe(app: FastAPI, settings: Settings, tags: list[dict[str, str]]) -> dict[str, Any]:
    """Return the whole OpenAPI document."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=_description(settings),
        routes=app.routes,
        tags=tags,
    )
    schemas = document["components"]["schemas"]
    _, structs = msgspec.json.schema_components(_STRUCTS, ref_template=_STRUCT_REFERENCE)
    schemas.update(structs)
    for model in _BODIES:
        schema = model.model_json_schema(ref_template=REFERENCE)
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    schemas["PredictRequest"]["properties"]["inputs"] |= {
        "minItems": 1,
        "maxItems": settings.max_inputs,
    }
    # The framework documents its own refusals of parameters, which no route of ours makes.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
            _say_who(path, method.upper(), operation)
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    # An open server asks nobody for a key, and honours one all the same.
    document["security"] = [{"key": []}] if settings.keyed else [{}, {"key": []}]
    return document


def _say_who(path: str, method: str, operation: dict[str, Any]) -> None:
    """Add to an operation who may ask for it."""
    need = need_of(method, path)
    operation["description"] = f"{operation.get('description', '')}\n\n{told(need)}".strip()
    if need in MANAGING and "429" not in operation["responses"]:
        operation["responses"]["429"] = refusals(TenantLimited)[KINDS[TenantLimited].status]
    if need == "free":
        operation["security"] = []
        operation["responses"].pop("401", None)


def _description(settings: Settings) -> str:
    return (
        "Classifiers of many tenants, answered by one backbone.\n\n"
        "Every answer carries `X-Request-Id` (the caller's own if it is short and plain), and"
        " continues a W3C `traceparent`. Bodies may be gzip or deflate. Errors are"
        ' `application/problem+json` (RFC 9457), on the routes below `/v2` `{"error": "..."}`;'
        " 429 and 503 say in `Retry-After` when to come again.\n\n"
        f"Limits here: 1 to {settings.max_inputs} inputs a request, bodies of"
        f" {settings.max_body_bytes} bytes, uploads of {settings.max_upload_bytes} bytes (both"
        f" after decompression), answers within {settings.request_timeout_s_max:g} seconds"
        " (`X-Timeout-Ms` can only shorten that)."
    )
