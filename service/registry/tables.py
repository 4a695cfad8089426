"""The registry's tables, as they are after the newest migration.

Whoever changes something here adds a migration that makes the same of an older database
(`migrations/versions/`), and raises `SCHEMA` and `REVISION`; a test holds the two against each
other.

Nothing here is SQLite's own, so that another database can take its place. Names, not ids, join
the tables: a name outlives its tenant, because version numbers are never used twice.
"""

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA = 3
REVISION = "0003"  # what Alembic calls it

metadata = MetaData()

# Alembic's own table; made here too, so that a new database needs no migrations.
revision = Table(
    "alembic_version", metadata, Column("version_num", String(32), primary_key=True, nullable=False)
)

about = Table(
    "about",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
)

tenants = Table(
    "tenants",
    metadata,
    Column("name", String, primary_key=True),
    Column("settings", Text, nullable=False),  # JSON
    Column("created_at", String, nullable=False),  # ISO 8601, UTC, as every time here
)

versions = Table(
    "versions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("tenant", String, nullable=False),
    Column("adapter", String, nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", String, nullable=False),
    Column("backbone", String, nullable=False),  # digest of the bundle that it was judged against
    Column("labels", Text, nullable=False),  # JSON
    Column("calibrated", Boolean, nullable=False),
    Column("metadata", Text, nullable=False),  # JSON
    Column("report", Text, nullable=False),  # JSON
    Column("extras", Text, nullable=False),  # JSON: other files of the upload and their digests
    Column("bytes", Integer, nullable=False),
    Column("created_at", String, nullable=False),
    Column("deleted_at", String),  # a tombstone keeps the row
    Column("files_gone", Boolean, nullable=False),  # whether a tombstone's files were removed
    Column("verdict", String, nullable=False, server_default="validated"),  # of the upload gate
    Column("windows", Text),  # JSON: overlap and max; None: long texts are truncated
    UniqueConstraint("tenant", "adapter", "number"),
    Index("versions_by_digest", "digest"),
    sqlite_autoincrement=True,
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("tenant", String, nullable=False),
    Column("adapter", String, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("live", Integer),  # None: no version is live
    Column("previous", Integer),  # the revision that a rollback returns to
    Column("actor", String, nullable=False),
    Column("created_at", String, nullable=False),
    Column("canary", Integer),
    Column("percent", Float),  # of the canary
    Column("shadows", Text, nullable=False, server_default="[]"),  # JSON
    Column("forced", Text),  # why it may name a rejected version
    UniqueConstraint("tenant", "adapter", "revision"),
    sqlite_autoincrement=True,
)

keys = Table(
    "keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("scopes", Text, nullable=False),  # JSON
    Column("hash", String, nullable=False),  # SHA-256 of the whole key, hexadecimal
    Column("actor", String, nullable=False),
    Column("created_at", String, nullable=False),
    Index("keys_by_tenant", "tenant"),
)

usage = Table(
    "usage",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("day", Date, primary_key=True),  # by UTC
    Column("requests", Integer, nullable=False),
    Column("texts", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("compute_s", Float, nullable=False),
    Column("limited", Integer, nullable=False),
    Index("usage_by_day", "day"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("tenant", String),
    Column("adapter", String),
    Column("before", Text),  # JSON
    Column("after", Text),  # JSON
    Index("audit_by_tenant", "tenant", "id"),
    Index("audit_by_time", "at", "id"),
    sqlite_autoincrement=True,
)
