"""SIGKILL at any step of archiving or migrating a journal leaves all events readable, and the step can be repeated."""

import asyncio
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import pytest

from engine.domain import events as e
from engine.journal import archive as archive_module
from engine.journal import backfill, connection, migration
from engine.journal.archive import archive
from engine.journal.connection import open_for_writing
from engine.journal.queries import JournalReader
from engine.journal.schema import VERSION
from engine.journal.writer import SqliteJournal
from tests.engine.journal.freeze import RELEASED
from tests.engine.journal.stories import story

WORK = {str(module.__file__) for module in (archive_module, connection, migration, backfill)}
SOME = 40
"""How many kills are spread over all steps that an undisturbed run makes."""


def forked(work: Callable[[], object], dies_at: int) -> int | None:
    """Do the work in a child that kills itself at a step: a line of it, or some instructions within SQLite.

    Returns how many steps there were; None if it was killed.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read()
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return None
        assert os.waitstatus_to_exitcode(status) == 0
        return int(said)
    try:
        steps = count()

        def step() -> None:
            if next(steps) == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)

        def trace(frame: FrameType, what: str, arg: Any) -> Any:
            if frame.f_code.co_filename not in WORK:
                return None
            if what == "line":
                step()
            return trace

        connect = sqlite3.connect

        def stepping(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            db = connect(*args, **kwargs)
            db.set_progress_handler(step, 300)
            return db

        sqlite3.connect = stepping  # type: ignore[assignment]
        sys.settrace(trace)
        work()
        sys.settrace(None)
        os.write(writing, b"%d" % next(steps))
        os._exit(0)
    except BaseException:  # nothing of a child may return into the test
        os._exit(1)


async def events(path: Path) -> list[e.Event]:
    reader = await JournalReader.open(path)
    try:
        return [event async for event in reader.stream()]
    finally:
        await reader.close()


def written(path: Path) -> list[e.Event]:
    made = story(11, 300, text=6000)

    async def write() -> None:
        journal = await SqliteJournal.open(path)
        journal.append(made.events)
        await journal.close()

    asyncio.run(write())
    return made.events


def disk(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir() if not each.name.startswith("journal.db-")}


def test_a_journal_whose_archiving_is_killed_loses_nothing_and_is_archived_by_the_next_try(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    was = written(tmp_path / "before" / "journal.db")
    (tmp_path / "whole").mkdir()
    whole = shutil.copy(tmp_path / "before" / "journal.db", tmp_path / "whole" / "journal.db")
    steps = forked(lambda: archive(whole, 300), -1)
    assert steps is not None
    for number in range(SOME):
        at = steps * number // SOME
        path = Path(shutil.copytree(tmp_path / "before", tmp_path / str(number))) / "journal.db"
        assert forked(lambda path=path: archive(path, 300), at) is None, at  # type: ignore[misc]
        assert asyncio.run(events(path)) == was, at
        archive(path, 300)
        assert asyncio.run(events(path)) == was, at
        with sqlite3.connect(path) as db:
            used = {file for (file,) in db.execute("SELECT DISTINCT file FROM archived")}
        assert disk(path.parent) == {"journal.db"} | used, f"a file of the killed try is left: {at}"


def migrate(path: Path) -> None:
    connection.open_writer(path).close()


def undisturbed(old: Path, folder: Path) -> tuple[Path, int]:
    """A migrated copy, and the steps that a migration takes."""
    whole = Path(shutil.copy(old, folder / "whole.db"))
    migrate(whole)  # this process now knows the schemas, as every child will
    steps = forked(lambda: migrate(Path(shutil.copy(old, folder / "counted.db"))), -1)
    assert steps is not None
    return whole, steps


def totals(path: Path) -> list[list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(path)) as db:
        return [sorted(db.execute(f"SELECT * FROM {table}").fetchall()) for table in backfill.TABLES]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pages and commits for few events."""
    monkeypatch.setattr(backfill, "PAGE", 4)
    monkeypatch.setattr(migration, "PAGES", 2)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("old", sorted(RELEASED.glob("*.db")), ids=lambda path: path.stem)
def test_a_journal_whose_migration_is_killed_is_the_old_or_the_new_one(old: Path, tmp_path: Path) -> None:
    was = asyncio.run(events(Path(shutil.copy(old, tmp_path / "read.db"))))  # reading makes an index beside it
    whole, steps = undisturbed(old, tmp_path)
    for number in range(SOME):
        at = steps * number // SOME
        (tmp_path / str(number)).mkdir()
        path = Path(shutil.copy(old, tmp_path / str(number) / "journal.db"))
        assert forked(lambda path=path: migrate(path), at) is None, at  # type: ignore[misc]
        assert asyncio.run(events(path)) == was, at
        asyncio.run(_migrated(path))
        assert asyncio.run(events(path)) == was, at
        assert totals(path) == totals(whole), at
        assert disk(path.parent) == {"journal.db"}, at


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("seed", range(3))
def test_a_migration_that_is_killed_again_and_again_continues_where_it_was(tmp_path: Path, seed: int) -> None:
    old = sorted(RELEASED.glob("*.db"))[0]
    whole, all_steps = undisturbed(old, tmp_path)
    path = Path(shutil.copy(old, tmp_path / "journal.db"))
    draw, progress = Random(seed), [0]
    while forked(lambda: migrate(path), draw.randrange(all_steps // 3, all_steps * 2 // 3)) is None:
        progress.append(added_up(path))
        assert progress == sorted(progress)
    assert len(set(progress)) > 1
    assert totals(path) == totals(whole)
    assert disk(tmp_path) == {"whole.db", "counted.db", "journal.db"}


def added_up(path: Path) -> int:
    """The events that a migration has added up, over all its parts."""
    file = migration.totals_file(path)
    if not file.exists():
        return 0
    with closing(sqlite3.connect(file)) as db:
        if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'progress'").fetchone():
            return 0
        return int(db.execute("SELECT coalesce(sum(seq), 0) FROM progress").fetchone()[0])


async def _migrated(path: Path) -> None:
    await (await open_for_writing(path)).close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_journal_that_is_killed_while_it_is_created_is_created_by_the_next_try(tmp_path: Path) -> None:
    def create(path: Path) -> None:
        connection.open_writer(path).close()

    steps = forked(lambda: create(tmp_path / "whole.db"), -1)
    assert steps is not None
    for number in range(SOME):
        path = tmp_path / str(number) / "journal.db"
        path.parent.mkdir()
        assert forked(lambda path=path: create(path), steps * number // SOME) is None  # type: ignore[misc]
        asyncio.run(_migrated(path))
