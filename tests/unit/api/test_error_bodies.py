import orjson
import pytest

from service import errors
from service.api.error_bodies import error_body
from service.api.foreign_schemas import HfError, TeiError, VllmError
from service.api.problems import KINDS, Kind, Problem, problem_body, problem_of
from service.api.schemas import OipError, ProblemDocument
from service.engine.errors import NonFiniteOutput

ALL = list(dict.fromkeys(KINDS.values()))
# text-embeddings-inference, router/src/http/server.rs
TEI = {
    "Unhealthy": 503,
    "Backend": 424,
    "Overloaded": 429,
    "Tokenizer": 422,
    "Validation": 413,
    "Empty": 400,
}


def told(error: Exception, path: str) -> tuple[int, dict[str, object], bytes]:
    status, body, media_type = error_body(problem_of(error), path, "req-1")
    return status, orjson.loads(body), media_type


@pytest.mark.parametrize(
    ("path", "form", "media_type"),
    [
        ("/v1/tenants/acme", ProblemDocument, b"application/problem+json"),
        ("/", ProblemDocument, b"application/problem+json"),
        ("/teiresias", ProblemDocument, b"application/problem+json"),
        ("/v1/models-of-others", ProblemDocument, b"application/problem+json"),
        ("/v2", OipError, b"application/json"),
        ("/v2/models/acme.support/infer", OipError, b"application/json"),
        ("/tei/acme.support/predict", TeiError, b"application/json"),
        ("/tei", TeiError, b"application/json"),
        ("/hf/acme.support", HfError, b"application/json"),
        ("/classify", VllmError, b"application/json"),
        ("/v1/models", VllmError, b"application/json"),
    ],
)
@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.code)
def test_every_error_has_the_form_of_its_path(
    path: str, form: type[ProblemDocument], media_type: bytes, kind: Kind
) -> None:
    status, body, found = error_body(Problem(kind, "why"), path, "req-1")
    form.model_validate_json(body)
    assert found == media_type
    assert 400 <= status < 600


def test_a_native_path_is_told_as_before() -> None:
    error = errors.UnknownTenant("there is no tenant 'acme'")
    status, body, media_type = error_body(problem_of(error), "/v1/tenants/acme", "req-1")
    assert status == 404
    assert body == problem_body(problem_of(error), "req-1")
    assert media_type == b"application/problem+json"


def test_the_open_inference_protocol_is_told_one_string() -> None:
    status, body, _ = told(errors.NoLiveVersion("none is live"), "/v2/models/a.b/infer")
    assert (status, body) == (404, {"error": "none is live [no-live-version]"})


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.InputTooLong("x"), 413, "Validation"),
        (errors.BodyTooLarge("x"), 413, "Validation"),
        (errors.UnacceptableRequest("x"), 422, "Tokenizer"),
        (errors.QueueFull("x"), 429, "Overloaded"),
        (errors.TenantLimited("x", 2.5), 429, "Overloaded"),
        (NonFiniteOutput("x"), 424, "Backend"),
        (errors.AdapterQuarantined("x"), 424, "Backend"),
        (errors.AdapterUnreadable("x"), 424, "Backend"),
        (errors.MalformedRequest("x"), 400, "Empty"),
        (errors.Stopping("x"), 503, "Unhealthy"),
        (errors.EngineFailed("x"), 503, "Unhealthy"),
        (errors.NotAuthenticated("x"), 401, "Validation"),
        (errors.NotPermitted("x"), 403, "Validation"),
        (errors.UnknownTenant("x"), 404, "Validation"),
        (errors.DeadlinePassed("x"), 504, "Backend"),
        (RuntimeError("x"), 500, "Backend"),
    ],
)
def test_text_embeddings_inference_is_told_in_its_own_statuses(
    error: Exception, status: int, kind: str
) -> None:
    found, body, _ = told(error, "/tei/acme.support/predict")
    assert (found, body["error_type"]) == (status, kind)


def test_a_status_of_text_embeddings_inference_always_has_its_own_type() -> None:
    for kind in ALL:
        status, body, _ = error_body(Problem(kind, "why"), "/tei/a.b/embed", "req-1")
        if status in TEI.values():
            assert TEI[orjson.loads(body)["error_type"]] == status


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.UnacceptableRequest("x"), 400, "BadRequestError"),
        (errors.InputTooLong("x"), 400, "BadRequestError"),
        (errors.NotAuthenticated("x"), 401, "AuthenticationError"),
        (errors.NotPermitted("x"), 403, "PermissionDeniedError"),
        (errors.UnknownAdapter("x"), 404, "NotFoundError"),
        (errors.BodyTooLarge("x"), 413, "BadRequestError"),
        (errors.TenantLimited("x", 1.0), 429, "RateLimitError"),
        (errors.QueueFull("x"), 503, "ServiceUnavailableError"),
        (errors.DeadlinePassed("x"), 504, "TimeoutError"),
        (RuntimeError("x"), 500, "InternalServerError"),
    ],
)
def test_vllm_s_clients_are_told_in_its_own_statuses(
    error: Exception, status: int, kind: str
) -> None:
    found, body, _ = told(error, "/classify")
    error_told = VllmError.model_validate(body).error
    assert (found, error_told.type, error_told.code) == (status, kind, status)


def test_an_error_that_nobody_foresaw_tells_nothing_on_any_wire() -> None:
    for path in ("/tei/a.b/predict", "/hf/a.b", "/classify", "/v2", "/livez"):
        _, body, _ = error_body(problem_of(ValueError("hunter2")), path, "req-1")
        assert b"hunter2" not in body
