"""Runs that a test steers: it waits for an event, acts, and examines the end."""

import asyncio
from collections.abc import Awaitable, Callable

from engine.domain.conversation import Request, Turn
from engine.domain.events import Event
from engine.domain.settings import Settings, SwarmSettings, TaskSettings
from engine.domain.types import AgentPath, AgentState, ModelName, Role
from engine.orchestrator.swarm import Swarm
from engine.policy.run_end import Outcome
from engine.state.snapshot import Snapshot
from tests import simulated
from tests.engine.scripts import done, planner_of, said, tasks, turns, writes
from tests.engine.swarms import fresh
from tests.simulated import Ran, answers, call, first_line, turn

LEFT, RIGHT, ROOT = AgentPath("root/left"), AgentPath("root/right"), AgentPath("root")
FOUR_WORKERS = Settings(swarm=SwarmSettings(workers=4), task=TaskSettings(timeout="45m"))


def two_sides(model: ModelName, request: Request) -> Turn:
    """Two subplanners with two tasks each. A worker runs a command of one minute, writes a file and hands off."""
    heading = first_line(request)
    if heading.startswith("# Intent"):
        if turns(request) == 0:
            return turn(*(call("spawn_subplanner", title=side, goal="own it") for side in ("left", "right")))
        heard = sum(f"# Handoff: {side}\n" in said(request) for side in ("left", "right"))
        return done() if heard == 2 else turn(call("wait"))
    if heading.startswith("# Slice: "):
        side = heading.removeprefix("# Slice: ")
        if turns(request) == 0:
            return tasks(f"{side} 1", f"{side} 2")
        return done() if said(request).count("# Handoff: ") >= 2 else turn(call("wait"))
    match turns(request):
        case 0:
            return turn(call("shell", command="make", timeout_s=90))
        case 1:
            assert answers(request)[0].startswith("exit 0"), answers(request)
            return writes(f"{heading.removeprefix('# Task: ')}.txt", "x\n")
        case _:
            return done()


def a_minute(workspace: simulated.MemoryWorkspace, command: str) -> Ran:
    return Ran(0, "built\n", 60.0)


def all_at_work(swarm: Swarm) -> bool:
    acting = [a for a in swarm.snapshot.agents.values() if a.role is Role.WORKER and a.state is AgentState.ACTING]
    return len(acting) == 4


async def until(swarm: Swarm, true: Callable[[Swarm], bool]) -> None:
    """Wait until it is true, checking after each event."""
    changed = asyncio.Event()
    swarm.on_change(lambda event: changed.set())
    while not true(swarm):
        changed.clear()
        await changed.wait()


def left_open(s: Snapshot) -> set[str]:
    return {task.spec.title for task in s.tasks.values() if not task.ended}


When = Callable[[Event], bool]


Act = Callable[[Swarm], Awaitable[None]]


def steered(
    script: simulated.models.Script,
    when: When,
    act: Act,
    examine: Callable[[Swarm, simulated.World, Outcome], None],
    settings: Settings | None = None,
) -> None:
    """Run a swarm, call `act` after the first event for which `when` is true, and examine the end."""

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, script)
        swarm = fresh(w, settings)
        happened = asyncio.Event()
        swarm.on_change(lambda event: happened.set() if when(event) else None)
        running = asyncio.ensure_future(swarm.run())
        await happened.wait()
        await act(swarm)
        examine(swarm, w, await running)

    simulated.simulate(main)


def landing_script(titles: list[str]) -> simulated.models.Script:
    plan = planner_of(*titles)

    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            return plan(request)
        name = heading.removeprefix("# Task: ")
        return done() if turns(request) else writes(f"{name}.txt", "x\n")

    return script


def kind(name: str, nth: int = 1) -> When:
    seen = 0

    def when(event: Event) -> bool:
        nonlocal seen
        seen += event.kind == name
        return seen == nth and event.kind == name

    return when
