"""The database's schema: made, or brought up to date by Alembic's migrations, in one transaction.

A database says of itself which schema it has (`about`) and which revision Alembic left it at
(`alembic_version`). Those of schema 1 were made without Alembic; they are noted as its first
revision. A migration begins with a copy of the file as it was, `registry.sqlite3.before-0003`.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, insert, inspect, select

from service.errors import InvalidSettings
from service.events.disk import sync_folder
from service.registry import tables

FOLDER = Path(__file__).parent / "migrations"

_FIRST_REVISION = "0001"


def prepare(connection: Connection, path: Path) -> None:
    """Bring a database to this version's schema; `connection` alone may write.

    Two processes that start at once do it once: the second one finds it done. Raises
    `InvalidSettings` where the schema is newer than this version, or says nothing known.
    """
    if not inspect(connection).has_table(tables.about.name):
        tables.metadata.create_all(connection)
        connection.execute(insert(tables.about).values(key="schema", value=str(tables.SCHEMA)))
        connection.execute(insert(tables.revision).values(version_num=tables.REVISION))
        return
    schema = read_schema(connection)
    if schema == str(tables.SCHEMA):
        return
    if schema is None or not schema.isdecimal() or not 1 <= int(schema) < tables.SCHEMA:
        raise InvalidSettings(
            f"{path} has schema {schema}, and this version of tenantry reads 1 to"
            f" {tables.SCHEMA}; start the version that wrote it, or name another --state"
        )
    keep_copy(path, path.with_name(f"{path.name}.before-{tables.REVISION}"))
    upgrade(connection)


def read_schema(connection: Connection) -> str | None:
    """Return which schema a database says that it has."""
    found = select(tables.about.c.value).where(tables.about.c.key == "schema")
    return connection.execute(found).scalar()


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the migrations up to a revision, inside of the connection's transaction."""
    # Alembic is slow to import, and a start without migrations does not need it.
    from alembic import command
    from alembic.config import Config

    known = inspect(connection)
    if known.has_table(tables.about.name) and not known.has_table(tables.revision.name):
        tables.revision.create(connection)
        connection.execute(insert(tables.revision).values(version_num=_FIRST_REVISION))
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def keep_copy(path: Path, target: Path) -> None:
    """Copy a database, as its last commit left it, in place of an older copy of that name."""
    draft = target.with_name(f"{target.name}.draft")
    draft.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(draft)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # the copy is one file, complete by itself
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.rename(target)
    sync_folder(target.parent)
