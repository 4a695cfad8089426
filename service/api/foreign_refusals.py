"""What the OpenAPI document shows of errors on other servers' wires."""

from typing import Any

import orjson
from pydantic import BaseModel

from service.api.error_bodies import error_body
from service.api.openapi import ASKING, example_of
from service.api.problems import INTERNAL, KINDS, Kind, Problem
from service.engine.errors import TenantryError
from service.errors import (
    BodyTooLarge,
    ForeignHost,
    InputTooLong,
    MalformedRequest,
    NotAuthenticated,
    NotPermitted,
    QueueFull,
    Stopping,
    TenantLimited,
    UnacceptableRequest,
    WrongMediaType,
)

_EVERYWHERE = (NotAuthenticated, NotPermitted, ForeignHost, Stopping)
# What asking an adapter can end in, the reading of the body among it.
ASKED: tuple[type[TenantryError], ...] = (
    *ASKING,
    MalformedRequest,
    BodyTooLarge,
    WrongMediaType,
    UnacceptableRequest,
    InputTooLong,
    TenantLimited,
    QueueFull,
)


def foreign_refusals(
    path: str, model: type[BaseModel], *raised: type[TenantryError]
) -> dict[int | str, dict[str, Any]]:
    """Return what documents the errors of a route: by status, as `error_body` tells them there.

    `model` is the form of their bodies.
    """
    kinds = dict.fromkeys([*(KINDS[error] for error in (*raised, *_EVERYWHERE)), INTERNAL])
    by_status: dict[int, list[Kind]] = {}
    for kind in kinds:
        status, _, _ = error_body(Problem(kind, kind.title), path, "")
        by_status.setdefault(status, []).append(kind)
    documented: dict[int | str, dict[str, Any]] = {}
    for status, alike in sorted(by_status.items()):
        codes = ", ".join(f"`{kind.code}`" for kind in alike)
        _, body, _ = error_body(Problem(alike[0], alike[0].title), path, "")
        title = f"{alike[0].title} ({codes})"
        documented[status] = example_of(model, orjson.loads(body), title)
    return documented
