"""The attached session: a real run in another process, followed through its socket."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.tui.owners import WAIT_S, Owner, owned, resumed, until
from tui.bridge import AgentPath, ErrorKind, JournalReader, Pause, RunState, Steer, SwarmError, TaskState, list_runs
from tui.sessions.attached import AttachedSession
from tui.sessions.session import CloseMode


def attached(owner: Owner) -> AttachedSession:
    session = AttachedSession(owner.run().folder)
    session.start()
    until(lambda: session.latest()[0] > 0, session)
    return session


async def _fold(path: Path) -> tuple[object, int]:
    reader = await JournalReader.open(path)
    try:
        return await reader.snapshot(), await reader.last_seq()
    finally:
        await reader.close()


def test_a_run_of_another_process_is_followed_to_its_end_without_gaps_or_repeats(tmp_path: Path) -> None:
    with owned(tmp_path, "rehearsal:notes?speed=0.2") as owner:
        session = attached(owner)
        assert session.mark == "ATTACHED"
        until(session.ended, session)
        run = session.latest()[1]
        recorded, last = asyncio.run(_fold(list_runs(tmp_path)[0].folder.journal))
        assert (run.state, run.seq) == (RunState.FINISHED, last)
        assert run == recorded
        lines = [line.seq for line in session.events_after(0)]
        assert lines == sorted(set(lines))
        assert session.exit_status() == 0
        assert (session.mark, session.read_only) == ("", "the run is finished")
        assert run.root is not None
        assert session.messages(run.root, None, 20).result(WAIT_S)
        session.close(CloseMode.DETACH).result(WAIT_S)
        assert owner.process.wait(WAIT_S) == 0


def test_a_killed_owner_is_reported_and_the_next_one_is_followed(tmp_path: Path) -> None:
    with owned(tmp_path) as owner:
        session = attached(owner)
        until(lambda: session.latest()[1].tasks, session)
        owner.kill()
        until(session.ended, session)
        assert session.mark == "CRASHED"
        assert "died" in session.notice
        assert "swarm-tui resume" in session.notice
        before = session.latest()[1].epoch
        with pytest.raises(SwarmError, match="no process"):
            session.submit(Pause()).result(WAIT_S)
        with resumed(tmp_path):
            until(lambda: session.mark == "ATTACHED", session)
            until(lambda: session.latest()[1].epoch > before, session)
            assert (session.ended(), session.read_only, session.notice) == (False, "", "")
        session.close(CloseMode.EXIT).result(WAIT_S)


def test_commands_and_diffs_go_over_the_socket(tmp_path: Path) -> None:
    with owned(tmp_path) as owner:
        session = attached(owner)
        until(lambda: session.latest()[1].task_counts[TaskState.WORKING], session)
        session.submit(Pause()).result(WAIT_S)
        until(lambda: session.latest()[1].state in (RunState.PAUSING, RunState.PAUSED), session)
        worker = next(task.agent for task in session.latest()[1].tasks.values() if task.agent is not None)
        assert isinstance(session.diff(worker).result(WAIT_S), str)
        with pytest.raises(SwarmError, match="there is no agent"):
            session.submit(Steer(AgentPath("root/nobody"), "hello")).result(WAIT_S)
        session.close(CloseMode.DETACH).result(WAIT_S)


@pytest.mark.parametrize("mode", [CloseMode.DETACH, CloseMode.EXIT, CloseMode.WAIT, CloseMode.PAUSE])
def test_leaving_does_not_end_the_run(tmp_path: Path, mode: CloseMode) -> None:
    with owned(tmp_path) as owner:
        session = attached(owner)
        session.close(mode).result(WAIT_S)
        assert session.failure() is None
        assert list_runs(tmp_path)[0].live
        assert owner.process.poll() is None


def test_stopping_ends_the_owner_and_waits_for_it(tmp_path: Path) -> None:
    with owned(tmp_path) as owner:
        session = attached(owner)
        session.close(CloseMode.STOP).result(WAIT_S)
        assert session.latest()[1].state is RunState.STOPPED
        assert session.exit_status() == 4
        assert "swarm-tui resume" in session.exit_note
        assert owner.process.wait(WAIT_S) == 4


def test_leaving_at_once_does_not_wait_for_a_process_that_stands_still(tmp_path: Path) -> None:
    with owned(tmp_path) as owner:
        session = attached(owner)
        owner.process.send_signal(signal.SIGSTOP)
        waiting = session.close(CloseMode.STOP)
        session.close(CloseMode.NOW)
        waiting.result(WAIT_S)
        assert session.failure() is None
        owner.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("error", [ConnectionResetError(), SwarmError(ErrorKind.STATE, "gone", ""), ValueError("odd")])
def test_whatever_goes_wrong_while_stopping_the_session_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with owned(tmp_path) as owner:
        session = attached(owner)

        async def fails(command: object) -> None:
            raise error

        monkeypatch.setattr(session, "_command", fails)
        session.close(CloseMode.STOP).result(WAIT_S)


def test_stopping_an_owner_that_ends_meanwhile_is_no_error(tmp_path: Path) -> None:
    with owned(tmp_path) as owner:
        session = attached(owner)
        owner.process.send_signal(signal.SIGSTOP)
        waiting = session.close(CloseMode.STOP)
        owner.kill()
        waiting.result(WAIT_S)
        assert session.failure() is None
        assert "swarm-tui resume" in session.exit_note


def test_a_journal_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with owned(tmp_path) as owner:
        folder = owner.run().folder
    folder.journal.write_bytes(b"nothing of the kind")
    for name in ("journal.db-wal", "journal.db-shm"):
        (folder.path / name).unlink(missing_ok=True)
    session = AttachedSession(folder)
    session.start()
    until(lambda: session.failure() is not None)
    assert isinstance(session.failure(), SwarmError)
    session.close(CloseMode.EXIT).result(WAIT_S)
