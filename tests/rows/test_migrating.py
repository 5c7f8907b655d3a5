"""The migrations make the tables that the code expects, however many run them."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect

import migrations
from app.db.connections import open_engine
from app.db.migrating import migrate
from app.db.tables import metadata
from tests.rows.orders import queue, run, value

MIGRATE = "import sys; from app.db.migrating import migrate; migrate(sys.argv[1])"


def columns_by_table(url: str) -> dict[str, list[str]]:
    engine = open_engine(url)
    looked = inspect(engine)
    found = {t: sorted(c["name"] for c in looked.get_columns(t)) for t in looked.get_table_names()}
    engine.dispose()
    return found


def downgrade(engine: Engine, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.execution_options(writes=True).begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def test_migrations_and_tables_agree(database_url: str) -> None:
    migrate(database_url)

    engine = open_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        differences = compare_metadata(context, metadata)
    engine.dispose()

    assert differences == []


def test_migrating_again_changes_nothing_and_keeps_the_rows(database_url: str) -> None:
    migrate(database_url)
    before = columns_by_table(database_url)
    engine = open_engine(database_url)
    run(engine, "INSERT INTO tenants (id, created_at) VALUES ('default', 0), ('shared', 0)")
    kept = queue(engine, 3)

    migrate(database_url)

    assert columns_by_table(database_url) == before
    assert [row[0] for row in run(engine, "SELECT id FROM adaptations ORDER BY queued_at")] == kept
    engine.dispose()


def test_a_row_of_before_weighs_one_and_adapted_as_its_recipe_has_it(database_url: str) -> None:
    migrate(database_url)
    engine = open_engine(database_url)
    run(engine, "INSERT INTO tenants (id, created_at) VALUES ('default', 0), ('shared', 0)")
    [kept] = queue(engine, example_weight=27)
    downgrade(engine, "0001")

    migrate(database_url)

    assert value(engine, "example_weight", kept) == 1
    assert value(engine, "adapts", kept) is None
    engine.dispose()


def test_processes_that_migrate_at_once_all_end_well(database_url: str) -> None:
    command = [sys.executable, "-W", "error", "-c", MIGRATE, database_url]
    starts = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    ends = []
    for process in starts:
        with closing(process.stderr):
            complaint = process.communicate(timeout=60)[1]
        ends.append((process.returncode, complaint))

    assert [code for code, _ in ends] == [0, 0, 0], ends
    assert set(columns_by_table(database_url)) == {*metadata.tables, "alembic_version"}


def test_a_database_that_nobody_made_a_folder_for_is_made(tmp_path: object) -> None:
    url = f"sqlite:///{tmp_path}/some/where/new.db"

    migrate(url)

    assert set(metadata.tables) <= set(columns_by_table(url))
