"""Untrusted SQL over a journal can only read, within limits on time, rows and size."""

import tracemalloc
from pathlib import Path

import pytest

from engine.domain.errors import SwarmError
from engine.journal import readonly_sql as module
from engine.journal.archive import archive
from engine.journal.readonly_sql import BadQuery, ReadOnlySql
from engine.journal.writer import SqliteJournal
from tests.engine.journal.stories import story


@pytest.fixture
async def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    written = await SqliteJournal.open(path)
    written.append(story(11, 300, text=6000).events)
    await written.close()
    return path


def test_a_query_returns_its_columns_and_rows(journal: Path) -> None:
    table = ReadOnlySql(journal).query("SELECT path, role FROM agents WHERE parent IS NULL")
    assert table.text == "path | role\nroot | planner"
    assert (table.rows, table.cut) == (1, "")
    sql = ReadOnlySql(journal)
    assert "CREATE TABLE tool_calls" in sql.schema()
    assert (
        sql.query("WITH t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t LIMIT 5) SELECT sum(n) FROM t").text
        == "sum(n)\n15"
    )


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM agents",
        "UPDATE runs SET state = 'finished'",
        "INSERT INTO intents VALUES (9, 9, 'me', 'mine')",
        "CREATE TABLE mine (x)",
        "CREATE TEMP TABLE mine (x)",
        "DROP TABLE events",
        "ATTACH DATABASE '/etc/passwd' AS other",
        "ATTACH DATABASE '{tmp}/new.db' AS other",
        "VACUUM INTO '{tmp}/copy.db'",
        "PRAGMA query_only = OFF",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA writable_schema = ON",
        "SELECT load_extension('x')",
        "BEGIN IMMEDIATE",
        "REINDEX",
        "ANALYZE",
        "SELECT 1; DELETE FROM agents",
        "SELECT writefile('{tmp}/x', 'y')",
        "SELECT readfile('/etc/passwd')",
        "SELECT * FROM pragma_database_list",
        "SELECT nothing FROM agents",
        "not sql",
        "SELECT '\ud800'",
        "SELECT zeroblob(100000000)",
    ],
)
def test_anything_but_reading_is_refused(journal: Path, tmp_path: Path, sql: str) -> None:
    before = journal.read_bytes()
    with pytest.raises(BadQuery):
        ReadOnlySql(journal).query(sql.format(tmp=tmp_path))
    assert journal.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".db"] == ["journal.db"]


@pytest.mark.parametrize("look", [module.LOOK, 2**31 - 1], ids=["looks at the clock", "is at one long step"])
def test_an_endless_query_is_interrupted(journal: Path, monkeypatch: pytest.MonkeyPatch, look: int) -> None:
    monkeypatch.setattr(module, "TIME_S", 0.1)
    monkeypatch.setattr(module, "LOOK", look)
    with pytest.raises(BadQuery, match="longer than"):
        ReadOnlySql(journal).query("WITH t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t")


def test_long_results_are_cut_and_say_so(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sql = ReadOnlySql(journal)
    many = sql.query("WITH t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t LIMIT 999) SELECT n FROM t")
    assert (many.rows, many.cut) == (module.ROWS, f"cut after {module.ROWS} rows")
    wide = sql.query("SELECT text FROM messages WHERE size > 3000")
    assert len(wide.text) <= module.WHOLE + 10
    assert "too long" in wide.cut


def test_large_values_are_not_held_in_memory_at_once(journal: Path) -> None:
    numbers = "WITH t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t LIMIT 150)"
    sql = ReadOnlySql(journal)
    tracemalloc.start()
    try:
        assert sql.query(f"{numbers} SELECT zeroblob(1000000 + n) FROM t").rows == 150
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    with pytest.raises(BadQuery, match="too many columns"):
        sql.query(f"SELECT {', '.join(['zeroblob(8000000)'] * 101)}")


def test_large_texts_are_readable_whether_archived_or_not(journal: Path) -> None:
    sql = ReadOnlySql(journal)
    ask = "SELECT length(CAST(blob_text(blob) AS BLOB)) - size AS missing FROM messages WHERE blob IS NOT NULL LIMIT 3"
    assert sql.query(ask).text == "missing\n0\n0\n0"
    archive(journal, 10**9)
    assert sql.query(ask).text == "missing\n0\n0\n0"
    assert sql.query("SELECT blob_text('none') IS NULL").text.endswith("\n1")


def test_a_file_that_is_not_a_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(SwarmError):
        ReadOnlySql(tmp_path / "journal.db")
