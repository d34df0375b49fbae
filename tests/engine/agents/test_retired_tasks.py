"""Tasks that have left memory: a planner still names them, and what their workers left reaches new ones."""

import pytest

from engine.domain import events as e
from engine.domain.conversation import Request, Turn
from engine.domain.types import AgentState, TaskId, TaskState
from engine.orchestrator.swarm import Swarm
from engine.policy.run_end import Outcome
from engine.state import snapshot
from engine.state.fold import retirement
from tests.engine.records import answered, failing, kinds
from tests.engine.scripts import root_that, says, spawns, turns
from tests.engine.swarms import run
from tests.simulated import World, call, first_line, turn


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep only the last task in memory."""
    for name, value in (("KEPT", 1), ("OWN", 1), ("HOUR", 0), ("NEEDING", 0)):
        monkeypatch.setattr(retirement, name, value)
    monkeypatch.setattr(snapshot, "RECENT", 1)


FILLERS = [step for title in "pqrs" for step in (spawns(title), says("wait"))]


def id_called(w: World, title: str) -> TaskId:
    return next(event.body.queued.id for event in kinds(w, e.TaskQueued) if event.body.queued.spec.title == title)


def ending(w: World, title: str) -> str:
    id = id_called(w, title)
    return next(event.body.state for event in kinds(w, e.TaskEnded) if event.task == id)


def told(w: World, title: str) -> str:
    """What the workers of a task were given with their turns."""
    id = id_called(w, title)
    return "\n".join(event.body.given or "" for event in kinds(w, e.TurnTaken) if event.task == id)


def test_a_task_may_come_after_one_that_has_left_memory_and_builds_on_its_report() -> None:
    gone: list[bool] = []

    def later(request: Request) -> Turn:
        return spawns({"title": "b", "after": ["a"]})(request)

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        gone.append(id_called(w, "a") not in swarm.snapshot.tasks)
        assert gone == [True]
        assert f"(after {id_called(w, 'a')})" in "\n".join(answered(w, "spawn_tasks"))
        assert ending(w, "b") == TaskState.LANDED
        report = next(
            event.body.handoff for event in kinds(w, e.HandedOff) if event.body.handoff.task == id_called(w, "a")
        )
        assert report.text.summary in told(w, "b")
        assert sum(each.tasks.get(TaskState.LANDED, 0) for each in swarm.snapshot.retired.values()) >= 4

    run(root_that(spawns("a"), says("wait"), *FILLERS, later), examine)


def test_a_task_that_replaces_one_that_has_left_memory_inherits_what_its_worker_noted() -> None:
    def worker(request: Request) -> Turn:
        if first_line(request) == "# Task: fail" and not turns(request):
            return turn(call("rewrite_scratchpad", text="use the fast interpreter"))
        return failing(request)

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert id_called(w, "fail") not in swarm.snapshot.tasks
        assert any("queued" in text and "again" in text for text in answered(w, "spawn_tasks")), answered(
            w, "spawn_tasks"
        )
        queued = next(event.body.queued for event in kinds(w, e.TaskQueued) if event.body.queued.spec.title == "again")
        assert queued.replaces == id_called(w, "fail")
        assert "> use the fast interpreter" in told(w, "again")

    again = spawns({"title": "again", "replaces": "fail"})
    run(root_that(spawns("fail"), says("wait"), *FILLERS, again, worker=worker), examine)


def test_a_subplanner_that_is_done_runs_no_more_and_its_work_starts_again_with_a_message() -> None:
    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert not swarm.supervisor.running
        assert all(agent.ended for agent in swarm.snapshot.agents.values())
        assert not swarm.host.wake_ups._arrived
        states = [event.body.state for event in kinds(w, e.AgentStateChanged) if event.agent == swarm.snapshot.root]
        assert states.count(AgentState.DONE) == 1

    run(root_that(spawns("a"), says("wait")), examine)
