import re

import pytest

from service.errors import UnacceptableRequest
from service.registry.records import Canary
from service.registry.rollout_document import (
    REASON_CHARACTERS_MAX,
    RolloutDocument,
    read_document,
)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"live": None}, RolloutDocument(None)),
        ({"live": 3}, RolloutDocument(3)),
        (
            {"live": 3, "canary": {"version": 4, "percent": 10}, "shadow": [5, 6]},
            RolloutDocument(3, Canary(4, 10.0), (5, 6)),
        ),
        (
            {"live": 3, "canary": {"version": 4, "percent": 0.25}},
            RolloutDocument(3, Canary(4, 0.25)),
        ),
        (
            {"live": 3, "canary": {"version": 4, "percent": 100}},
            RolloutDocument(3, Canary(4, 100.0)),
        ),
        ({"live": 3, "canary": None, "shadow": None, "force": None}, RolloutDocument(3)),
        ({"live": 3, "shadow": []}, RolloutDocument(3)),
        ({"live": None, "shadow": [5]}, RolloutDocument(None, None, (5,))),
        ({"live": 3, "force": {"reason": " why "}}, RolloutDocument(3, forced="why")),
    ],
)
def test_a_document_is_read(given: dict[str, object], read: RolloutDocument) -> None:
    assert read_document(given, 4) == read


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "which version is `live`"),
        ({"live": 1, "x": 1}, "has `live`, `canary`, `shadow` and `force`, not x"),
        ({"live": 1, "canary": 2}, "`canary` is an object"),
        ({"live": 1, "canary": {"version": 2}}, "`canary.percent` is a number above 0"),
        ({"live": 1, "canary": {"percent": 2}}, "`canary.version` is the number"),
        (
            {"live": 1, "canary": {"version": 2, "percent": 1, "of": 3}},
            "has `version` and `percent`, not of",
        ),
        *(
            ({"live": 1, "canary": {"version": 2, "percent": percent}}, "above 0 and at most 100")
            for percent in (0, -1, 100.1, True, "10", None, float("nan"), float("inf"))
        ),
        ({"live": None, "canary": {"version": 2, "percent": 10}}, "none is"),
        ({"live": 1, "shadow": 2}, "`shadow` is a list"),
        ({"live": 1, "shadow": [2, "3"]}, "`shadow[1]` is the number of a version"),
        ({"live": 1, "shadow": [2, 3, 4, 5, 6]}, "`shadow` has 5 versions, and the limit is 4"),
        ({"live": 1, "shadow": [2, 2]}, "version 2 is named more than once"),
        ({"live": 1, "shadow": [1]}, "version 1 is named more than once"),
        ({"live": 1, "canary": {"version": 1, "percent": 5}}, "version 1 is named more than once"),
        (
            {"live": 1, "canary": {"version": 2, "percent": 5}, "shadow": [2]},
            "version 2 is named more than once",
        ),
        ({"live": 1, "force": "x"}, "`force` is an object"),
        ({"live": 1, "force": {}}, "`force.reason` says in words"),
        ({"live": 1, "force": {"reason": " "}}, "`force.reason` says in words"),
        ({"live": 1, "force": {"reason": 1}}, "`force.reason` says in words"),
        (
            {"live": 1, "force": {"reason": "x" * (REASON_CHARACTERS_MAX + 1)}},
            "has 501 characters, and the limit is 500",
        ),
        ({"live": 1, "force": {"reason": "x", "by": "ann"}}, "`force` has `reason`, not by"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, object], reason: str) -> None:
    with pytest.raises(UnacceptableRequest, match=re.escape(reason)):
        read_document(given, 4)


def test_everything_that_is_wrong_is_named_at_once() -> None:
    given = {"live": 0, "canary": {"version": 2, "percent": 0}, "shadow": [2, 2], "why": "x"}
    with pytest.raises(UnacceptableRequest) as raised:
        read_document(given, 4)
    told = str(raised.value)
    assert "none is" not in told
    for part in ("not why", "`live` is the number", "`canary.percent`", "version 2 is named more"):
        assert part in told


def test_without_room_for_shadows_there_is_none() -> None:
    with pytest.raises(UnacceptableRequest, match="the limit is 0"):
        read_document({"live": 1, "shadow": [2]}, 0)
