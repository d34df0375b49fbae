"""Budgets: who is told near a limit, what a reached limit prevents, who may still hand off, and how a run resumes."""

import asyncio

import pytest
from msgspec.structs import replace

from engine.domain.commands import Pause
from engine.domain.conversation import Request, StopReason, Turn
from engine.domain.errors import ExitStatus, ModelError, ModelErrorKind
from engine.domain.events import BudgetMarked
from engine.domain.settings import BudgetSettings, LimitSettings, Settings, SwarmSettings, TaskSettings
from engine.domain.spending import RUN, Mark, Part, of_task
from engine.domain.types import AgentPath, AgentState, HandoffStatus, ModelName, Role, RunState, TaskState, Usage
from engine.orchestrator.swarm import Swarm
from engine.policy.run_end import Outcome
from tests import simulated
from tests.engine.scripts import done, planner_of, said, turns, writes
from tests.engine.steering import landing_script
from tests.engine.swarms import fresh, resumed, run
from tests.simulated import World, call, first_line, turn

NOW = "Hand off now"


def diligent(titles: list[str], calls: int, usage: Usage | None = None) -> simulated.models.Script:
    """Workers that make this many calls, and hand off immediately when they are told to."""
    plan = planner_of(*titles)

    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return plan(request)
        name = first_line(request).removeprefix("# Task: ")
        if NOW in said(request):
            return turn(call("submit_handoff", status="partial", summary="cut short"))
        if turns(request) >= calls:
            return done()
        step = writes(f"{name}.txt", f"{turns(request)}\n")
        return step if usage is None else replace(step, usage=usage)

    return script


def through(
    script: simulated.models.Script, first: Settings, second: Settings
) -> tuple[Swarm, Outcome, Swarm, Outcome]:
    """A run within the first settings, and its resumption within the second."""

    async def main(clock: simulated.SimulatedClock) -> tuple[Swarm, Outcome, Swarm, Outcome]:
        w = simulated.world(clock, script)
        swarm = fresh(w, first)
        outcome = await swarm.run()
        again = await resumed(w.restart(), second)
        return swarm, outcome, again, await again.run()

    return simulated.simulate(main)


def marks(swarm: Swarm, w: World) -> list[tuple[Part, Mark]]:
    return [(e.body.part, e.body.mark) for e in w.journal.surviving() if isinstance(e.body, BudgetMarked)]


def with_budget(**budget: object) -> Settings:
    return Settings(budget=BudgetSettings(**budget), swarm=SwarmSettings(workers=2))  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [{"usd": 0.0125}, {"tokens": 1_400}, {"steps": 12}, {"wall": "20s"}], ids=str)
def test_at_the_limit_of_the_run_working_agents_hand_off_and_nothing_new_starts(limit: dict[str, object]) -> None:
    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert (outcome.state, outcome.status) == (RunState.STOPPED, ExitStatus.BUDGET)
        assert outcome.reason.startswith("the budget of the run is used up: ")
        assert marks(swarm, w)[-1] == (RUN, Mark.REACHED)
        at = next(e.seq for e in w.journal.surviving() if isinstance(e.body, BudgetMarked) and e.body.mark == "reached")
        later = [e.kind for e in w.journal.surviving() if e.seq > at]
        assert "task_started" not in later
        assert "agent_spawned" not in later
        handed = [handoff.text.status for handoff in swarm.snapshot.handoffs.values()]
        assert handed.count(HandoffStatus.PARTIAL) == 2
        assert swarm.snapshot.task_counts[TaskState.LANDED] == len(handed)
        assert swarm.snapshot.task_counts[TaskState.QUEUED] >= 2

    run(diligent([f"t{n}" for n in range(10)], 6), examine, settings=with_budget(**limit))


def test_a_worker_that_does_not_hand_off_has_a_few_calls_left_and_its_task_waits_for_a_resume() -> None:
    plan = planner_of("stubborn")
    stubborn = True

    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return plan(request)
        return writes("a.txt", f"{turns(request)}\n") if stubborn else done()

    async def main(clock: simulated.SimulatedClock) -> None:
        nonlocal stubborn
        w = simulated.world(clock, script)
        swarm = fresh(w, with_budget(steps=8, grace_steps=3))
        outcome = await swarm.run()
        assert outcome.status is ExitStatus.BUDGET
        assert swarm.snapshot.model_calls == 8, "the grace is inside the limit"
        stubborn = False
        again = await resumed(w.restart(), with_budget(steps=8))
        assert (await again.run()).status is ExitStatus.BUDGET
        assert again.snapshot.model_calls == 8, "nothing is asked within a budget that was not raised"
        again = await resumed(w.restart(), with_budget(steps=100))
        assert (await again.run()).status is ExitStatus.DONE
        assert again.snapshot.model_calls > 8
        [task] = again.snapshot.tasks.values()
        assert (task.failures, task.losses) == (0, 0)
        assert again.snapshot.budget_marks[RUN].mark is Mark.ROOM

    simulated.simulate(main)


def test_the_planners_are_told_once_near_the_limit_even_across_a_restart() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if turns(request) < 40:
            return turn(call("rewrite_scratchpad", text=f"{turns(request)}"))
        return done()

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, script)
        swarm = fresh(w, with_budget(steps=42))
        swarm.on_change(lambda event: w.journal.crash_after(event.seq) if swarm.snapshot.model_calls == 40 else None)
        running = asyncio.ensure_future(swarm.run())
        await w.power.failed.wait()
        running.cancel()
        again = await resumed(w.restart(), with_budget(steps=42))
        assert (await again.run()).status is ExitStatus.DONE
        assert marks(again, w) == [(RUN, Mark.NEAR)]

    simulated.simulate(main)


def two_slices(tasks_each: int) -> simulated.models.Script:
    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            if turns(request) == 0:
                return turn(*(call("spawn_subplanner", title=title, goal="own it") for title in ("left", "right")))
            return done() if said(request).count("# Handoff: ") >= 2 else turn(call("wait"))
        if heading.startswith("# Slice: "):
            titles = [f"{heading.removeprefix('# Slice: ')}-{n}" for n in range(tasks_each)]
            return planner_of(*titles)(request)
        return done() if turns(request) else writes(f"{heading.removeprefix('# Task: ')}.txt", "x\n")

    return script


def test_a_subtrees_limit_stops_only_that_subtree_and_the_run_goes_on_once_it_is_raised() -> None:
    limited = with_budget(subtree={"root/left": LimitSettings(steps=6)})
    first, outcome, again, last = through(two_slices(6), limited, with_budget())
    assert outcome.status is ExitStatus.BUDGET
    assert "subtree root/left is used up: " in outcome.reason
    states = {task.spec.title: task.state for task in first.snapshot.tasks.values()}
    assert all(state is TaskState.LANDED for title, state in states.items() if title.startswith("right"))
    assert TaskState.QUEUED in {state for title, state in states.items() if title.startswith("left")}
    assert first.snapshot.agents[first.snapshot.paths[AgentPath("root/right")]].state is AgentState.DONE
    assert last.status is ExitStatus.DONE
    assert again.snapshot.task_counts[TaskState.LANDED] == 12


def test_the_planner_above_is_told_about_a_subtrees_limit_and_can_end_the_subtree() -> None:
    plain = two_slices(6)

    def script(model: ModelName, request: Request) -> Turn:
        told = "The budget of subtree root/left is used up"
        if first_line(request).startswith("# Slice: left") and told in said(request):
            tasks = [line.split()[1] for line in _answers(request) if line.startswith("queued: ")]
            cancelled = sum(block.tool == "cancel_task" for block in _calls(request))
            if not cancelled:
                return turn(*(call("cancel_task", task=task, reason="no budget") for task in tasks))
            return turn(call("submit_handoff", status="partial", summary="as far as the budget went"))
        return plain(model, request)  # type: ignore[return-value]

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        assert "The budget of subtree root/left is used up" in said(
            [a.request for a in w.models.asked if first_line(a.request).startswith("# Intent")][-1]
        )
        assert swarm.snapshot.task_counts[TaskState.CANCELLED] > 0

    run(script, examine, settings=with_budget(subtree={"root/left": LimitSettings(steps=12)}))


def _answers(request: Request) -> list[str]:
    texts = (getattr(block, "text", "") for message in request.messages for block in message.blocks)
    return [line for text in texts for line in text.splitlines()]


def _calls(request: Request) -> list[simulated.models.ToolCall]:
    return [block for message in request.messages for block in message.calls]


def test_a_roles_limit_stops_that_role_only_and_ends_the_run_when_nothing_else_is_left() -> None:
    limited = with_budget(role={"worker": LimitSettings(tokens=600)})
    first, outcome, again, last = through(
        landing_script([f"t{n}" for n in range(8)]), limited, with_budget(role={"worker": LimitSettings(tokens=9_000)})
    )
    assert outcome.status is ExitStatus.BUDGET
    assert outcome.reason.startswith("the budget of role worker is used up: ")
    assert 480 <= first.snapshot.spent[Part("role worker")].tokens <= 600
    assert last.status is ExitStatus.DONE
    assert again.snapshot.task_counts[TaskState.LANDED] == 8


def test_no_agent_of_a_role_starts_once_its_limit_is_reached() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, landing_script(["a"]))
        swarm = fresh(w, with_budget(role={"planner": LimitSettings(steps=1)}, grace_steps=1))
        outcome = await swarm.run()
        assert outcome.status is ExitStatus.BUDGET
        assert swarm.snapshot.task_counts[TaskState.LANDED] == 1, "the workers' role has no limit"
        assert swarm.snapshot.spent[Part("role planner")].steps == 1
        assert swarm.snapshot.agents[swarm.snapshot.root].state is AgentState.PAUSED

    simulated.simulate(main)


@pytest.mark.parametrize("obeys", [True, False])
def test_a_tasks_limit_ends_it_with_its_own_handoff_or_the_engines(obeys: bool) -> None:
    plan = planner_of("dear", "cheap")

    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return plan(request)
        if "cheap" in first_line(request):
            return done()
        if obeys and NOW in said(request):
            return turn(call("submit_handoff", status="partial", summary="as far as it went"))
        return writes("dear.txt", f"{turns(request)}\n")

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        [dear] = [task for task in swarm.snapshot.tasks.values() if task.spec.title == "dear"]
        handoff = next(handoff for handoff in swarm.snapshot.handoffs.values() if handoff.task == dear.id)
        assert dear.attempt == 1
        assert dear.state is (TaskState.LANDED if obeys else TaskState.FAILED)
        assert handoff.by_engine is not obeys
        assert obeys or "the budget of task" in handoff.text.summary
        assert any("close to its limit" in said(asked.request) for asked in w.models.asked)

    settings = Settings(task=TaskSettings(max_tokens=120 * 12), budget=BudgetSettings(grace_steps=3))
    run(script, examine, settings=settings)


def test_a_worker_is_told_before_it_runs_out_of_steps() -> None:
    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        [task] = swarm.snapshot.tasks.values()
        assert (task.state, task.attempt) == (TaskState.LANDED, 1)

    run(diligent(["long"], 1_000), examine, settings=Settings(task=TaskSettings(max_steps=30)))


@pytest.mark.parametrize(("ceiling", "status"), [(25.0, ExitStatus.BUDGET), (0.0, ExitStatus.DONE)])
def test_calls_of_unknown_price_count_at_the_ceiling_price(ceiling: float, status: ExitStatus) -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if turns(request) < 20:
            return turn(call("rewrite_scratchpad", text=f"{turns(request)}"), usage=Usage(90_000, 0, 10_000, None))
        return done()

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is status, outcome
        told = [text for _, text in swarm.snapshot.warnings if "price of a model is unknown" in text]
        assert len(told) == 1
        assert ("25 USD per million" in told[0]) is bool(ceiling)
        assert swarm.snapshot.usage.usd is None

    run(script, examine, settings=with_budget(usd=20.0, ceiling_price=ceiling))


def test_a_paused_worker_does_not_keep_a_run_going_whose_budget_is_used_up() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, diligent(["a"], 50))
        swarm = fresh(w, with_budget(wall="1m"))
        running = asyncio.ensure_future(swarm.run())
        while not swarm.snapshot.task_counts[TaskState.WORKING]:
            await clock.sleep(0.1)
        await swarm.submit(Pause())
        assert (await running).status is ExitStatus.BUDGET
        assert clock.monotonic() < 3_600

    simulated.simulate(main)


def test_the_journal_folds_to_the_same_spending() -> None:
    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        spent = swarm.snapshot.spent
        agents = swarm.snapshot.agents.values()
        assert spent[RUN].steps == swarm.snapshot.model_calls
        assert spent[RUN].tokens == sum(agent.usage.input + agent.usage.output for agent in agents)
        assert spent[Part("subtree root")].tokens == spent[RUN].tokens
        assert sum(spent[Part(f"role {role}")].steps for role in (Role.PLANNER, Role.WORKER)) == spent[RUN].steps
        left = spent[Part("subtree root/left")]
        assert left.since > 0
        assert left.steps == sum(agent.steps for agent in agents if agent.path.startswith("root/left"))

    run(two_slices(2), examine)


def test_answers_that_always_break_off_count_towards_the_budget() -> None:
    def script(model: ModelName, request: Request) -> Turn | Exception:
        if not turns(request):
            return turn(call("rewrite_scratchpad", text="x"))
        error = ModelError(ModelErrorKind.RETRYABLE, "the answer was cut short")
        error.usage = Usage(100_000, 0, 50, 0.4)
        return error

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert (outcome.state, outcome.status) == (RunState.STOPPED, ExitStatus.BUDGET)
        assert swarm.snapshot.usage.usd == pytest.approx(0.001 + 0.4 * (len(w.models.asked) - 1))
        assert swarm.snapshot.usage.usd < 2.0 + 0.4 * 2

    run(script, examine, settings=with_budget(usd=2.0, grace_steps=1))


def test_a_task_at_its_own_limit_whose_attempt_fails_ends() -> None:
    plan = planner_of("broken")

    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return plan(request)
        return turn(stop=StopReason.REFUSAL) if turns(request) > 1 else writes("a.txt", f"{turns(request)}\n")

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.state is RunState.FINISHED
        [task] = swarm.snapshot.tasks.values()
        assert task.state is TaskState.FAILED
        assert "of 0.00 USD" in task.reason
        assert swarm.snapshot.spent[of_task(task.id)].steps == 3, "the second attempt asks nothing"

    run(script, examine, settings=Settings(task=TaskSettings(max_usd=0.003)))
