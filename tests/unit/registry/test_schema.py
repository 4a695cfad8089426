"""Databases of every earlier schema open, keep what they hold, and become like new ones."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect

from service.errors import InvalidSettings, UnknownAdapter, UnknownTenant
from service.events.ids import reference
from service.registry import schema, tables
from service.registry.records import TenantSettings
from service.registry.registry import Registry
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.packages import package_of

# Written by the last version that had the schema: tenants, one of them deleted; versions with
# tombstones; rollouts and a rollback; lines of every kind.
DATA = Path(__file__).parent / "data"
DUMPS = {schema: DATA / f"schema_{schema}.sql" for schema in (1, 2)}
FILE = "registry.sqlite3"
COPY = f"{FILE}.before-{tables.REVISION}"
MANIFEST = manifest_of("bert", endings=("layer.0.attention.self.query",))


def state_of(schema: int, folder: Path) -> Path:
    folder.mkdir()
    with closing(sqlite3.connect(folder / FILE)) as connection:
        connection.executescript(DUMPS[schema].read_text())
    return folder


@pytest.fixture(params=sorted(DUMPS))
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return state_of(request.param, tmp_path / "old")


@contextmanager
def connected(path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{path}")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def shape_of(path: Path) -> dict[str, object]:
    """Return all that SQLite says of the tables."""
    with connected(path) as connection:
        found = inspect(connection)
        return {
            name: (
                [
                    (c["name"], str(c["type"]), c["nullable"], c["default"])
                    for c in found.get_columns(name)
                ],
                found.get_pk_constraint(name)["constrained_columns"],
                sorted((i["name"] or "", i["column_names"]) for i in found.get_indexes(name)),
                [u["column_names"] for u in found.get_unique_constraints(name)],
                "AUTOINCREMENT"
                in connection.exec_driver_sql(
                    f"SELECT sql FROM sqlite_master WHERE name = '{name}'"
                ).scalar_one(),
            )
            for name in found.get_table_names()
        }


def test_there_is_a_dump_of_each_earlier_schema() -> None:
    assert sorted(DUMPS) == list(range(1, tables.SCHEMA))


def test_an_old_state_opens_with_all_that_it_held(tmp_path: Path) -> None:
    registry = Registry.open(state_of(1, tmp_path / "old"), BACKBONE)
    assert [tenant.name for tenant in registry.tenants()] == ["acme", "globex"]
    assert registry.tenant("acme").settings == TenantSettings.model_validate(
        {"weight": 3.0, "class": "gold"}
    )
    versions = registry.versions("acme", "routing", deleted=True)
    assert [(v.version, v.state, v.verdict) for v in versions] == [
        (1, "deleted", "validated"),
        (2, "live", "validated"),
        (3, "retired", "validated"),
    ]
    assert versions[1].labels == ("label 0", "label 1", "label 2")
    assert versions[1].report == {"probe": {"passed": True}}
    rollout = registry.rollout("acme", "routing")
    assert (rollout.revision, rollout.previous, rollout.actor) == (4, 1, "bob")
    assert rollout.document() == {"live": 2}
    lines = registry.audit(limit=1_000).lines
    assert [line.id for line in lines] == list(range(1, 24))
    assert lines[13].action == "rollout.back"
    assert lines[13].after == {"revision": 4, "live": 2}
    registry.close()


def test_an_old_state_routes_and_takes_what_is_new(tmp_path: Path) -> None:
    registry = Registry.open(state_of(1, tmp_path / "old"), BACKBONE)
    assert registry.route("acme", "routing", None).version == 2
    assert registry.route("acme", "routing", 3).calibrated
    assert registry.route("globex", "routing", None).version == 1
    with pytest.raises(UnknownAdapter):
        registry.route("acme", "spam", None)
    with pytest.raises(UnknownTenant):
        registry.route("gone", "routing", 1)
    buried = registry.find_reference(reference("gone", "routing", 1))
    assert buried is not None
    assert buried.deleted
    document = {"live": 2, "canary": {"version": 3, "percent": 5}}
    assert registry.set_rollout("acme", "routing", document, 4, "ann").document() == document
    _, key = registry.create_key("acme", ["predict"], "ann")
    assert registry.authenticate(key) is not None
    number = registry.publish("acme", "spam", package_of(MANIFEST, seed=9), {}, "ann")[0].version
    assert number == 3
    registry.close()


def test_a_migrated_state_is_like_a_new_one(old: Path, tmp_path: Path) -> None:
    Registry.open(old, BACKBONE).close()
    Registry.open(tmp_path / "new", BACKBONE).close()
    assert shape_of(old / FILE) == shape_of(tmp_path / "new" / FILE)
    for state in (old, tmp_path / "new"):
        with connected(state / FILE) as connection:
            assert schema.read_schema(connection) == str(tables.SCHEMA)
            assert MigrationContext.configure(connection).get_current_revision() == tables.REVISION


def test_the_tables_are_what_the_migrations_make(tmp_path: Path) -> None:
    with connected(tmp_path / FILE) as connection:
        schema.upgrade(connection)
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, tables.metadata) == []
        assert schema.read_schema(connection) == str(tables.SCHEMA)
        connection.commit()
    Registry.open(tmp_path / "new", BACKBONE).close()
    assert shape_of(tmp_path / FILE) == shape_of(tmp_path / "new" / FILE)


def test_each_schema_has_one_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.FOLDER))
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert sorted(revisions) == [f"{number:04}" for number in range(1, tables.SCHEMA + 1)]
    assert max(revisions) == tables.REVISION


def test_a_copy_of_the_old_file_is_kept(old: Path) -> None:
    with closing(sqlite3.connect(old / FILE)) as connection:
        before = list(connection.iterdump())
    Registry.open(old, BACKBONE).close()
    with closing(sqlite3.connect(old / COPY)) as connection:
        assert list(connection.iterdump()) == before
    kept = (old / COPY).stat()
    Registry.open(old, BACKBONE).close()
    assert (old / COPY).stat().st_mtime_ns == kept.st_mtime_ns
    assert {path.name for path in old.iterdir()} == {FILE, COPY, "store"}


def test_a_new_state_needs_no_copy(tmp_path: Path) -> None:
    Registry.open(tmp_path, BACKBONE).close()
    assert not (tmp_path / COPY).exists()


def test_the_copy_can_take_the_place_of_the_file(old: Path) -> None:
    Registry.open(old, BACKBONE).close()
    for path in old.glob(f"{FILE}-*"):
        path.unlink()
    (old / COPY).rename(old / FILE)
    registry = Registry.open(old, BACKBONE)
    assert registry.route("acme", "routing", None).version == 2
    registry.close()


def test_a_migration_that_fails_changes_nothing(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(old / FILE)) as connection:
        before = list(connection.iterdump())
    upgrade = schema.upgrade

    def failing(connection: Connection, revision: str = "head") -> None:
        upgrade(connection, revision)
        raise RuntimeError("the power failed")

    with monkeypatch.context() as patch:
        patch.setattr(schema, "upgrade", failing)
        with pytest.raises(RuntimeError, match="the power failed"):
            Registry.open(old, BACKBONE)
    with closing(sqlite3.connect(old / FILE)) as connection:
        assert list(connection.iterdump()) == before
    registry = Registry.open(old, BACKBONE)
    assert registry.route("acme", "routing", None).version == 2
    registry.close()


def test_those_that_start_at_once_migrate_once(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrades = []
    upgrade = schema.upgrade

    def counted(connection: Connection, revision: str = "head") -> None:
        upgrades.append(revision)
        upgrade(connection, revision)

    monkeypatch.setattr(schema, "upgrade", counted)
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: Registry.open(old, BACKBONE), range(4)))
    assert len(upgrades) == 1
    for registry in opened:
        assert registry.route("acme", "routing", None).version == 2
        registry.close()


def test_a_folder_may_have_a_percent_sign(tmp_path: Path) -> None:
    registry = Registry.open(state_of(1, tmp_path / "100%s"), BACKBONE)
    assert registry.route("acme", "routing", None).version == 2
    registry.close()


@pytest.mark.parametrize("said", ["99", "4", "0", "-1", "two", ""])
def test_a_schema_that_is_not_known_is_refused_and_left_alone(state: Path, said: str) -> None:
    Registry.open(state, BACKBONE).close()
    with closing(sqlite3.connect(state / FILE)) as connection:
        connection.execute("UPDATE about SET value = ? WHERE key = 'schema'", (said,))
        connection.commit()
        before = list(connection.iterdump())
    with pytest.raises(InvalidSettings, match=f"has schema {said}, and this version .* reads 1 to"):
        Registry.open(state, BACKBONE)
    with closing(sqlite3.connect(state / FILE)) as connection:
        assert list(connection.iterdump()) == before
    assert not (state / COPY).exists()
