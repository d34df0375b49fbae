"""A replay shows the run's state at any moment: compared with recorded states, and on the screen."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec import json

from engine.domain.types import LandingState
from engine.journal import writer
from engine.reports.json_lines import snapshot_line
from engine.runs.folder import RunFolder
from engine.state.snapshot import Snapshot
from tests.engine.real_runs import make_repo, settings, started
from tests.tui.apps import app_on, main_of, painted, press, settle, shown_notes
from tests.tui.command_line import Person
from tests.tui.owners import WAIT_S, until
from tui.bridge import Pause, SwarmError
from tui.format.numbers import clock
from tui.sessions.replay import ReplaySession
from tui.sessions.session import CloseMode

MODEL = "rehearsal:load?speed=0&planners=1&tasks=5&conflicts=0.5&shell=0&seed=3"


@dataclass
class Lived:
    """An ended run, and the snapshots taken while it ran."""

    state: Path
    folder: RunFolder
    states: dict[int, Snapshot] = field(default_factory=dict)

    @property
    def last(self) -> int:
        return max(self.states)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    folder = tmp_path_factory.mktemp("lived")
    repo = make_repo(folder / "repo", {"parts/register.py": "PARTS = []\n", "README.md": "# parts\n"})

    async def live() -> Lived:
        run = await started(repo, folder / "state", settings(MODEL))
        states = {run.snapshot.seq: run.snapshot.copy()}
        run.swarm.on_change(lambda event: states.setdefault(run.snapshot.seq, run.snapshot.copy()))
        await run.run()
        return Lived(folder / "state", run.folder, states)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "EVERY", 40)
        yield asyncio.run(live())


@contextmanager
def opened(lived: Lived, at: int = 0) -> Iterator[ReplaySession]:
    """A paused replay with a snapshot; it must close without an error."""
    session = ReplaySession(lived.folder, at)
    session.playing = False
    session.start()
    try:
        until(lambda: session.latest()[0], session)
        yield session
    finally:
        session.close(CloseMode.STOP).result(WAIT_S)
    assert session.failure() is None
    assert session.exit_status() == 0


def test_the_printed_state_is_that_of_the_run_at_that_moment(lived: Lived, tmp_path: Path) -> None:
    person = Person(tmp_path)
    assert lived.states[lived.last].landing_counts[LandingState.MERGED]
    some = sorted(lived.states)
    for seq in (some[0], some[len(some) // 3], some[len(some) // 2], some[-1]):
        done = person.swarm(
            "replay", lived.folder.run, "--headless", "--until", str(seq), "--state-dir", str(lived.state)
        )
        assert done.status == 0, done.err
        assert done.summary == json.decode(snapshot_line(lived.states[seq]))
    wrong = person.swarm("replay", lived.folder.run, "--headless", "--until", "soon", "--state-dir", str(lived.state))
    assert (wrong.status, wrong.error) == (2, "invalid moment 'soon'")
    assert "needs a terminal" in person.swarm("replay", lived.folder.run, "--state-dir", str(lived.state)).error


def test_every_state_of_the_run_can_be_replayed_in_any_order(lived: Lived) -> None:
    with opened(lived) as session:
        some = sorted(lived.states)
        for seq in (*some[:: len(some) // 12], *reversed(some[:: len(some) // 9]), some[-1]):
            session.seek(str(seq)).result(WAIT_S)
            assert session.latest()[1] == lived.states[seq]
            assert session.now() == lived.states[seq].at
            lines = [line.seq for line in session.events_after(0)]
            assert lines == sorted(set(lines))
            assert not lines or lines[-1] <= seq


def test_steps_go_forward_and_back_by_one_event(lived: Lived) -> None:
    with opened(lived, 30) as session:
        seen = [session.latest()[1].seq]
        for by in (1, 1, -1, -1, -1, 1):
            session.step(by).result(WAIT_S)
            seen.append(session.latest()[1].seq)
        assert seen == [30, 31, 32, 31, 30, 29, 30]
        session.seek("start").result(WAIT_S)
        session.step(-1).result(WAIT_S)
        assert session.latest()[1].seq == 1
        session.seek("end").result(WAIT_S)
        session.step(1).result(WAIT_S)
        assert session.latest()[1].seq == lived.last


def test_playing_to_the_end_reaches_the_final_state_and_lists_every_event_once(lived: Lived) -> None:
    with opened(lived) as session:
        session.change_speed(99)
        session.toggle()
        until(lambda: session.latest()[1].seq == lived.last, session)
        assert session.latest()[1] == lived.states[lived.last]
        lines = [line.seq for line in session.events_after(0)]
        assert lines == sorted(set(lines))
        assert session.position().seq == session.position().last == lived.last


def test_a_time_of_day_is_the_local_one_that_the_screen_shows(lived: Lived, monkeypatch: pytest.MonkeyPatch) -> None:
    at = lived.states[sorted(lived.states)[len(lived.states) // 2]].at
    utc = clock(at)
    monkeypatch.setenv("TZ", "XXX-5:30")
    time.tzset()
    try:
        assert clock(at) != utc
        with opened(lived) as session:
            session.seek(clock(at)).result(WAIT_S)
            assert clock(session.latest()[1].at) == clock(at)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_moments_have_many_names(lived: Lived) -> None:
    with opened(lived) as session:
        run = lived.states[lived.last]
        worker = next(agent for agent in run.agents.values() if agent.role == "worker")
        session.seek(worker.path).result(WAIT_S)
        assert worker.id in session.latest()[1].agents
        session.step(-1).result(WAIT_S)
        assert worker.id not in session.latest()[1].agents
        for name in ("50%", "#7", "2w", "+1d", "-1d", "2099-01-01", "end"):
            session.seek(name).result(WAIT_S)
        assert session.latest()[1].seq == lived.last
        for wrong, says in (
            ("soon", "invalid moment"),
            ("999999", "no event"),
            ("root/nobody", "no agent"),
            ("2001-01-01", "began after"),
        ):
            with pytest.raises(SwarmError, match=says):
                session.seek(wrong).result(WAIT_S)


def test_later_messages_and_landings_do_not_show(lived: Lived) -> None:
    run = lived.states[lived.last]
    assert run.root is not None
    with opened(lived, lived.last) as session:
        whole = session.messages(run.root, None, 500).result(WAIT_S)
        landed = next(task for task in run.tasks.values() if task.commit is not None and task.agent is not None)
        assert landed.agent is not None
        assert "diff --git" in session.diff(landed.agent).result(WAIT_S)
        early = next(row for row in whole if row.role == "assistant")
        session.seek(str(early.seq)).result(WAIT_S)
        assert session.messages(run.root, None, 500).result(WAIT_S) == whole[: whole.index(early) + 1]
        began = next(seq for seq, state in lived.states.items() if landed.agent in state.agents)
        session.seek(str(began)).result(WAIT_S)
        with pytest.raises(SwarmError, match="only landed changes"):
            session.diff(landed.agent).result(WAIT_S)
        assert session.scratchpads(run.root).result(WAIT_S) == []


def test_a_replay_refuses_commands_and_writes_nothing(lived: Lived) -> None:
    before = lived.folder.journal.read_bytes()
    with opened(lived, 10) as session, pytest.raises(SwarmError, match="nothing is running"):
        session.submit(Pause()).result(WAIT_S)
    assert lived.folder.journal.read_bytes() == before


async def test_its_keys_play_step_seek_and_change_speed(lived: Lived) -> None:
    session = ReplaySession(lived.folder, lived.last // 2)
    app = app_on(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await asyncio.to_thread(until, lambda: session.latest()[0], session)
        await settle(pilot)
        assert "REPLAY" in painted(app)
        assert f"event {lived.last // 2:,} of {lived.last:,}" in painted(app)
        await press(pilot, "full_stop")
        await asyncio.to_thread(until, lambda: session.latest()[1].seq == lived.last // 2 + 1, session)
        await press(pilot, "comma", "right_curly_bracket", "right_curly_bracket", "left_curly_bracket")
        assert session.speed == 2.0
        await press(pilot, "p")
        assert "nothing is running" in shown_notes(app)
        await press(pilot, "space")
        assert session.playing
        assert not app.view.marked
        await press(pilot, "space", "colon", *"start", "enter")
        await asyncio.to_thread(until, lambda: session.latest()[1].seq == 1, session)
        await settle(pilot)
        assert "event 1 of" in painted(app)
        assert main_of(app).panes.agents.line_count() == 0
        await press(pilot, "colon", *"nonsense", "enter")
        await settle(pilot)
        assert "invalid moment" in shown_notes(app)
        await press(pilot, "colon", *"end", "enter")
        await asyncio.to_thread(until, lambda: session.latest()[1].seq == lived.last, session)
        await settle(pilot)
        assert main_of(app).panes.agents.line_count() == len(lived.states[lived.last].agents)
        await press(pilot, "q")
    assert app.return_value == 0
