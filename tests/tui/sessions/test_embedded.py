"""The embedded session: a real engine in a thread of its own."""

import asyncio
from pathlib import Path
from threading import Event as Signal

import pytest

from engine.state import snapshot
from engine.state.fold import retirement
from tests.tui.embedded import beginning
from tui.bridge import LiveRun, Opening, Pause, RunState, SwarmError, list_runs
from tui.sessions.embedded import EmbeddedSession
from tui.sessions.session import CloseMode

WAIT_S = 100


def test_a_run_finishes_and_can_still_be_read_afterwards(tmp_path: Path) -> None:
    session = EmbeddedSession(beginning(tmp_path))
    session.start()
    try:
        over = Signal()
        while not session.ended():
            assert session.failure() is None
            over.wait(0.05)
        version, run = session.latest()
        assert run.state is RunState.FINISHED
        assert version > 0
        assert session.exit_status() == 0
        assert session.events_after(0)
        assert session.events_after(session.events_after(0)[-1].seq) == []
        assert run.root is not None
        said = session.messages(run.root, None, 20).result(WAIT_S)
        assert said
        worker = next(task.agent for task in run.tasks.values() if task.commit)
        assert worker is not None
        assert session.diff(worker).result(WAIT_S).startswith("diff --git")
        with pytest.raises(SwarmError):
            session.submit(Pause()).result(WAIT_S)
    finally:
        session.close(CloseMode.STOP).result(WAIT_S)


def test_closing_early_stops_the_run_so_that_it_can_be_resumed(tmp_path: Path) -> None:
    session = EmbeddedSession(beginning(tmp_path, "rehearsal:notes?speed=1"))
    session.start()
    waiting = Signal()
    while session.latest()[0] == 0:
        waiting.wait(0.02)
    session.close(CloseMode.STOP).result(WAIT_S)
    assert session.latest()[1].state is RunState.STOPPED
    assert session.exit_status() == 4
    session.close(CloseMode.STOP).result(WAIT_S)


def test_leaving_at_once_waits_for_no_agent_and_the_run_can_be_resumed(tmp_path: Path) -> None:
    session = EmbeddedSession(beginning(tmp_path, "rehearsal:notes?speed=1000"))
    session.start()
    waiting = Signal()
    while session.latest()[0] == 0:
        waiting.wait(0.02)
    session.close(CloseMode.STOP)
    session.close(CloseMode.NOW).result(WAIT_S)
    assert (session.failure(), session.exit_status()) == (None, 4)
    assert not list_runs(tmp_path / "state")[0].live
    assert list_runs(tmp_path / "state")[0].unfinished


def test_an_opening_that_takes_long_is_shown_until_the_run_has_begun(tmp_path: Path) -> None:
    begin, seen = beginning(tmp_path), Signal()

    async def begin_slowly(opening: Opening) -> LiveRun:
        opening = Opening(opening._report, every_s=0)
        await asyncio.to_thread(opening.at, "migrating the journal", 1, 4)
        await asyncio.to_thread(seen.wait, WAIT_S)
        return await begin(opening)

    session = EmbeddedSession(begin_slowly)
    session.start()
    while not session.latest()[0]:
        seen.wait(0.02)
    assert (session.opening, session.latest()[1].run) == ("migrating the journal: 25%", "")
    seen.set()
    while not session.latest()[1].run:
        Signal().wait(0.02)
    session.close(CloseMode.NOW).result(WAIT_S)


def test_a_run_that_a_person_leaves_before_it_has_begun_waits_for_nobody(tmp_path: Path) -> None:
    begin, left, released = beginning(tmp_path, check="false"), Signal(), Signal()

    async def begin_later(opening: Opening) -> LiveRun:
        await asyncio.to_thread(left.wait, WAIT_S)
        return await begin(opening)

    session = EmbeddedSession(begin_later, lambda _: released.set())
    session.start()
    session.close(CloseMode.DETACH).result(WAIT_S)
    assert session.exit_note.endswith("to list it: swarm-tui runs")
    left.set()
    session.close(CloseMode.EXIT).result(WAIT_S)
    assert released.is_set()
    assert session.latest()[1].state is RunState.FINISHED


def test_a_run_that_ended_meanwhile_is_not_said_to_continue(tmp_path: Path) -> None:
    session = EmbeddedSession(beginning(tmp_path), lambda _: None)
    session.start()
    waiting = Signal()
    while not session.ended():
        waiting.wait(0.05)
    session.close(CloseMode.DETACH).result(WAIT_S)
    assert session.exit_note == ""


def test_an_error_at_the_start_reaches_the_person(tmp_path: Path) -> None:
    session = EmbeddedSession(beginning(tmp_path, "rehearsal:no-such-sample"))
    session.start()
    session.close(CloseMode.WAIT).result(WAIT_S)
    assert isinstance(session.failure(), SwarmError)


def test_a_session_that_never_started_closes_immediately(tmp_path: Path) -> None:
    session = EmbeddedSession(beginning(tmp_path))
    session.close(CloseMode.STOP).result(WAIT_S)
    assert (session.exit_status(), session.failure()) == (None, None)
    assert not (tmp_path / "state").exists()


def test_what_an_agent_landed_is_shown_when_the_agent_has_left_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("KEPT", 0), ("OWN", 1), ("HOUR", 0)):
        monkeypatch.setattr(retirement, name, value)
    monkeypatch.setattr(snapshot, "RECENT", 1)
    session = EmbeddedSession(beginning(tmp_path))
    session.start()
    over = Signal()
    try:
        while not session.ended():
            assert session.failure() is None
            over.wait(0.05)
        run = session.latest()[1]
        gone = session.older_handoffs(run.handoffs).result(WAIT_S)
        landed = next(task.agent for task in gone.tasks.values() if task.commit)
        assert landed is not None
        assert landed not in run.agents
        assert session.diff(landed).result(WAIT_S).startswith("diff --git")
    finally:
        session.close(CloseMode.STOP).result(WAIT_S)
