"""Planners read trunk's own history; workers another, and every commit that they are told is one of theirs."""

import asyncio
import re

import pytest

from engine.agents.commit_ids import translated
from engine.domain.commands import Steer
from engine.domain.conversation import Request, ToolAnswer, Turn
from engine.domain.errors import ExitStatus
from engine.domain.types import AgentPath, CommitId, ModelName, Role
from engine.orchestrator.swarm import Swarm
from engine.policy.run_end import Outcome
from tests import simulated
from tests.engine.scripts import done, said, tasks, turns, writes
from tests.engine.steering import until
from tests.engine.swarms import fresh, run
from tests.simulated import World, call, first_line, turn


async def shown(_: simulated.MemoryWorkspace, commit: CommitId) -> CommitId:
    return CommitId(commit[::-1])


def test_the_commits_that_a_worker_is_told_are_those_that_its_git_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated.MemoryWorkspace, "shown", shown)
    goals: list[str] = []

    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            match turns(request):
                case 0:
                    return turn(call("shell", command="git log"))
                case 1:
                    return tasks("a")
                case 2:
                    return turn(call("wait"))
                case 3:
                    goals.append(
                        f"do as in {re.findall('landed as ([0-9a-f]{10})', said(request))[-1]}, not 0123456789"
                    )
                    return turn(call("spawn_tasks", tasks=[{"title": "b", "goal": goals[0]}]))
            return done() if "# Handoff: b" in said(request) else turn(call("wait"))
        return done() if turns(request) else writes(first_line(request)[-1], "x\n")

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        [opening, *_] = [said(each.request) for each in w.models.asked if first_line(each.request) == "# Task: b"]
        commit = next(str(task.commit) for task in swarm.snapshot.tasks.values() if task.spec.title == "a")
        assert goals == [f"do as in {commit[:10]}, not 0123456789"]
        assert f"do as in {commit[::-1][:10]}, not 0123456789" in opening
        for agent, copies in w.workspaces.opened.items():
            plans = swarm.snapshot.agents[agent].role is Role.PLANNER if agent in swarm.snapshot.agents else False
            assert [copy.trunk_history for copy in copies] == [plans] * len(copies)
        assert any(copy.trunk_history for copies in w.workspaces.opened.values() for copy in copies)

    run(script, examine)


def test_a_changed_task_and_a_persons_word_name_commits_as_the_workers_git_shows_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(simulated.MemoryWorkspace, "shown", shown)
    ids: list[str] = []

    def plan(request: Request) -> Turn:
        match turns(request):
            case 0:
                return tasks("a")
            case 1:
                return turn(call("wait"))
            case 2:
                ids.extend(re.findall("landed as ([0-9a-f]{10})", said(request)))
                return tasks("b")
            case 3:
                return turn(call("shell", command="sleep"))
            case 4:
                found = re.findall(r"queued: (\w+) b", answers_so_far(request))
                return turn(call("amend_task", task=found[-1], goal=f"do as in {ids[0]}"))
        return done() if "# Handoff: b" in said(request) else turn(call("wait"))

    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return plan(request)
        if first_line(request) == "# Task: b" and turns(request) == 0:
            return turn(call("shell", command="make", timeout_s=300))
        return done() if turns(request) > 1 else writes(first_line(request)[-1], "x\n")

    def works(workspace: simulated.MemoryWorkspace, command: str) -> simulated.Ran:
        return simulated.Ran(0, "", 200.0 if command == "make" else 60.0)

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, script, shell=works)
        swarm = fresh(w)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, lambda swarm: any(task.amended for task in swarm.snapshot.tasks.values()))
        await swarm.submit(Steer(AgentPath("root/w-2"), f"look at {ids[0]} first"))
        await running
        told = [said(each.request) for each in w.models.asked if first_line(each.request) == "# Task: b"][-1]
        assert "# Your task has changed" in told
        assert f"do as in {commit_shown(swarm)}" in told
        assert f"look at {commit_shown(swarm)} first" in told
        assert ids[0] not in told

    def commit_shown(swarm: Swarm) -> str:
        commit = next(str(task.commit) for task in swarm.snapshot.tasks.values() if task.spec.title == "a")
        return commit[::-1][:10]

    simulated.simulate(main)


def answers_so_far(request: Request) -> str:
    return "\n".join(b.text for m in request.messages for b in m.blocks if isinstance(b, ToolAnswer))


def test_only_whole_ids_are_translated() -> None:
    assert translated("abcdef1 abcdef12 xabcdef1", {"abcdef1": "1234567"}) == "1234567 abcdef12 xabcdef1"
