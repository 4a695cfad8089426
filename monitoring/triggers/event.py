"""The event that a receiver gets: CloudEvents 1.0, JSON, in structured content mode."""

from typing import Any

import msgspec

from monitoring.triggers.trigger import Trigger

CONTENT_TYPE = "application/cloudevents+json"
TYPE = "io.tenantry.retrain.requested.v1"
SOURCE = "/tenantry/monitor"
SCHEMA = "urn:tenantry:schema:retrain-requested:1"


class RetrainRequested(msgspec.Struct, frozen=True, kw_only=True):
    """The event: the attributes of CloudEvents 1.0 (section 3.1), and the trigger as its data."""

    specversion: str
    id: str  # the idempotency key: an event that comes twice comes with the same one
    source: str
    type: str
    subject: str  # tenant.adapter
    time: str  # RFC 3339, UTC: when it was raised, by the time of the events
    datacontenttype: str
    dataschema: str
    data: Trigger


def body_of(trigger: Trigger, key: str) -> bytes:
    """Return the event as it is sent: the same bytes for the same trigger, always."""
    event = RetrainRequested(
        specversion="1.0",
        id=key,
        source=SOURCE,
        type=TYPE,
        subject=f"{trigger.tenant}.{trigger.adapter}",
        time=trigger.raised.isoformat().replace("+00:00", "Z"),
        datacontenttype="application/json",
        dataschema=SCHEMA,
        data=trigger,
    )
    return msgspec.json.encode(event)


def schema() -> dict[str, Any]:
    """Return the JSON schema of the event; `docs/concepts` has it as a file."""
    found = msgspec.json.schema(RetrainRequested)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA, **found}
