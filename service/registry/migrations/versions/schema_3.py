"""Schema 3: how a version's long texts are cut."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add a column; versions from before cut nothing."""
    op.add_column("versions", sa.Column("windows", sa.Text))
    op.execute("UPDATE about SET value = '3' WHERE key = 'schema'")
