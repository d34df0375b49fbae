"""Agents and handoffs that have left memory: a line stands for them, and enter reads them from the journal."""

import pytest

from engine.domain.types import AgentId, HandoffId, Role
from engine.state.fold import retirement
from engine.state.recalled import Recalled
from tests.tui.apps import app_on, main_of, painted, press, settle
from tests.tui.fake_session import FakeSession
from tests.tui.swarms import begin, land, spawn, task, turn, work

TASKS = 30


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    """A root planner most of whose tasks have ended long ago."""
    session, root = FakeSession(), AgentId("")
    gone = Recalled()
    for name, value in (("KEPT", 5), ("OWN", 3), ("HOUR", 0)):
        monkeypatch.setattr(retirement, name, value)
    root = begin(session)
    for number in range(TASKS):
        before = session.run.copy()
        id = task(session, root, f"part {number}")
        worker = spawn(session, f"root/w-{number}", root, Role.WORKER, f"part {number}", task=id)
        work(session, worker, id, "shell true", 1_000)
        land(session, worker, id)
        turn(session, root, 10)
        session.run.landings.clear()  # the tasks of recent landings stay
        run = session.run
        gone |= Recalled(
            {id: agent for id, agent in before.agents.items() if id not in run.agents},
            {id: task for id, task in before.tasks.items() if id not in run.tasks},
            {id: handoff for id, handoff in before.handoffs.items() if id not in run.handoffs},
        )
    session.recalled = gone
    assert len(session.run.agents) < TASKS / 2
    return session


async def test_ended_agents_that_left_memory_are_one_line_until_they_are_opened(session: FakeSession) -> None:
    async with app_on(session).run_test(size=(160, 60)) as pilot:
        await settle(pilot)
        panes = main_of(pilot.app).panes  # type: ignore[arg-type]
        gone = len(session.recalled.agents)
        text = painted(pilot.app)  # type: ignore[arg-type]
        assert f"{gone} older ended agents in the journal" in text
        assert panes.agents.total == TASKS + 1
        oldest = min(session.recalled.agents)
        assert oldest not in {row.agent for row in panes.agents._rows}
        landed = panes.view.counts.totals[session.run.root or AgentId("")].landed
        assert landed == TASKS
        await press(pilot, "1", "G", "enter")
        text = painted(pilot.app)  # type: ignore[arg-type]
        assert "older ended agents" not in text
        assert oldest in {row.agent for row in panes.agents._rows}
        opened = panes.view.agent
        assert opened is not None
        assert opened.id == max(session.recalled.agents)
        assert panes.view.counts.totals[opened.id].tokens == opened.usage.input + opened.usage.output
        assert panes.view.counts.totals[session.run.root or AgentId("")].landed == TASKS
        assert panes.view.counts.all == TASKS + 1
        panes.view.take(panes.view.version + 1, session.run.copy())
        assert panes.view.selected == opened.id, "a newer snapshot keeps what is selected"
        spawn(session, "root/w-new", session.run.root or AgentId(""), Role.WORKER, "new")
        await settle(pilot)
        assert panes.view.agent is not None
        assert panes.view.agent.id == opened.id
        assert oldest in {row.agent for row in panes.agents._rows}


async def test_older_handoffs_are_one_line_until_they_are_opened(session: FakeSession) -> None:
    async with app_on(session).run_test(size=(160, 60)) as pilot:
        await settle(pilot)
        panes = main_of(pilot.app).panes  # type: ignore[arg-type]
        attention = len(panes.view.attention())
        await press(pilot, "3", "G")
        assert "older handoffs in the journal" in painted(pilot.app)  # type: ignore[arg-type]
        assert panes.handoffs.current is None
        await press(pilot, "enter")
        assert panes.handoffs.matches == TASKS
        found = panes.handoffs.current
        assert found is not None
        assert found.id in session.recalled.handoffs
        assert panes.view.path_of(found.agent).startswith("root/w-")
        assert len(panes.view.attention()) == attention
        assert panes.handoffs.line_count() == TASKS
        panes.handoffs.select(HandoffId(min(session.recalled.handoffs)))
        assert panes.handoffs.current is not None
