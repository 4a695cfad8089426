"""What `tenantry adapters rollout` writes, given what holds."""

from collections.abc import Sequence
from typing import Any

import pytest
import typer

from service.client.client import Client
from service.client.commands.rollout import change
from service.client.parsing import rollout
from tests.fakes.answers import ROLLOUT, VERSION, FakePace, FakeTransport, ok

NAMED = {"live": 3, "canary": {"version": 4, "percent": 10.0}, "shadow": [5, 6]}


def written(
    options: dict[str, Any], before: dict[str, Any], rejected: Sequence[int] = ()
) -> tuple[Any, str]:
    """Return the document that was put and the revision that it was bound to."""
    versions = [
        {**VERSION, "version": number, "report": {"verdict": "rejected"}} for number in rejected
    ]
    transport = FakeTransport(ok({"versions": versions}), ok(ROLLOUT))
    if not before.get("force"):
        transport = FakeTransport(ok(ROLLOUT))
    wanted = change(**{"live": None, "canary": None, "shadow": None, "force": None, **options})
    assert wanted is not None
    client = Client("http://host", transport=transport, pace=FakePace())
    holds = rollout({**ROLLOUT, "canary": None, "shadow": None, **before})
    wanted.put(client, "acme", "support", holds, None)
    assert transport.requests[-1].method == "PUT"
    return transport.documents()[-1], transport.requests[-1].headers["if-match"]


@pytest.mark.parametrize(
    ("options", "after"),
    [
        ({"live": "7"}, {**NAMED, "live": 7}),
        ({"live": "4"}, {"live": 4, "shadow": [5, 6]}),
        ({"live": "5"}, {**NAMED, "live": 5, "shadow": [6]}),
        ({"canary": "6:50"}, {**NAMED, "canary": {"version": 6, "percent": 50}, "shadow": [5]}),
        ({"canary": "none"}, {"live": 3, "shadow": [5, 6]}),
        ({"shadow": ["none"]}, {"live": 3, "canary": NAMED["canary"]}),
        ({"shadow": ["8", "9"]}, {**NAMED, "shadow": [8, 9]}),
        ({"live": "none", "canary": "none"}, {"live": None, "shadow": [5, 6]}),
        (
            {"live": "8", "force": "as agreed"},
            {**NAMED, "live": 8, "force": {"reason": "as agreed"}},
        ),
    ],
)
def test_what_is_not_named_stays(options: dict[str, Any], after: dict[str, Any]) -> None:
    assert written(options, NAMED) == (after, '"7"')


def test_what_was_forced_goes_on_for_the_same_reason_and_for_no_other() -> None:
    forced = {"live": 3, "shadow": [5], "force": {"reason": "as agreed"}}
    document, _ = written({"canary": "4:10"}, forced, rejected=[3])
    assert document["force"] == {"reason": "as agreed"}
    document, _ = written({"live": "4"}, forced, rejected=[3])
    assert "force" not in document, "the rejected version is out"
    document, _ = written({"live": "6"}, forced, rejected=[3, 6])
    assert "force" not in document, "another rejected version needs a reason of its own"


def test_nothing_named_is_no_change() -> None:
    assert change(None, None, [], None) is None


@pytest.mark.parametrize("live", ["", "1.5", "-1", "٣", "99999999999"])
def test_a_number_that_is_none_is_a_wrong_use(live: str) -> None:
    with pytest.raises(typer.BadParameter, match="--live"):
        change(live, None, None, None)
