"""The two clients: what they send, how they repeat it, what they make of answers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.client.async_client import AsyncClient
from service.client.client import Client
from service.client.documents import Label
from service.client.errors import (
    BadRequest,
    Changed,
    InvalidCall,
    KeyRefused,
    NotFound,
    ServerBusy,
    ServerFailed,
    TenantLimited,
    TenantryClientError,
    TimePassed,
    Unreachable,
    UnreadableAnswer,
)
from service.client.metadata import metadata_of
from service.client.package import CONFIG_FILE, WEIGHTS_FILE
from tests.fakes.answers import (
    PREDICTED,
    ROLLOUT,
    TENANT,
    VERSION,
    FakeAsyncPace,
    FakePace,
    FakeTransport,
    ok,
    problem,
)

KEY = "tk_0123456789abcdef_secret-secret-secret"
URL = "https://tenantry.example/api"
REFUSED = httpx.ConnectError("Connection refused")
CUT = httpx.RemoteProtocolError("Server disconnected without sending a response.")


def client_of(transport: FakeTransport, pace: FakePace | None = None, **options: Any) -> Client:
    return Client(URL, KEY, transport=transport, pace=pace or FakePace(), **options)


def predict(client: Client, **options: Any) -> Any:
    return client.predict("acme", "support", ["Where is my money?"], **options)


# --- what is sent, what comes back


def test_a_prediction_is_asked_for_and_read() -> None:
    transport = FakeTransport(ok(PREDICTED))
    answer = client_of(transport, timeout_s=2).predict(
        "acme", "support", ["a", ("b", "c")], 3, scores="top", embedding=True, routing_key="u1"
    )
    assert (answer.model.version, answer.model.digest) == (3, "sha256:aa")
    [one] = answer.predictions
    assert (one.label, one.score, one.scores) == ("refund", 0.9, {"refund": 0.9, "other": 0.1})
    assert (one.truncated, one.embedding, one.audit) == (False, None, False)
    [request] = transport.requests
    path = "/api/v1/tenants/acme/adapters/support/versions/3/predict"
    assert (request.method, request.url.host, request.url.path) == (
        "POST",
        "tenantry.example",
        path,
    )
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["x-timeout-ms"] == "2000"
    assert request.headers["content-type"] == "application/json"
    assert transport.documents() == [
        {
            "inputs": ["a", {"text": "b", "pair": "c"}],
            "scores": "top",
            "embedding": True,
            "routing_key": "u1",
        }
    ]


def test_what_a_newer_server_adds_is_kept_and_disturbs_nobody() -> None:
    newer = {**TENANT, "colour": "green"}
    tenant = client_of(FakeTransport(ok(newer))).tenant("acme")
    assert tenant.document["colour"] == "green"
    assert tenant.settings() == {name: TENANT[name] for name in ("class", "weight", "rates", "log")}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "is not JSON"),
        (b"[]", "the tenant is no JSON object"),
        (json.dumps({**TENANT, "weight": "much"}).encode(), "has no number in 'weight'"),
        (b"{}", "the tenant has no text in 'name'"),
    ],
)
def test_an_answer_that_is_none_of_tenantry_s_is_said_to_be_so(body: bytes, words: str) -> None:
    client = client_of(FakeTransport(httpx.Response(200, content=body)))
    with pytest.raises(UnreadableAnswer, match=words):
        client.tenant("acme")


def test_a_redirect_is_not_followed_with_the_key() -> None:
    transport = FakeTransport(httpx.Response(307, headers={"location": "https://evil.example/"}))
    with pytest.raises(UnreadableAnswer, match=r"redirect to 'https://evil\.example/'"):
        client_of(transport).tenants()
    assert len(transport.requests) == 1


def test_whether_something_was_made_is_told_by_the_status() -> None:
    client = client_of(FakeTransport(ok(TENANT, 201), ok(TENANT)))
    assert [client.put_tenant("acme").created for _ in range(2)] == [True, False]


def test_a_rollout_is_sent_whole_and_bound_to_a_revision() -> None:
    transport = FakeTransport(ok(ROLLOUT))
    client = client_of(transport)
    after = client.set_rollout(
        "acme", "support", 3, canary=(4, 10), shadow=[5], force="a reason", if_match=6
    )
    assert (after.live, after.revision, after.shadow) == (3, 7, (5,))
    assert after.canary is not None
    assert (after.canary.version, after.canary.percent) == (4, 10.0)
    assert transport.requests[0].headers["if-match"] == '"6"'
    assert transport.documents() == [
        {
            "live": 3,
            "canary": {"version": 4, "percent": 10},
            "shadow": [5],
            "force": {"reason": "a reason"},
        }
    ]


def test_the_audit_trail_is_read_page_by_page() -> None:
    def page(number: int, cursor: int | None) -> httpx.Response:
        line = {"id": number, "at": "now", "actor": "admin", "action": "x"}
        return ok({"lines": [line], "cursor": cursor})

    transport = FakeTransport(page(1, 1), page(2, None))
    lines = list(client_of(transport).audit("acme"))
    assert [line.id for line in lines] == [1, 2]
    assert [str(request.url.query, "ascii") for request in transport.requests] == [
        "tenant=acme",
        "tenant=acme&cursor=1",
    ]


def test_the_backbone_is_the_model_without_a_parent() -> None:
    models = [
        {"id": "acme.support", "root": "sha256:aa", "parent": "minilm"},
        {"id": "minilm", "root": "sha256:bb", "parent": None},
    ]
    found = client_of(FakeTransport(ok({"object": "list", "data": models}))).backbone()
    assert (found.digest, found.name) == ("sha256:bb", "minilm")


def test_a_server_that_is_not_ready_has_answered() -> None:
    transport = FakeTransport(ok({"ready": False, "reason": "draining"}, 503))
    ready = client_of(transport).ready()
    assert (ready.ready, ready.reason) == (False, "draining")
    assert len(transport.requests) == 1


# --- what is wrong before anything is sent


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda client: client.tenant("../../etc"), "cannot be the name of a tenant"),
        (lambda client: client.adapter("acme", "Support"), "cannot be the name of an adapter"),
        (lambda client: client.version("acme", "support", 0), "0 is no version"),
        (lambda client: client.predict("acme", "support", "one text"), "inputs is one text"),
        (lambda client: client.predict("acme", "support", ["\ud800"]), "cannot be sent as JSON"),
        (lambda client: client.create_key("acme", "predict"), "scopes is one text"),
        (lambda client: client.put_tenant("acme", {"weight": float("nan")}), "cannot be sent"),
        (lambda client: client.predict("acme", "support", ["a"], timeout_s=0), "timeout_s"),
    ],
)
def test_what_cannot_be_sent_is_not(wrong: Callable[[Client], object], words: str) -> None:
    transport = FakeTransport(ok({}))
    with pytest.raises(InvalidCall, match=words):
        wrong(client_of(transport))
    assert transport.requests == []


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "ftp://host", "http://", "http://host/?a=b", "http://[::1"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidCall, match="address"):
        Client(url)


def test_a_key_is_in_no_text() -> None:
    secret = "not-to-be-seen"
    with pytest.raises(InvalidCall) as refused:
        Client(f"http://user:{secret}@host")
    assert secret not in str(refused.value)
    with pytest.raises(InvalidCall) as refused:
        Client("http://host", f"{secret}\n")
    assert secret not in str(refused.value)
    client = Client("http://host", secret)
    assert secret not in repr(client)
    assert secret not in repr(vars(client))
    made = {"id": "1", "tenant": "acme", "scopes": ["predict"], "key": secret}
    key = client_of(FakeTransport(ok(made, 201))).create_key("acme", ["predict"])
    assert key.key == secret
    assert secret not in repr(key)


# --- refusals


@pytest.mark.parametrize(
    ("status", "code", "kind", "advice"),
    [
        (401, "not-authenticated", KeyRefused, "--key-file"),
        (404, "unknown-tenant", NotFound, "tenantry tenants list"),
        (404, "no-live-version", NotFound, "rollout TENANT.ADAPTER --live"),
        (412, "revision-mismatch", Changed, "look at the current one"),
        (413, "body-too-large", BadRequest, "send less at once"),
        (504, "deadline-passed", TimePassed, "--timeout"),
        (500, "internal", ServerFailed, "under the request id request-1"),
    ],
)
def test_a_refusal_has_the_problem_s_fields_and_says_what_to_do(
    status: int, code: str, kind: type[TenantryClientError], advice: str
) -> None:
    transport = FakeTransport(problem(status, code, "so it is."))
    with pytest.raises(kind) as refused:
        client_of(transport).tenants()
    error = refused.value
    assert (error.status, error.code, error.detail) == (status, code, "so it is.")
    assert error.request_id == "request-1"
    assert str(error).startswith(f"so it is [{status} {code}]; ")
    assert advice in str(error)
    assert KEY not in str(error) + repr(error) + repr(error.document())
    assert len(transport.requests) == 1, "no repetition changes it"


def test_all_problems_of_an_upload_are_there() -> None:
    listed = [{"where": "metadata/labels", "what": "is missing"}]
    refusal = problem(422, "invalid-adapter", problems=listed)
    with pytest.raises(BadRequest) as refused:
        client_of(FakeTransport(refusal)).upload("acme", "support", b"zip", {"labels": []})
    [found] = refused.value.problems
    assert (found.where, found.what) == ("metadata/labels", "is missing")
    assert refused.value.document()["problems"] == listed


def test_a_refusal_by_something_in_between_is_said_to_be_one() -> None:
    page = httpx.Response(403, content=b"<h1>Forbidden</h1>  by the proxy")
    with pytest.raises(TenantryClientError, match="not Tenantry: <h1>Forbidden</h1> by the proxy"):
        client_of(FakeTransport(page)).tenants()


# --- repetition


@pytest.mark.parametrize("code", ["queue-full", "tenant-limited"])
def test_a_full_server_is_asked_again_when_it_says(code: str) -> None:
    status = 429 if code == "tenant-limited" else 503
    pace = FakePace()
    transport = FakeTransport(
        problem(status, code, retry_after="3"), problem(status, code), ok(PREDICTED)
    )
    predict(client_of(transport, pace, timeout_s=10))
    # As long as it said and a little of chance; then by itself, between half and all of 0.4 s.
    assert pace.waits == [pytest.approx(3.1), pytest.approx(0.3)]
    # What is left of the time is what the server is told.
    told = [int(request.headers["x-timeout-ms"]) for request in transport.requests]
    assert told == pytest.approx([10_000, 6900, 6600], abs=1)


def test_a_wait_beyond_the_caller_s_time_is_not_begun() -> None:
    pace = FakePace()
    transport = FakeTransport(problem(429, "tenant-limited", retry_after="30"))
    with pytest.raises(TenantLimited, match="come again in 30 s") as refused:
        predict(client_of(transport, pace, timeout_s=10))
    assert refused.value.retry_after_s == 30
    assert pace.waits == []
    assert len(transport.requests) == 1


def test_repetition_ends() -> None:
    transport = FakeTransport(problem(503, "queue-full"))
    with pytest.raises(ServerBusy):
        predict(client_of(transport, retries=2))
    assert len(transport.requests) == 3


@pytest.mark.parametrize("retry_after", ["soon", "-1", "", "1e3"])
def test_a_retry_after_that_cannot_be_read_is_as_none(retry_after: str) -> None:
    pace = FakePace()
    transport = FakeTransport(problem(503, "stopping", retry_after=retry_after), ok(PREDICTED))
    predict(client_of(transport, pace))
    assert pace.waits == [pytest.approx(0.15)]


def test_a_retry_after_may_be_a_date() -> None:
    pace = FakePace()
    past = "Fri, 31 Dec 1999 23:59:59 GMT"
    transport = FakeTransport(problem(503, "stopping", retry_after=past), ok(PREDICTED))
    predict(client_of(transport, pace))
    assert pace.waits == [pytest.approx(0.1)]


def test_the_waits_grow_and_differ_by_chance() -> None:
    waits = {}
    for drawn in (0.0, 0.99):
        pace = FakePace(drawn=drawn)
        with pytest.raises(Unreachable):
            client_of(FakeTransport(REFUSED), pace, retries=3).tenants()
        waits[drawn] = pace.waits
    assert waits[0.0] == [pytest.approx(0.1), pytest.approx(0.2), pytest.approx(0.4)]
    assert all(low < high for low, high in zip(waits[0.0], waits[0.99], strict=True))


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.create_key("acme", ["predict"]),
        lambda client: client.rollback("acme", "support"),
        lambda client: client.set_rollout("acme", "support", 3, if_match=1),
    ],
)
def test_what_may_have_been_done_is_not_done_again(call: Callable[[Client], object]) -> None:
    transport = FakeTransport(CUT)
    with pytest.raises(Unreachable, match="it may have been done: look before you repeat it"):
        call(client_of(transport))
    assert len(transport.requests) == 1


@pytest.mark.parametrize("broken", [REFUSED, problem(503, "stopping"), problem(503, "store-full")])
def test_what_cannot_have_been_done_is_done_again(broken: httpx.Response | Exception) -> None:
    transport = FakeTransport(broken, ok(ROLLOUT))
    assert client_of(transport).rollback("acme", "support").revision == 7
    assert len(transport.requests) == 2


def test_a_503_of_a_gateway_says_nothing_of_what_was_done() -> None:
    transport = FakeTransport(httpx.Response(503, content=b"upstream reset"), ok(ROLLOUT))
    with pytest.raises(ServerBusy):
        client_of(transport).rollback("acme", "support")
    client_of(transport).rollout("acme", "support")


def test_what_may_be_done_twice_is_sent_again_over_a_broken_connection() -> None:
    kept = {"accepted": 1, "refused": 0, "problems": []}
    transport = FakeTransport(CUT, ok(kept, 202))
    answer = client_of(transport).feedback([Label("id", "refund", "mobile")])
    assert answer.accepted == 1
    assert (
        transport.documents()
        == [{"labels": [{"id": "id", "label": "refund", "group": "mobile"}]}] * 2
    )


def test_a_deletion_that_is_repeated_and_finds_nothing_was_done() -> None:
    client_of(FakeTransport(CUT, problem(404, "unknown-version"))).delete_version("a", "b", 1)
    with pytest.raises(NotFound):
        client_of(FakeTransport(problem(404, "unknown-version"))).delete_version("a", "b", 1)
    # A connection that never came about says nothing of a deletion.
    with pytest.raises(NotFound):
        client_of(FakeTransport(REFUSED, problem(404, "unknown-key"))).revoke_key("a", "b")


def test_nobody_there_says_where_and_what_to_look_at() -> None:
    with pytest.raises(Unreachable) as refused:
        client_of(FakeTransport(REFUSED), retries=0).tenants()
    assert str(refused.value) == (
        "nobody answers at https://tenantry.example/api: Connection refused; is `tenantry serve`"
        " running there, and is the address right?"
    )


# --- the caller's time


def test_time_is_one_budget_for_all_attempts() -> None:
    pace = FakePace()
    transport = FakeTransport(CUT, pace=pace)
    transport.takes_s = 3.0
    with pytest.raises(Unreachable):
        predict(client_of(transport, pace, timeout_s=10, retries=50))
    assert pace.seconds - 1000 <= 10 + transport.takes_s
    timeouts = [request.extensions["timeout"]["read"] for request in transport.requests]
    assert timeouts[0] == 10
    assert all(left <= 10 - 3 * attempt for attempt, left in enumerate(timeouts)), (
        "an attempt has what is left, not all again"
    )


@pytest.mark.parametrize("late", [httpx.ReadTimeout("late"), httpx.WriteTimeout("late")])
def test_time_that_passed_is_not_spent_again(late: Exception) -> None:
    transport = FakeTransport(late)
    with pytest.raises(TimePassed, match="no answer within 60 s to GET /v1/tenants;"):
        client_of(transport).tenants()
    with pytest.raises(TimePassed, match="it may have been done, look before you repeat it"):
        client_of(transport).rollback("acme", "support")
    assert len(transport.requests) == 2


def test_an_answer_that_dribbles_in_ends_with_the_time() -> None:
    pace = FakePace()

    class Dribble(httpx.SyncByteStream):
        def __iter__(self) -> Any:
            while True:
                pace.seconds += 4
                yield b" "

    class Transport(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            del request
            return httpx.Response(200, stream=Dribble())

    with pytest.raises(TimePassed):
        Client(URL, transport=Transport(), pace=pace, timeout_s=10).tenants()
    assert pace.seconds == 1012


def test_an_answer_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.client.exchange.ANSWER_BYTES_MAX", 1000)
    endless = httpx.Response(200, content=b" " * 2000)
    with pytest.raises(UnreadableAnswer, match="more than 1,000 bytes"):
        client_of(FakeTransport(endless)).tenants()


# --- uploads


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / CONFIG_FILE).write_text("{}")
    (folder / WEIGHTS_FILE).write_bytes(b"weights" * 100_000)
    (folder / "metadata.json").write_text('{"labels": ["refund", "other"]}')
    return folder


def test_an_upload_is_sent_whole_with_each_attempt_and_tells_how_far_it_is(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    transport = FakeTransport(CUT, problem(503, "queue-full"), ok(VERSION, 201))
    made = client_of(transport).upload(
        "acme", "support", folder, progress=lambda done, total: seen.append((done, total))
    )
    assert (made.created, made.version.version) == (True, 3)
    bodies = set()
    for request, body in zip(transport.requests, transport.bodies, strict=True):
        assert request.headers["content-length"] == str(len(body))
        boundary = request.headers["content-type"].partition("boundary=")[2].encode()
        bodies.add(body.replace(boundary, b"B"))
    assert len(bodies) == 1
    [body] = bodies
    assert body.startswith(b'--B\r\nContent-Disposition: form-data; name="metadata"\r\n')
    assert body.endswith(b"\r\n--B--\r\n")
    assert json.dumps(metadata_of(folder)).encode() in body
    total = len(transport.bodies[0])
    assert {of for _, of in seen} == {total}
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen].count(total) == 3, "each attempt goes to the end"
    assert not list(folder.parent.glob("tenantry-*"))


def test_an_upload_that_takes_too_long_ends(folder: Path) -> None:
    pace = FakePace()

    def slowly(done: int, total: int) -> None:
        del done, total
        pace.seconds += 400

    with pytest.raises(TimePassed, match="no answer within 900 s"):
        client_of(FakeTransport(ok(VERSION)), pace).upload(
            "acme", "support", folder, progress=slowly
        )


def test_bytes_without_metadata_are_no_upload() -> None:
    transport = FakeTransport(ok(VERSION))
    with pytest.raises(TenantryClientError, match="nothing says what the labels are"):
        client_of(transport).upload("acme", "support", b"zip")
    assert transport.requests == []


# --- the same on an event loop


@pytest.mark.anyio
async def test_the_asynchronous_client_sends_and_repeats_the_same(folder: Path) -> None:
    pace = FakeAsyncPace()
    transport = FakeTransport(problem(503, "queue-full", retry_after="2"), ok(PREDICTED))
    async with AsyncClient(URL, KEY, transport=transport, pace=pace, timeout_s=5) as client:
        answer = await client.predict("acme", "support", ["a"])
    assert answer.predictions[0].label == "refund"
    assert pace.waits == [pytest.approx(2.1)]
    told = [int(request.headers["x-timeout-ms"]) for request in transport.requests]
    assert told == pytest.approx([5000, 2900], abs=1)
    assert KEY not in repr(client) + repr(vars(client))

    uploads = FakeTransport(CUT, ok(VERSION, 201))
    async with AsyncClient(URL, transport=uploads, pace=pace) as client:
        made = await client.upload("acme", "support", folder)
    assert made.version.version == 3
    assert [len(body) for body in uploads.bodies] == [
        int(request.headers["content-length"]) for request in uploads.requests
    ]


@pytest.mark.anyio
async def test_the_asynchronous_client_ends_with_the_caller_s_time() -> None:
    class Never(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            del request
            import anyio

            await anyio.sleep(60)
            raise AssertionError("nobody waits so long")

    async with AsyncClient(URL, transport=Never(), timeout_s=0.05) as client:
        with pytest.raises(TimePassed, match=r"within 0\.05 s"):
            await client.tenants()


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    import inspect

    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if name.startswith("_") or name == "close":
            continue
        other = getattr(AsyncClient, name)
        assert inspect.signature(method).parameters == inspect.signature(other).parameters, name
        assert inspect.getdoc(method) == inspect.getdoc(other), name
