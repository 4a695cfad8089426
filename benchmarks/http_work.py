"""What is asked over HTTP: texts, the tenants that ask for them, and the requests on the wire."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from benchmarks.baselines import infinity
from benchmarks.tenancy import Placed, predict_body
from benchmarks.texts import adapters_of
from service.engine.bundle import Bundle
from service.engine.tokens import Tokeniser, Tokens

PER_REQUEST = 32

Request = tuple[str, bytes]  # path, body


@dataclass(frozen=True, slots=True)
class Work:
    """Texts in order of arrival, and the requests that carry them."""

    texts: list[Tokens]
    owners: list[int]  # the tenant of each text where a request has one text
    run_owners: list[int]  # the same where a request has 32 of them
    singles: list[Request]
    runs: list[Request]
    embeddings: list[Request]  # one text a request, as infinity takes it


def make_work(words: list[str], bundle: Bundle, placed: Sequence[Placed]) -> Work:
    """Return the work for these texts, whose tenants are drawn uniformly."""
    owners = adapters_of(len(words), len(placed))
    starts = range(0, len(words), PER_REQUEST)
    run_owners = adapters_of(len(starts), len(placed))
    return Work(
        texts=Tokeniser(bundle).encode(words),
        owners=owners,
        run_owners=[run_owners[i // PER_REQUEST] for i in range(len(words))],
        singles=[
            (placed[owner].path, predict_body([text]))
            for text, owner in zip(words, owners, strict=True)
        ],
        runs=[
            (placed[owner].path, predict_body(words[start : start + PER_REQUEST]))
            for start, owner in zip(starts, run_owners, strict=True)
        ],
        embeddings=[
            (infinity.PATH, orjson.dumps({"model": infinity.MODEL, "input": [text]}))
            for text in words
        ],
    )
