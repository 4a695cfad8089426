"""Mixed traffic: the texts of all tenants, interleaved, many requests in flight."""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from examples.demo.adapters import Trained
from examples.demo.errors import DemoFailed

IN_FLIGHT = 64
_SEED = 7


@dataclass(frozen=True, slots=True)
class Question:
    """One text and whose it is."""

    business: int  # its place among the adapters
    row: int  # its place among the adapter's rows
    path: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer over HTTP."""

    question: Question
    tenant: str
    version: int
    digest: str
    provider: str
    precision: str
    id: str
    label: str
    scores: dict[str, float]
    seconds: float


def questions_of(adapters: Sequence[Trained]) -> list[Question]:
    """Return every text as a request of its own, all tenants shuffled together."""
    questions = []
    for business, trained in enumerate(adapters):
        of = trained.business
        path = f"/v1/tenants/{of.tenant}/adapters/{of.adapter}/predict"
        for row, example in enumerate(trained.rows):
            body = json.dumps({"inputs": [example.text]}).encode()
            questions.append(Question(business, row, path, body))
    random.Random(_SEED).shuffle(questions)
    return questions


def send(
    url: str, questions: Sequence[Question], on_reply: Callable[[int], None]
) -> tuple[list[Reply], float]:
    """Send every question, `IN_FLIGHT` at a time, and return the replies and the seconds it took.

    The replies are in the order of the questions. Raises `DemoFailed` for an answer other than 200.
    """
    connections = threading.local()
    address = urlsplit(url).netloc
    opened: list[http.client.HTTPConnection] = []

    def ask(question: Question) -> Reply:
        connection = getattr(connections, "own", None)
        if connection is None:
            connection = connections.own = http.client.HTTPConnection(address, timeout=60)
            opened.append(connection)
        started = time.perf_counter()
        headers = {"Content-Type": "application/json"}
        connection.request("POST", question.path, question.body, headers)
        answer = connection.getresponse()
        body = answer.read()
        seconds = time.perf_counter() - started
        if answer.status != http.client.OK:
            raise DemoFailed(f"POST {question.path}: {answer.status} {body.decode()}")
        return _reply(question, json.loads(body), seconds)

    replies = []
    started = time.perf_counter()
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        try:
            for done, reply in enumerate(pool.map(ask, questions), start=1):
                replies.append(reply)
                on_reply(done)
        finally:
            pool.shutdown(cancel_futures=True)
    seconds = time.perf_counter() - started
    for connection in opened:
        connection.close()
    return replies, seconds


def _reply(question: Question, told: dict[str, Any], seconds: float) -> Reply:
    model, [prediction] = told["model"], told["predictions"]
    return Reply(
        question=question,
        tenant=model["tenant"],
        version=model["version"],
        digest=model["digest"],
        provider=model["provider"],
        precision=model["precision"],
        id=prediction["id"],
        label=prediction["label"],
        scores=prediction["scores"],
        seconds=seconds,
    )
