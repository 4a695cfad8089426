"""What Alembic runs: the migrations, on the connection and in the transaction that it is given."""

from alembic import context

from service.registry import tables


def migrate() -> None:
    """Run the migrations that were asked for."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=tables.metadata)
    with context.begin_transaction():  # the caller's, which goes on
        context.run_migrations()


migrate()
