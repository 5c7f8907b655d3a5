"""Versions are listed in parts without gap or double, and no more is read than is told."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Engine, event

from app.checkpoints.registry import every_checkpoint, list_checkpoints, ways_by_name
from app.db.checkpoints import CheckpointRow, list_newest, list_widths
from app.db.connections import reading
from tests.rows.versions import add

Key = tuple[str, int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One statement: the columns and how many rows it gave."""

    columns: tuple[str, ...]
    rows: int


@contextmanager
def looking_on(engine: Engine) -> Iterator[list[Look]]:
    """What is read in the block."""
    looks: list[Look] = []

    def count(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if cursor.description is None:  # the BEGIN of SQLite
            return
        counted = connection.connection.cursor()
        counted.execute(f"SELECT count(*) FROM ({statement}) AS seen", parameters)
        columns = tuple(column[0] for column in cursor.description)
        looks.append(Look(columns=columns, rows=counted.fetchone()[0]))
        counted.close()

    event.listen(engine, "after_cursor_execute", count)
    try:
        yield looks
    finally:
        event.remove(engine, "after_cursor_execute", count)


def key(row: CheckpointRow) -> Key:
    return row.ref.name, row.ref.version, row.ref.tenant_id


def parts(engine: Engine, tenant_id: str, limit: int) -> Iterator[list[Key]]:
    """The list as a caller reads it, part by part."""
    part = list_checkpoints(engine, tenant_id, limit=limit)
    yield [key(row) for row in part.rows]
    while part.end is not None:
        part = list_checkpoints(engine, tenant_id, after=part.end, limit=limit)
        yield [key(row) for row in part.rows]


def expected(names: Sequence[tuple[str, str, int]]) -> list[Key]:
    """All versions of these owners' names: by name, newest first, own before shared."""
    keys = [(name, n + 1, owner) for owner, name, number in names for n in range(number)]
    return sorted(keys, key=lambda key: (key[0], -key[1], key[2] == "shared"))


@pytest.mark.parametrize("limit", [1, 7, 50, 100])
def test_250_versions_are_read_in_parts_without_gap_or_double(engine: Engine, limit: int) -> None:
    names = [("default", "a", 60), ("shared", "a", 70), ("default", "b", 1), ("shared", "c", 119)]
    for owner, name, number in names:
        add(engine, owner, name, number)
    add(engine, "other", "a", 5)

    found = list(parts(engine, "default", limit))

    assert [key for part in found for key in part] == expected(names)
    assert [len(part) for part in found[:-1]] == [limit] * (len(found) - 1)
    assert 0 < len(found[-1]) <= limit  # a full last part has nothing after it


def test_the_owner_of_the_shared_ones_reads_them_once(engine: Engine) -> None:
    add(engine, "shared", "a", 5)

    assert list(parts(engine, "shared", 2)) == [
        [("a", 5, "shared"), ("a", 4, "shared")],
        [("a", 3, "shared"), ("a", 2, "shared")],
        [("a", 1, "shared")],
    ]


def test_what_is_added_meanwhile_doubles_nothing(engine: Engine) -> None:
    add(engine, "default", "b", 6)
    first = list_checkpoints(engine, "default", limit=3)
    add(engine, "default", "a", 3)
    add(engine, "shared", "b", 9)
    rest = list_checkpoints(engine, "default", after=first.end)

    own = [row.ref.version for row in (*first.rows, *rest.rows) if row.ref.tenant_id == "default"]
    assert own == [6, 5, 4, 3, 2, 1]


def test_nothing_to_list_is_one_empty_part(engine: Engine) -> None:
    assert list(parts(engine, "default", 100)) == [[]]


def test_every_version_is_read_by_going_through_the_parts(engine: Engine) -> None:
    add(engine, "default", "a", 130)
    add(engine, "shared", "b", 120)

    found = [key(row) for row in every_checkpoint(engine, "default")]

    assert found == expected([("default", "a", 130), ("shared", "b", 120)])


def test_a_part_is_one_statement_that_reads_only_the_descriptions_told(engine: Engine) -> None:
    add(engine, "default", "a", 40)

    with looking_on(engine) as looks:
        list_checkpoints(engine, "default", limit=10)

    [look] = looks
    assert ("description" in look.columns, look.rows) == (True, 10)


def test_a_name_stands_for_its_newest_version_own_before_shared(engine: Engine) -> None:
    add(engine, "shared", "both", 3, max_way=5)
    add(engine, "default", "both", 1, max_way=7)
    add(engine, "default", "both", 1, max_way=8)
    add(engine, "shared", "shipped", 1, max_way=20)
    add(engine, "other", "foreign", 1, max_way=9)
    add(engine, "shared", "curve", 1, max_way=1, task="regression")

    assert ways_by_name(engine, "default") == {"both": 8, "shipped": 20}
    assert ways_by_name(engine, "shared") == {"both": 5, "shipped": 20}
    with reading(engine) as connection:
        newest = list_newest(connection, "default")
    assert [(ref.name, ref.version, ref.tenant_id) for ref in newest] == [
        ("both", 2, "default"),
        ("curve", 1, "shared"),
        ("shipped", 1, "shared"),
    ]


def test_ways_and_references_read_one_row_for_each_name_and_no_description(engine: Engine) -> None:
    for name in "abc":
        add(engine, "default", name, 30)

    with looking_on(engine) as looks, reading(engine) as connection:
        list_widths(connection, "default")
        list_newest(connection, "default")
        bounded = list_widths(connection, "default", limit=2)

    assert looks == [
        Look(columns=("name", "task", "max_way"), rows=3),
        Look(columns=("tenant_id", "name", "version", "digest"), rows=3),
        Look(columns=("name", "task", "max_way"), rows=2),
    ]
    assert [width.name for width in bounded] == ["a", "b"]
