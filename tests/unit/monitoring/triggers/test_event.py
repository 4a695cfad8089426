import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec

from monitoring.triggers.event import RetrainRequested, body_of, schema
from monitoring.triggers.rules import judge
from monitoring.triggers.trigger import key_of
from service.measures import Estimate
from tests.fakes.triggers import IDS, POLICY, condition, drift, labels, raised

DOCS = Path(__file__).resolve().parents[4] / "docs" / "concepts"


def validated(body: bytes) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(body)
    jsonschema_rs.validator_for(schema(), validate_formats=True).validate(event)
    return event


def test_the_documented_schema_is_the_codes() -> None:
    file = DOCS / "retrain-requested.schema.json"
    assert json.loads(file.read_text(encoding="utf-8")) == schema()


def test_the_documented_example_is_such_an_event() -> None:
    page = (DOCS / "retrain-triggers.md").read_text(encoding="utf-8")
    [example] = re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    event = msgspec.json.decode(example, type=RetrainRequested)
    validated(example.encode())
    for name in event.data.evidence.__struct_fields__:
        assert f"`{name}`" in page or f"`evidence.{name}`" in page, name


def test_every_reason_makes_an_event_of_the_schema() -> None:
    bad = labels(calibration_error=Estimate(0.2, 0.15, 0.25), accuracy=Estimate(0.6, 0.55, 0.65))
    triggers = judge(condition(drift=drift(), labels=bad), POLICY, {})
    assert [trigger.reason for trigger in triggers] == ["calibration", "accuracy", "drift"]
    for trigger in triggers:
        event = validated(body_of(trigger, key_of(trigger, POLICY.cooldown_us)))
        assert event["data"]["reason"] == trigger.reason
        assert event["time"] == event["data"]["raised"]


def test_the_same_trigger_is_the_same_bytes_and_not_many() -> None:
    key = key_of(raised(), POLICY.cooldown_us)
    body = body_of(raised(), key)
    assert body == body_of(raised(), key)
    assert len(body) < 4096
    assert IDS[0].encode() in body
