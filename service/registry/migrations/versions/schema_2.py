"""Schema 2: canaries, shadows and verdicts; keys; usage."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add columns with the values that older rows had without saying so, and two tables."""
    op.add_column(
        "versions", sa.Column("verdict", sa.String, nullable=False, server_default="validated")
    )
    op.add_column("rollouts", sa.Column("canary", sa.Integer))
    op.add_column("rollouts", sa.Column("percent", sa.Float))
    op.add_column("rollouts", sa.Column("shadows", sa.Text, nullable=False, server_default="[]"))
    op.add_column("rollouts", sa.Column("forced", sa.Text))
    op.create_table(
        "keys",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
    )
    op.create_index("keys_by_tenant", "keys", ["tenant"])
    op.create_table(
        "usage",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("texts", sa.Integer, nullable=False),
        sa.Column("tokens", sa.Integer, nullable=False),
        sa.Column("compute_s", sa.Float, nullable=False),
        sa.Column("limited", sa.Integer, nullable=False),
    )
    op.create_index("usage_by_day", "usage", ["day"])
    op.execute("UPDATE about SET value = '2' WHERE key = 'schema'")
