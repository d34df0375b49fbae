"""A scope has one meaning: globs, checked when they are given; its worker reads that they are a guide."""

import pytest

from engine.domain.commands import Rescope
from engine.domain.conversation import Request, Turn
from engine.domain.errors import ExitStatus, SwarmError
from engine.domain.types import AgentPath, ModelName
from engine.orchestrator.swarm import Swarm
from engine.policy.run_end import Outcome
from tests.engine.records import answered
from tests.engine.scripts import done, id_of, said, tasks, turns, writes
from tests.engine.steering import kind, steered
from tests.engine.swarms import run
from tests.simulated import World, call, first_line, turn

WORDS = "the parser and its tests"
HOW = "scope takes globs such as src/parser/**, tests/parser/**; put words into the goal"


def test_each_tool_that_takes_a_scope_refuses_words_and_says_how_to_write_one() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            steps = [
                lambda: tasks("a", scope=WORDS),
                lambda: tasks("a", scope="src/new/**"),
                lambda: turn(call("amend_task", task=id_of(request, "a"), scope=WORDS)),
                lambda: turn(call("spawn_subplanner", title="left", goal="own it", scope=WORDS)),
                lambda: turn(call("spawn_subplanner", title="left", goal="own it", scope="left/**")),
                lambda: turn(call("rescope_subplanner", subplanner="left", message="more", scope=WORDS)),
            ]
            if turns(request) < len(steps):
                return steps[turns(request)]()
            return done() if said(request).count("# Handoff: ") == 2 else turn(call("wait"))
        return done() if heading.startswith("# Slice") or turns(request) else writes("src/new/a.txt", "x\n")

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        for tool, start in (
            ("spawn_tasks", "nothing was queued: the scope of `a`: `the parser and` is no glob: "),
            ("amend_task", "not amended: the scope: "),
            ("spawn_subplanner", "not spawned: the scope: "),
            ("rescope_subplanner", "not sent: the scope: "),
        ):
            refusal = answered(w, tool)[0]
            assert refusal.startswith(start)
            assert HOW in refusal
        assert [task.spec.scope for task in swarm.snapshot.tasks.values()] == ["src/new/**"]

    run(script, examine)


def test_a_worker_reads_that_its_scope_is_a_guide_and_that_it_may_change_the_tests_that_pin_the_old() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            if turns(request) == 0:
                return tasks("a", scope="src/**")
            return done() if "# Handoff: a" in said(request) else turn(call("wait"))
        return done(deviations="tests/a.py pinned the old") if turns(request) else writes("tests/a.py", "x\n")

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        opening = next(said(each.request) for each in w.models.asked if first_line(each.request) == "# Task: a")
        assert "## Scope\n\nsrc/**\n\nA guide, not a wall: if the task needs more, such as a test that pins" in opening
        [task] = swarm.snapshot.tasks.values()
        assert task.commit is not None
        [handoff] = [each for each in swarm.snapshot.handoffs.values() if each.task == task.id]
        assert "tests/a.py pinned the old" in handoff.text.deviations
        assert "Changed outside the scope (src/**): tests/a.py" in handoff.text.deviations

    run(script, examine)


def test_a_persons_scope_is_globs_too() -> None:
    left = AgentPath("root/left")

    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            if turns(request) == 0:
                return turn(call("spawn_subplanner", title="left", goal="own it"))
            return done() if "# Handoff: left" in said(request) else turn(call("wait"))
        if first_line(request).startswith("# Slice"):
            return (
                tasks("a") if turns(request) == 0 else done() if "# Handoff: a" in said(request) else turn(call("wait"))
            )
        return done() if turns(request) else writes("a.txt", "x\n")

    async def act(swarm: Swarm) -> None:
        with pytest.raises(SwarmError) as raised:
            await swarm.submit(Rescope(left, "own more", WORDS))
        assert HOW in raised.value.hint
        await swarm.submit(Rescope(left, "own more", "left/new/**"))

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert swarm.snapshot.agents[swarm.snapshot.paths[left]].scope == "left/new/**"

    steered(script, kind("task_started"), act, examine)
