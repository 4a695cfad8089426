"""The log's columns, as an Arrow schema: one for every kind of event, null where a kind has none.

The version goes up when a column changes its meaning or goes; new columns do not change it. A
reader asks for columns by name.
"""

from typing import Any

import pyarrow as pa

VERSION = 1

_F16S = pa.list_(pa.field("item", pa.float16(), nullable=False))

COLUMNS: tuple[tuple[str, pa.DataType, str], ...] = (
    (
        "kind",
        pa.string(),
        "`reference`, `prediction`, `label`, `rollout`, `quarantine`, `undecodable`, `failure`",
    ),
    ("sequence", pa.int64(), "number of the event, per writer, without gaps but for erased ones"),
    ("time", pa.timestamp("us", "UTC"), "when it happened, by the wall clock of the service"),
    ("tenant", pa.string(), "whose it is"),
    ("adapter", pa.string(), "and of which adapter"),
    ("version", pa.int32(), "the adapter's version; null in rollouts"),
    ("digest", pa.string(), "of the adapter version that answered"),
    ("backbone", pa.string(), "digest of the bundle"),
    ("precision", pa.string(), "variant of the bundle"),
    ("provider", pa.string(), "where the graph ran"),
    ("role", pa.string(), "`live`, `canary`, `paired`, `shadow`, `pinned` or `reference`"),
    (
        "alone",
        pa.bool_(),
        "beside a canary: whether it was drawn that the other version does not answer it too",
    ),
    ("keyed", pa.bool_(), "beside a canary: whether a routing key drew who answers the caller"),
    ("revision", pa.int64(), "of the rollout that sent the request here, or that was made"),
    ("prediction_id", pa.string(), "of a shadow or pair: the id of the answer that the caller got"),
    ("request_id", pa.string(), "the `X-Request-Id` of the answer"),
    ("trace_id", pa.string(), "W3C trace id"),
    ("class_index", pa.int32(), "the predicted class"),
    ("class_name", pa.string(), "its name"),
    ("confidence", pa.float32(), "probability of the predicted class"),
    ("label_index", pa.int32(), "the true class, in labels and references"),
    ("label", pa.string(), "its name"),
    ("predicted_at", pa.timestamp("us", "UTC"), "in labels: when it was predicted, to the second"),
    ("probabilities", _F16S, "[classes]"),
    ("embedding", _F16S, "[hidden], mean-pooled with the tenant's adapter, L2 norm 1"),
    ("base_embedding", _F16S, "the same of the bare backbone, of sampled rows"),
    ("tokens", pa.int32(), "of the text, as the encoder saw them; null of images"),
    ("unknown_tokens", pa.int32(), "those that the vocabulary lacks"),
    ("truncated", pa.bool_(), "whether it was cut to the length limit; null of images"),
    ("characters", pa.int32(), "of the text as it came, not cut; of a pair, of both texts"),
    ("text_bytes", pa.int32(), "the same in UTF-8"),
    ("replaced", pa.int32(), "replacement characters (U+FFFD) in it"),
    ("fingerprint", pa.int64(), "keyed hash of the input: equal for equal ones of one tenant"),
    ("width", pa.int32(), "of the image as it came, in pixels"),
    ("height", pa.int32(), "the same"),
    ("image_bytes", pa.int32(), "of its file"),
    ("brightness", pa.float32(), "its mean luma, 0 to 1"),
    ("sharpness", pa.float32(), "variance of its luma's Laplacian, of at most 128 pixels a side"),
    ("queue_s", pa.float32(), "seconds that the request waited for a pass"),
    ("compute_s", pa.float32(), "its share of the seconds of its passes"),
    ("group", pa.string(), "subgroup that the caller named"),
    ("audit", pa.bool_(), "whether a label is asked for"),
    ("audit_probability", pa.float32(), "with which it was drawn"),
    ("sample", pa.float32(), "share of the tenant's predictions that is logged"),
    ("text", pa.string(), "redacted; where the tenant opted in"),
    ("row", pa.int32(), "in references: number of the row, from 0,"),
    ("rows", pa.int32(), "and how many the reference has"),
    ("before", pa.string(), "in rollouts: the document before, as JSON"),
    ("after", pa.string(), "and after"),
    ("actor", pa.string(), "who sent the label or made the change"),
    ("reason", pa.string(), "of a quarantine, of a forced rollout or of one that nobody asked for"),
    ("count", pa.int32(), "of `undecodable` images, or of requests in `failure`"),
    ("code", pa.string(), "in `failure`: the problem's code"),
)

SCHEMA = pa.schema(
    [
        pa.field(name, kind, nullable=name not in ("kind", "sequence", "time", "tenant", "adapter"))
        for name, kind, _ in COLUMNS
    ],
    metadata={"tenantry.events": str(VERSION)},
)


def column_of(records: Any, name: str) -> Any:
    """Return a column of a record batch: nulls where it was written before there was one.

    Raises `KeyError` for a name that no column has.
    """
    at = records.schema.get_field_index(name)
    if at >= 0:
        return records.column(at)
    return pa.nulls(records.num_rows, SCHEMA.field(name).type)


class UnknownSchema(ValueError):
    """A segment was written by a version of this software that is not understood here."""


def check_schema(schema: pa.Schema) -> None:
    """Raise `UnknownSchema` for a schema whose version is not this one."""
    version = (schema.metadata or {}).get(b"tenantry.events", b"").decode("utf-8", "replace")
    if version != str(VERSION):
        raise UnknownSchema(f"events of schema {version or 'unknown'}; this reads {VERSION}")
