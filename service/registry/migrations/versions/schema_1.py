"""Schema 1: tenants, versions, rollouts and the audit trail."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "about",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
    )
    op.create_table(
        "tenants",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
    )
    op.create_table(
        "versions",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("adapter", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("backbone", sa.String, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("calibrated", sa.Boolean, nullable=False),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.Column("extras", sa.Text, nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("deleted_at", sa.String),
        sa.Column("files_gone", sa.Boolean, nullable=False),
        sa.UniqueConstraint("tenant", "adapter", "number"),
        sqlite_autoincrement=True,
    )
    op.create_index("versions_by_digest", "versions", ["digest"])
    op.create_table(
        "rollouts",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("adapter", sa.String, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("live", sa.Integer),
        sa.Column("previous", sa.Integer),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.UniqueConstraint("tenant", "adapter", "revision"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("tenant", sa.String),
        sa.Column("adapter", sa.String),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_by_tenant", "audit", ["tenant", "id"])
    op.create_index("audit_by_time", "audit", ["at", "id"])
    op.execute("INSERT INTO about (key, value) VALUES ('schema', '1')")
