"""The one map from errors to statuses: total, and told the same way on every wire."""

import importlib
import pkgutil
from collections.abc import Iterator

import orjson
import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

import service
from service import errors
from service.api.problems import (
    CODES,
    INTERNAL,
    KINDS,
    oip_error_body,
    problem_body,
    problem_of,
)
from service.engine.errors import InvalidAdapter, NonFiniteOutput, Problem, TenantryError

ALEMBICS_OWN = "service.registry.migrations.env"  # a script, which Alembic alone can run
STATUSES = {400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 429, 500, 503, 504}


def every_error() -> Iterator[type[TenantryError]]:
    """Import the whole service, and return every error that it defines."""
    for module in pkgutil.walk_packages(service.__path__, "service."):
        if module.name != ALEMBICS_OWN:
            importlib.import_module(module.name)
    pending = TenantryError.__subclasses__()
    while pending:
        error = pending.pop()
        if error.__module__.startswith("service."):
            yield error
        pending += error.__subclasses__()


def test_every_error_of_the_service_is_in_the_map_and_nothing_else() -> None:
    assert set(every_error()) == KINDS.keys()


def test_statuses_are_those_of_the_contract() -> None:
    assert {kind.status for kind in KINDS.values()} <= STATUSES


def test_a_code_means_one_thing() -> None:
    kinds = set(KINDS.values())
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert {kind.code for kind in kinds} <= set(CODES)


def test_what_is_full_or_stopping_says_when_to_come_again() -> None:
    for kind in KINDS.values():
        assert (b"retry-after" in dict(kind.headers)) == (kind.status == 503)


def test_an_unauthenticated_caller_is_told_the_scheme() -> None:
    assert dict(KINDS[errors.NotAuthenticated].headers)[b"www-authenticate"] == b"Bearer"


def test_a_problem_has_every_member_of_the_contract() -> None:
    problem = problem_of(errors.UnknownTenant("there is no tenant 'acme'"))
    assert orjson.loads(problem_body(problem, "req-1")) == {
        "type": "urn:tenantry:problem:unknown-tenant",
        "title": "There is no such tenant",
        "status": 404,
        "detail": "there is no tenant 'acme'",
        "code": "unknown-tenant",
        "request_id": "req-1",
    }


def test_an_invalid_upload_lists_all_its_problems() -> None:
    error = InvalidAdapter([Problem("metadata", "is missing"), Problem("package/x", "is a link")])
    body = orjson.loads(problem_body(problem_of(error), "req-1"))
    assert body["problems"] == [
        {"where": "metadata", "what": "is missing"},
        {"where": "package/x", "what": "is a link"},
    ]


def test_an_error_of_the_open_inference_protocol_is_one_string() -> None:
    body = orjson.loads(oip_error_body(problem_of(errors.NoLiveVersion("none is live"))))
    assert body == {"error": "none is live [no-live-version]"}


def test_a_quarantined_adapter_is_named_however_it_is_found() -> None:
    digest = "sha256:" + "a" * 64
    problem = problem_of(NonFiniteOutput(digest))
    assert problem.kind is KINDS[errors.AdapterQuarantined]
    assert digest in problem.detail


@pytest.mark.parametrize(
    "error",
    [ValueError("the password is hunter2"), errors.InvalidSettings("hunter2"), HTTPException(418)],
)
def test_an_error_that_nobody_foresaw_tells_nothing(error: Exception) -> None:
    problem = problem_of(error)
    assert problem.kind is INTERNAL
    assert "hunter2" not in problem_body(problem, "req-1").decode()


def test_an_error_below_a_known_one_is_not_told_by_accident() -> None:
    class Unmapped(errors.Conflict):
        pass

    assert problem_of(Unmapped("secret")).kind is INTERNAL


def test_the_framework_s_errors_are_told_as_ours() -> None:
    assert problem_of(HTTPException(404)).kind.code == "unknown-path"
    assert problem_of(HTTPException(405)).kind.code == "wrong-method"
    assert problem_of(HTTPException(400)).kind.code == "malformed"
    invalid = RequestValidationError([{"loc": ("query", "since"), "msg": "no", "type": "x"}])
    assert problem_of(invalid).detail == "since: no"
