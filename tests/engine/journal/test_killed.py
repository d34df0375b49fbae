"""SIGKILL at any step of archiving or migrating a journal leaves all events readable, and the step can be repeated."""

import asyncio
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from engine.domain import events as e
from engine.journal import archive as archive_module
from engine.journal import backfill, connection
from engine.journal.archive import archive
from engine.journal.connection import open_for_writing
from engine.journal.queries import JournalReader
from engine.journal.schema import VERSION
from engine.journal.writer import SqliteJournal
from tests.engine.journal.freeze import RELEASED
from tests.engine.journal.stories import story

WORK = {str(module.__file__) for module in (archive_module, connection, backfill)}
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


@pytest.mark.parametrize("old", sorted(RELEASED.glob("*.db")), ids=lambda path: path.stem)
def test_a_journal_whose_migration_is_killed_is_the_old_or_the_new_one(old: Path, tmp_path: Path) -> None:
    def migrate(path: Path) -> None:
        connection.open_writer(path).close()

    was = asyncio.run(events(Path(shutil.copy(old, tmp_path / "read.db"))))  # reading makes an index beside it
    steps = forked(lambda: migrate(Path(shutil.copy(old, tmp_path / "whole.db"))), -1)
    assert steps is not None
    for number in range(SOME):
        at = steps * number // SOME
        (tmp_path / str(number)).mkdir()
        path = Path(shutil.copy(old, tmp_path / str(number) / "journal.db"))
        assert forked(lambda path=path: migrate(path), at) is None, at  # type: ignore[misc]
        assert asyncio.run(events(path)) == was, at
        asyncio.run(_migrated(path))
        assert asyncio.run(events(path)) == was, at


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
