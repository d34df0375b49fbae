"""A journal that somebody built to harm its reader: every reader ends soon with an error, and changes nothing."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.journal.queries import JournalReader
from engine.journal.run_row import glance
from engine.journal.schema import STEPS
from engine.journal.untrusted import schema_rows
from engine.runs.folder import RunFolder
from engine.runs.listing import list_runs
from engine.runs.lock import RunLock, is_live, owner_of
from engine.runs.log import RunLog
from tests.engine.journal import hostile
from tests.engine.journal.freeze import freeze
from tests.engine.journal.hostile import LOOP
from tests.engine.journal.probe import READERS, probed

Spoil = Callable[[Path], None]
ALL = tuple(READERS)
FOREIGN = "not a journal as swarm-tui writes it"
RUNS = (
    f"CREATE VIEW runs AS {LOOP} SELECT n AS id, '/r' AS repo, '{{}}' AS models, 'running' AS state FROM t WHERE n < 0"
)
EVENTS = f"CREATE VIEW events AS {LOOP} SELECT n AS seq, 0 AS at, 1 AS epoch, '' AS kind, '' AS body FROM t"

SCHEMAS: dict[str, Spoil] = {
    "an endless view in place of the run": hostile.schema_of("ALTER TABLE runs RENAME TO was", RUNS),
    "an endless view in place of events": hostile.schema_of(
        "DROP VIEW task_board", "ALTER TABLE events RENAME TO was", EVENTS
    ),
    "an endless view in place of a view": hostile.schema_of(
        "DROP VIEW subtree_use", f"CREATE VIEW subtree_use AS {LOOP} SELECT n FROM t"
    ),
    "another view": hostile.schema_of(f"CREATE VIEW mine AS {LOOP} SELECT n FROM t"),
    "another table": hostile.schema_of("CREATE TABLE mine (x)"),
    "a virtual table": hostile.schema_of("CREATE VIRTUAL TABLE mine USING fts5(x)"),
    "a trigger on deletions": hostile.schema_of(
        "CREATE TRIGGER mine AFTER DELETE ON blobs BEGIN UPDATE runs SET repo = '/'; END"
    ),
    "a trigger that is gone": hostile.schema_of("DROP TRIGGER events_are_not_deleted"),
    "an index on an expression": hostile.schema_of("CREATE INDEX mine ON runs (hex(zeroblob(length(id))))"),
    "an index that is gone": hostile.schema_of("DROP INDEX events_of_kind"),
    "a column more": hostile.schema_of("ALTER TABLE runs ADD COLUMN mine"),
    "a generated column": hostile.schema_of("ALTER TABLE events ADD COLUMN mine AS (printf('%.*c', 2000000000, 'x'))"),
    "a default": hostile.schema_text("DEFAULT 'running' -> DEFAULT (hex(randomblob(9)))", "runs"),
    "a check": hostile.schema_text("cause INTEGER, -> cause INTEGER CHECK (seq > 0), ", "events"),
    "a collation": hostile.schema_text("kind TEXT NOT NULL -> kind TEXT NOT NULL COLLATE NOCASE", "events"),
    "a statistics table": hostile.schema_of("ANALYZE"),
    "another version": hostile.schema_of("PRAGMA user_version = 3"),
    "no version": hostile.schema_of("PRAGMA user_version = 0"),
    "a negative version": hostile.schema_of("PRAGMA user_version = -1"),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asyncio.run(freeze(tmp_path_factory.mktemp("good"), "good"))


@pytest.fixture
def journal(good: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "repo-1" / "20260101-000000-abcd"
    folder.mkdir(parents=True)
    return Path(shutil.copy(good, folder / "journal.db"))


def contents(path: Path) -> dict[str, bytes]:
    """The files that only a writer changes: SQLite makes the index of a log also to read it."""
    return {
        each.name: each.read_bytes() for each in path.parent.iterdir() if each.is_file() and each.name[-4:] != "-shm"
    }


def harmless(path: Path, readers: tuple[str, ...], *expected: str) -> None:
    """Every reader says one of `expected`, and none changes a file."""
    before = contents(path)
    for reader, said in probed(readers, path).items():
        assert any(text in said for text in expected), f"{reader}: {said}"
        assert "Traceback" not in said
    assert {name: data for name, data in contents(path).items() if data or name in before} == before


def test_every_reader_accepts_a_journal_of_this_program(journal: Path) -> None:
    assert set(probed(ALL, journal).values()) == {"ok"}


@pytest.mark.parametrize("spoil", SCHEMAS.values(), ids=SCHEMAS)
def test_a_schema_that_the_program_does_not_create_is_refused_before_the_first_query(
    journal: Path, spoil: Spoil
) -> None:
    spoil(journal)
    readers = ALL if spoil is SCHEMAS["an endless view in place of the run"] else ("glance", "replay", "resume")
    harmless(journal, readers, FOREIGN, "a negative" if spoil is SCHEMAS["a negative version"] else FOREIGN)


@pytest.mark.parametrize("version", range(1, len(STEPS) + 1))
def test_the_schema_of_each_version_is_known(version: int) -> None:
    assert {name for kind, name, *_ in schema_rows(version) if kind == "table"} >= {"events", "runs"}


FILES: dict[str, Spoil] = {
    "a named pipe": hostile.fifo(),
    "a folder": hostile.folder(),
    "an endless device": hostile.link("/dev/zero"),
    "a link to a file elsewhere": hostile.link("/etc/passwd"),
    "a link to itself": hostile.link("journal.db"),
    "a named pipe as the log": hostile.fifo("-wal"),
    "a named pipe as the log's index": hostile.fifo("-shm"),
    "a named pipe as the rollback journal": hostile.fifo("-journal"),
    "a link as the log": hostile.link("/etc/passwd", "-wal"),
    "a folder as the log": hostile.folder("-wal"),
    "garbage": hostile.garbage(""),
    "a page size that is odd": hostile.header(16, b"\x12\x34"),
    "a page size of zero": hostile.header(16, b"\0\0"),
    "a format of the future": hostile.header(18, b"\x09\x09"),
    "another application": hostile.header(68, b"\0\0\0\1"),
    "a schema cookie that lies": hostile.header(44, b"\0\0\0\x63"),
    "an encoding that lies": hostile.header(56, b"\0\0\0\2"),
    "page pointers in circles": hostile.looping_pages,
}


@pytest.mark.parametrize("spoil", FILES.values(), ids=FILES)
def test_a_file_that_is_no_good_journal_is_an_error_that_names_it(journal: Path, spoil: Spoil) -> None:
    spoil(journal)
    harmless_or_odd = ("journal: ", "not_found: ", "unreadable: ", "ok")
    readers = ("glance", "report", "replay", "ask") if not journal.is_file() or journal.is_symlink() else ALL[:-2]
    for reader, said in probed(readers, journal).items():
        assert said.startswith(harmless_or_odd), f"{reader}: {said}"
        assert reader == "glance" or said == "ok" or str(journal) in said


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_garbage_beside_a_journal_does_not_hide_it(journal: Path, suffix: str) -> None:
    hostile.garbage(suffix)(journal)
    harmless(journal, ("glance", "report", "replay", "export"), "ok")


def test_a_sparse_journal_of_a_terabyte_is_read_like_a_small_one(journal: Path) -> None:
    hostile.sparse(2**40)(journal)
    for reader, said in probed(("glance", "report", "replay", "export", "resume"), journal).items():
        assert said.startswith(("ok", "journal: ")), f"{reader}: {said}"


def test_a_rollback_journal_cannot_make_a_writer_delete_another_file(journal: Path) -> None:
    hostile.hot_journal(journal)
    harmless(journal, ("resume", "archive"), FOREIGN)
    assert (journal.parent / "treasure").read_bytes() == b"mine\0"


BOMBS: dict[str, tuple[Spoil, str]] = {
    "one text of 1 GB": (hostile.bomb(1_000_000_000), "claims to have 1000000000 bytes; the limit is 64 MiB"),
    "40 texts of 60 MB": (hostile.bomb(60_000_000, 40), "more than 100 times larger than the file"),
    "a text of 40 MB named twice": (hostile.bomb(40_000_000, same=2), "the limit is 64 MiB"),
    "a size that lies": (
        hostile.claims("UPDATE blobs SET size = 10 WHERE codec = 'zstd'"),
        "unpacks to another size than the 10 bytes",
    ),
    "a size that is negative": (hostile.claims("UPDATE blobs SET size = -1"), "claims to have -1 bytes"),
    "a size beyond all numbers": (hostile.claims("UPDATE blobs SET size = 9223372036854775807"), "claims to have"),
    "a size that is text": (hostile.claims("UPDATE blobs SET size = 'many'"), "claims to have 'many' bytes"),
}


@pytest.mark.parametrize(("spoil", "error"), BOMBS.values(), ids=BOMBS)
def test_a_text_that_unpacks_beyond_its_limit_is_damage_with_the_events_name(
    journal: Path, spoil: Spoil, error: str
) -> None:
    spoil(journal)
    for reader, said in probed(("replay", "export", "otel"), journal).items():
        assert error in said, f"{reader}: {said}"
        assert str(journal) in said
    assert probed(("glance",), journal) == {"glance": "ok"}


DEEP = '{"kind":"warned","text":' + "[" * 100_000
VALUES: dict[str, tuple[Spoil, tuple[str, ...], str]] = {
    "times at the end of all numbers": (
        hostile.rows_of("UPDATE events SET at = 9223372036854775807"),
        ("glance", "replay", "export"),
        "time",
    ),
    "times before the first": (hostile.rows_of("UPDATE events SET at = -1"), ("glance", "replay", "otel"), "time"),
    "times that are text": (hostile.rows_of("UPDATE events SET at = 'noon'"), ("glance", "replay"), ""),
    "numbers that jump": (
        hostile.rows_of("UPDATE events SET seq = seq + 1000 WHERE seq > 50"),
        ("replay",),
        "event 51 is missing",
    ),
    "numbers below zero": (
        hostile.rows_of("UPDATE events SET seq = seq - 50 WHERE seq < 50"),
        ("replay", "export", "screen"),
        "",
    ),
    "the largest number": (
        hostile.rows_of("UPDATE events SET seq = 9223372036854775807 WHERE seq = (SELECT max(seq) FROM events)"),
        ("replay", "screen", "export"),
        "",
    ),
    "bodies that nest without end": (
        hostile.rows_of(f"UPDATE events SET body = '{DEEP}' WHERE seq = 40"),
        ("replay", "export", "screen"),
        "event 40",
    ),
    "bodies that are null bytes": (
        hostile.rows_of("UPDATE events SET body = zeroblob(1000) WHERE seq = 40"),
        ("replay", "export"),
        "event 40",
    ),
    "a body of 60 MB": (
        hostile.rows_of("UPDATE events SET body = CAST(zeroblob(60000000) AS TEXT) WHERE seq = 40"),
        ("replay", "export", "otel"),
        "event 40",
    ),
    "a body of 100 MB": (
        hostile.rows_of("UPDATE events SET body = CAST(zeroblob(100000000) AS TEXT) WHERE seq = 40"),
        ("replay", "export"),
        "too big",
    ),
    "30 bodies of 60 MB": (
        hostile.rows_of("UPDATE events SET body = CAST(zeroblob(60000000) AS TEXT) WHERE seq BETWEEN 40 AND 70"),
        ("replay", "export", "screen"),
        "",
    ),
    "an agent above itself": (
        hostile.rows_of(
            "UPDATE events SET body = json_set(body, '$.spawned.parent', json_extract(body, '$.spawned.id')) "
            "WHERE kind = 'agent_spawned'"
        ),
        ("replay",),
        "below an agent that does not exist",
    ),
    "an agent that is spawned twice": (
        hostile.rows_of(
            "UPDATE events SET body = (SELECT body FROM events WHERE kind = 'agent_spawned' ORDER BY seq LIMIT 1) "
            "WHERE kind = 'agent_spawned'"
        ),
        ("replay",),
        "is spawned twice",
    ),
    "tasks of nobody": (
        hostile.rows_of(
            "UPDATE events SET body = json_set(body, '$.queued.planner', 'nobody') WHERE kind = 'task_queued'"
        ),
        ("replay",),
        "queued by an agent that does not exist",
    ),
    "calls that are no JSON": (hostile.claims("UPDATE messages SET calls = '[['"), ("screen",), "calls of message"),
    "an endless number": (
        hostile.claims("UPDATE slow_steps SET wall_s = 9e999"),
        ("report",),
        "Out of range float values",
    ),
    "a cost without end": (hostile.claims("UPDATE runs SET usd = 9e999"), ("glance", "report"), ""),
    "sums beyond all numbers": (
        hostile.claims("UPDATE agents SET input_tokens = 9223372036854775807"),
        ("report",),
        "",
    ),
    "a count that is text": (hostile.claims("UPDATE runs SET landed = 'many'"), ("glance", "report"), ""),
    "an intent of 60 MB": (
        hostile.claims("UPDATE intents SET text = CAST(zeroblob(60000000) AS TEXT)"),
        ("glance", "report"),
        "ok",
    ),
    "models of 60 MB": (
        hostile.claims("UPDATE runs SET models = CAST(zeroblob(60000000) AS TEXT)"),
        ("glance",),
        "exceed 1 MiB",
    ),
    "models that nest without end": (
        hostile.claims("UPDATE runs SET models = ?", '{"a":' + "[" * 100_000),
        ("glance",),
        "unreadable",
    ),
    "2 million agents": (
        hostile.claims(
            "INSERT INTO agents (id, path, parent, role, model, title, goal, scope, attempt, state, doing, intent, "
            "epoch, spawned) WITH t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t LIMIT 2000000) "
            "SELECT 'x' || n, 'root/' || n, 'x' || n, 'planner', '', '', '', '', 1, 'done', '', 1, 1, 1 FROM t"
        ),
        ("report",),
        "exceed 256 MiB",
    ),
    "archived texts elsewhere": (
        hostile.claims("INSERT INTO archived SELECT hash, codec, size, '../../../etc/passwd', 0, 99 FROM blobs"),
        ("replay",),
        "ok",
    ),
}


@pytest.mark.parametrize(("spoil", "readers", "error"), VALUES.values(), ids=VALUES)
def test_values_that_no_writer_stores_are_damage_and_end_no_reader_badly(
    journal: Path, spoil: Spoil, readers: tuple[str, ...], error: str
) -> None:
    spoil(journal)
    for reader, said in probed(readers, journal).items():
        assert said.startswith(("journal: ", "unreadable: ", "usage: ", "ok")), f"{reader}: {said}"
        assert error in said, f"{reader}: {said}"


@pytest.mark.parametrize(
    "file",
    [
        "'../../secret'",
        "'bodies-000001.bin'",
        "'/etc/passwd'",
        "'bodies-1.bin'",
        "x'00'",
        "99",
    ],
)
def test_archived_texts_are_read_only_from_regular_files_of_the_folder(journal: Path, file: str) -> None:
    (journal.parent.parent.parent / "secret").write_text("secret")
    hostile.link("/dev/zero", "")(journal.parent / "bodies-000001.bin")
    hostile.claims(f"INSERT INTO archived SELECT hash, codec, size, {file}, 0, 2000000000 FROM blobs")(journal)
    hostile.claims("DELETE FROM blobs")(journal)
    hostile.claims("DELETE FROM checkpoints")(journal)
    harmless(journal, ("replay", "export"), "journal: ")


def test_one_bad_journal_does_not_hide_the_good_ones(journal: Path, good: Path) -> None:
    root = journal.parent.parent.parent
    for number, spoil in enumerate((*FILES.values(), *SCHEMAS.values())):
        folder = root / "repo-2" / f"20260101-0000{number:02}-abcd"
        folder.mkdir(parents=True)
        shutil.copy(good, folder / "journal.db")
        spoil(folder / "journal.db")
    hostile.fifo()(journal.parent / "lock")
    listed = list_runs(root)
    assert [run.run for run in listed if run.folder.path == journal.parent and not run.problem]
    assert len([run for run in listed if run.problem]) > len(SCHEMAS)


async def test_reading_writes_nothing_into_the_folder_but_the_logs_index(journal: Path) -> None:
    before = await asyncio.to_thread(contents, journal)
    assert glance(journal) is not None
    reader = await JournalReader.open(journal)
    await reader.snapshot()
    await reader.close()
    now = await asyncio.to_thread(contents, journal)
    assert {name: data for name, data in now.items() if data} == before


def test_a_lock_and_a_log_that_are_links_do_not_reach_another_file(tmp_path: Path) -> None:
    treasure = tmp_path / "treasure"
    treasure.write_text("mine")
    run = tmp_path / "repo" / "20260101-000000-abcd"
    run.mkdir(parents=True)
    for name in ("lock", "log.txt"):
        (run / name).symlink_to(treasure)
    folder = RunFolder(run)
    assert not is_live(folder)
    assert owner_of(folder.lock) is None
    with pytest.raises(Exception, match="cannot write"):
        RunLock.acquire(folder)
    RunLog(folder.log, hostile.NO_MASK).close()
    assert treasure.read_text() == "mine"
    assert not folder.log.is_symlink()
