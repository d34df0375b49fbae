"""A run whose folder, or a part of it, is deleted or moved ends with an error that names what is gone."""

import asyncio
import shutil
from pathlib import Path

import pytest

from engine.domain.errors import ErrorKind, ExitStatus, SwarmError
from engine.domain.events import Event, Warned
from engine.journal.writer import SqliteJournal
from engine.reports.summary import Summary
from engine.runs.folder import RunFolder
from tests.engine.real_runs import make_repo, settings, started

PARTS = {"journal": "journal.db", "trunk": "trunk.git", "the run": "."}


@pytest.mark.parametrize("how", ["deleted", "moved"])
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())
async def test_a_run_ends_and_names_what_is_gone(tmp_path: Path, part: str, how: str) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    make_repo(repo, {"README.md": "hello\n"})
    run = await started(repo, tmp_path / "state", settings("rehearsal:notes?speed=0"))
    gone = (run.folder.path / part).resolve()
    if how == "moved":
        gone.rename(tmp_path / "elsewhere")
    elif gone.is_dir():
        shutil.rmtree(gone)
    else:
        gone.unlink()
    with pytest.raises(SwarmError) as raised:
        async with asyncio.timeout(90):
            await run.run()
    assert raised.value.kind is ErrorKind.STATE
    assert raised.value.status is ExitStatus.UNUSABLE
    assert raised.value.message == f"{gone} was deleted or moved during the run"
    assert "log" not in raised.value.hint


@pytest.mark.parametrize("how", ["deleted", "moved"])
async def test_a_run_ends_cleanly_without_its_workspaces(tmp_path: Path, how: str) -> None:
    """They are made anew where that is possible; otherwise the run ends with an error that a person understands."""
    repo = tmp_path / "repo"
    repo.mkdir()
    make_repo(repo, {"README.md": "hello\n"})
    run = await started(repo, tmp_path / "state", settings("rehearsal:notes?speed=0"))
    if how == "moved":
        run.folder.workspaces.rename(tmp_path / "elsewhere")
    else:
        shutil.rmtree(run.folder.workspaces)
    async with asyncio.timeout(90):
        [ended] = await asyncio.gather(run.run(), return_exceptions=True)
    assert isinstance(ended, Summary | SwarmError), ended
    assert run.snapshot.ended


def test_a_whole_folder_has_lost_nothing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for part in (folder.journal, folder.trunk, folder.workspaces):
        part.mkdir()
    assert folder.loss(begun=True) is None


async def test_nothing_counts_as_written_to_a_journal_that_is_gone(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    (tmp_path / "journal.db").unlink()
    journal.append([Event(1, 1, 1, Warned("x"))])
    with pytest.raises(SwarmError, match="deleted or moved"):
        await journal.durable(1)
    with pytest.raises(SwarmError):
        await journal.close()
