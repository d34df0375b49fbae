"""A simulated world for fast tests of the engine's logic: every protocol of `engine.ports.protocols`, in memory.

Time is virtual: a day of a run takes milliseconds. A seed decides all delays, so that a failing run can be repeated.
Nothing here touches the disk, a process, a thread or the network.

    def test_something():
        async def main(clock: SimulatedClock) -> None:
            def script(model, request):                 # the model; it sees the request only
                if first_line(request).startswith("# Intent"):
                    return turn(call("submit_handoff", status="done", summary="nothing to do"))
                return ModelError(ModelErrorKind.RETRYABLE, "overloaded")

            w = world(clock, script, seed=7, files={"a.txt": b"1\\n"})
            await fresh(w).run()                        # tests.engine.swarms.fresh: a swarm at the start of a run
            assert w.trunk.files == {"a.txt": b"1\\n"}

        simulate(main)

- `simulate(main)` is `asyncio.run` in virtual time. Stuck tasks raise `NothingCanHappen` instead of hanging.
- `w.models.asked` has every request, also as JSON bytes; `w.workspaces.opened[agent]` has every workspace.
- `shell=` defines what commands do: `(workspace, command) -> Ran(exit, text, wall_s)` or text. It may change
  `workspace.files`. A command that takes longer than its timeout is killed in simulated time.
- `w.trunk.move({...})` is someone else's commit; `w.trunk.before_swap = ...` makes it just before a landing's swap.
- `w.journal.crash_after(seq)` or `w.crash()` kills the process: await `w.power.failed.wait()`, cancel the swarm's
  task, and continue with `w.restart()`, which has the durable events, the commits and nothing else.
- `disk=Disk(clock, [Trouble(3.0, 20.0, errno.ENOSPC)])` is full for a while; `clock.jumps = [(5.0, -60.0)]` sets UTC
  back by a minute.
- `workspace.lose()` kills one agent's sandbox. `w.meters.current = Sample(...)` changes what the meters measure.
"""

from tests.simulated.disk import Disk, Trouble
from tests.simulated.journal import MemoryJournal
from tests.simulated.merge import merge_lines, merge_trees
from tests.simulated.models import Asked, ScriptedModels, answers, call, first_line, turn
from tests.simulated.power import Power
from tests.simulated.resources import PLENTY, ScriptedChecker, SteadyEnvironment, SteadyMeters
from tests.simulated.time import (
    CountingIds,
    NothingCanHappen,
    SeededRandomness,
    SimulatedClock,
    SimulatedLoop,
    simulate,
)
from tests.simulated.trunk import Commit, Commits, MemoryTrunk
from tests.simulated.workspaces import MemoryWorkspace, MemoryWorkspaces, Ran, no_commands
from tests.simulated.world import World, world

__all__ = [
    "PLENTY",
    "Asked",
    "Commit",
    "Commits",
    "CountingIds",
    "Disk",
    "MemoryJournal",
    "MemoryTrunk",
    "MemoryWorkspace",
    "MemoryWorkspaces",
    "NothingCanHappen",
    "Power",
    "Ran",
    "ScriptedChecker",
    "ScriptedModels",
    "SeededRandomness",
    "SimulatedClock",
    "SimulatedLoop",
    "SteadyEnvironment",
    "SteadyMeters",
    "Trouble",
    "World",
    "answers",
    "call",
    "first_line",
    "merge_lines",
    "merge_trees",
    "no_commands",
    "simulate",
    "turn",
    "world",
]
