"""Untrusted SQL over a journal can only read, within limits on time, rows and size."""

import asyncio
import re
import resource
from pathlib import Path

import psutil
import pytest

from engine.domain.errors import SwarmError
from engine.journal import readonly_sql as module
from engine.journal import sql_process
from engine.journal.archive import archive
from engine.journal.readonly_sql import BadQuery, ReadOnlySql
from engine.journal.writer import SqliteJournal
from tests.engine.journal.hostile import LOOP
from tests.engine.journal.stories import story


def content(path: Path) -> tuple[bytes, set[str]]:
    """The journal's bytes, and the databases beside it."""
    return path.read_bytes(), {each.name for each in path.parent.iterdir() if each.suffix == ".db"}


@pytest.fixture
async def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    written = await SqliteJournal.open(path)
    written.append(story(11, 300, text=6000).events)
    await written.close()
    return path


async def test_a_query_returns_its_columns_and_rows(journal: Path) -> None:
    table = await ReadOnlySql(journal).query("SELECT path, role FROM agents WHERE parent IS NULL")
    assert table.text == "path | role\nroot | planner"
    assert (table.rows, table.cut) == (1, "")
    sql = ReadOnlySql(journal)
    assert "CREATE TABLE tool_calls" in sql.schema()
    counted = await sql.query("WITH t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t LIMIT 5) SELECT sum(n) FROM t")
    assert counted.text == "sum(n)\n15"


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
async def test_anything_but_reading_is_refused(journal: Path, tmp_path: Path, sql: str) -> None:
    before = content(journal)
    with pytest.raises(BadQuery):
        await ReadOnlySql(journal).query(sql.format(tmp=tmp_path))
    assert content(journal) == before


async def test_an_endless_query_is_interrupted_and_the_engine_goes_on(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIME_S", 0.5)
    query = asyncio.create_task(ReadOnlySql(journal).query(f"{LOOP} SELECT count(*) FROM t"))
    turns = 0
    while not query.done():
        await asyncio.sleep(0.01)
        turns += 1
    with pytest.raises(BadQuery, match="longer than 0 s: add conditions or a LIMIT"):
        await query
    assert turns > 5


async def test_long_results_are_cut_and_say_so(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sql = ReadOnlySql(journal)
    many = await sql.query("WITH t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t LIMIT 999) SELECT n FROM t")
    assert (many.rows, many.cut) == (sql_process.ROWS, f"cut after {sql_process.ROWS} rows")
    wide = await sql.query("SELECT text FROM messages WHERE size > 3000")
    assert len(wide.text) <= sql_process.WHOLE + 10
    assert "too long" in wide.cut


NUMBERS = "WITH t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t LIMIT 300)"
EXCEEDING = [
    ("SELECT printf('%.*c', 2000000000, 'x')", "longer than|memory|larger than 8 MiB"),
    ("SELECT length(printf('%2000000000d', 1))", "longer than|memory|larger than 8 MiB|^$"),
    ("SELECT length(printf('%.*c', 8000000, 'x') || printf('%.*c', 8000000, 'x'))", "larger than 8 MiB: take"),
    ("SELECT randomblob(1000000000)", "larger than 8 MiB: take"),
    ("SELECT length(hex(hex(hex(zeroblob(4000000)))))", "larger than 8 MiB: take"),
    (f"{NUMBERS} SELECT length(group_concat(zeroblob(1000000 + n))) FROM t", "larger than 8 MiB"),
    ("SELECT length(replace(hex(zeroblob(3000000)), '0', hex(zeroblob(1000))))", "larger than 8 MiB"),
    (f"{NUMBERS} SELECT zeroblob(4000000 + n) AS z FROM t ORDER BY z DESC", "longer than|MiB of memory: make shorter"),
    (
        f"{NUMBERS}, u AS MATERIALIZED (SELECT randomblob(4000000) z FROM t) SELECT max(z) FROM u",
        "longer than|memory",
    ),
    (f"{NUMBERS} SELECT DISTINCT randomblob(4000000 + n) FROM t LIMIT -1 OFFSET 299", "longer than|memory"),
    (f"{LOOP} SELECT count(*) FROM t", "longer than 1 s: add conditions"),
    (f"{LOOP} SELECT json_group_array(n) FROM t", "longer than|larger than|memory"),
    (f"{LOOP} SELECT sum(n) OVER (ORDER BY n) FROM t", "longer than|memory|cut"),
    (f"{LOOP} SELECT n FROM t ORDER BY n DESC", "longer than|memory"),
    ("SELECT count(*) FROM events a, events b, events c, events d, events e", "longer than 1 s"),
    ("SELECT count(*) FROM events a, events b, json_tree(a.body) c, json_tree(b.body) d, events e", "longer than"),
    ("SELECT hex(zeroblob(4000000)) LIKE '%0%1%0%1%0%1%0%1%0%1%2'", "longer than|^0$"),
    ("SELECT hex(zeroblob(4000000)) GLOB '" + "*0" * 400 + "1'", "longer than|^0$"),
    ("SELECT 'a' LIKE '" + "%a" * 2000 + "'", "pattern too complex"),
    ("SELECT instr(hex(zeroblob(4000000)), hex(zeroblob(2000000)) || '1')", "longer than"),
    ("SELECT " + "(" * 5000 + "1" + ")" * 5000, "overflow|too large|depth"),
    ("SELECT 1" + " + 1" * 5000, "depth 200.: split"),
    (" UNION ALL ".join(["SELECT 1"] * 500), "too many terms.*: split"),
    ("SELECT " + ", ".join(["1"] * 10_000), "too many columns.*100.: name"),
    ("SELECT " + ", ".join(["zeroblob(8000000)"] * 101), "too many columns"),
    ("SELECT char(" + ", ".join(["1"] * 100) + ")", "too many arguments.*: split"),
    ("SELECT '" + "x" * 200_000 + "'", "the limit is 100000: split"),
    ("SELECT 'a' REGEXP 'b'", "no such function|not authorized"),
    ("SELECT fts5('x')", "no such function|not authorized"),
    ("SELECT fts3_tokenizer('simple')", "not authorized|no such function"),
    ("SELECT sqlite_compileoption_get(1)", "not authorized"),
    ("SELECT edit('x')", "no such function"),
    ("SELECT * FROM dbstat", "no such table|not authorized|prohibited|constructor failed"),
    ("SELECT * FROM fsdir('/')", "no such table"),
    ("SELECT * FROM pragma_table_info('runs')", "not authorized|prohibited"),
    ("CREATE VIRTUAL TABLE temp.x USING fts5(y)", "not authorized"),
    ("DETACH main", "not authorized"),
    ("SAVEPOINT x", "not authorized"),
]


@pytest.mark.parametrize(("sql", "error"), EXCEEDING, ids=[sql[:40] for sql, _ in EXCEEDING])
async def test_what_a_query_exceeds_is_named(
    journal: Path, monkeypatch: pytest.MonkeyPatch, sql: str, error: str
) -> None:
    monkeypatch.setattr(module, "TIME_S", 1.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        table = await ReadOnlySql(journal).query(sql)
        said = f"{table.text.partition(chr(10))[2]} {table.cut}".strip()
    except BadQuery as refused:
        said = str(refused)
    assert re.search(error, said), said
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 50_000
    assert {path.name for path in journal.parent.iterdir()} <= {"journal.db", "journal.db-wal", "journal.db-shm"}


async def test_a_query_that_is_cancelled_leaves_no_process(journal: Path) -> None:
    query = asyncio.create_task(ReadOnlySql(journal).query(f"{LOOP} SELECT count(*) FROM t"))
    for _ in range(1_000):
        if mine := psutil.Process().children():
            break
        await asyncio.sleep(0.01)
    query.cancel()
    with pytest.raises(asyncio.CancelledError):
        await query
    assert not any(child.is_running() for child in mine)


async def test_large_values_are_not_held_in_memory_at_once(journal: Path) -> None:
    assert (await ReadOnlySql(journal).query(f"{NUMBERS} SELECT zeroblob(4000000 + n) FROM t")).rows == 200


async def test_large_texts_are_readable_whether_archived_or_not(journal: Path) -> None:
    sql = ReadOnlySql(journal)
    ask = "SELECT length(CAST(blob_text(blob) AS BLOB)) - size AS missing FROM messages WHERE blob IS NOT NULL LIMIT 3"
    assert (await sql.query(ask)).text == "missing\n0\n0\n0"
    archive(journal, 10**9)
    assert (await sql.query(ask)).text == "missing\n0\n0\n0"
    assert (await sql.query("SELECT blob_text('none') IS NULL")).text.endswith("\n1")


def test_a_file_that_is_not_a_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(SwarmError):
        ReadOnlySql(tmp_path / "journal.db")
