"""The table of triggers; it lives in the sidecar's one database."""

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

METADATA = MetaData()

TRIGGERS = Table(
    "retrain_triggers",
    METADATA,
    Column("key", String(64), primary_key=True),
    Column("tenant", String(63), nullable=False),
    Column("adapter", String(63), nullable=False),
    Column("version", Integer, nullable=False),
    Column("reason", String(16), nullable=False),
    Column("raised_us", BigInteger, nullable=False),  # by the time of the events
    Column("body", LargeBinary, nullable=False),  # as it is sent
    Column("summary", Text, nullable=False),
    Column("fate", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),  # that were begun
    Column("next_s", Float, nullable=False),  # when the next attempt is due, by the wall clock
    Column("detail", Text, nullable=False),  # what came of the last attempt
    Index("retrain_triggers_due", "fate", "next_s"),
    Index("retrain_triggers_adapter", "tenant", "adapter", "raised_us"),
)
