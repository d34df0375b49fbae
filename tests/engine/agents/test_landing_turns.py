"""While a conflict is resolved, later landings on the same paths wait for their turn, and everything else goes on."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.domain import commands as c
from engine.domain import events as e
from engine.domain.errors import ExitStatus
from engine.domain.settings import LandingSettings, Settings, SwarmSettings, TaskSettings
from engine.domain.types import Agent, AgentState, Role, RunState, TaskState
from engine.orchestrator.swarm import Swarm
from engine.state.fold import fold
from engine.state.snapshot import Snapshot
from tests import simulated
from tests.engine.steering import until
from tests.engine.swarms import fresh, resumed, run
from tests.simulated import MemoryWorkspace, hot_lines
from tests.simulated.hot_lines import LIST, cost, plan, without_markers
from tests.simulated.on_disk import world_on_disk

HOT = [f"hot {number}" for number in range(40)]
COLD = [f"cold {number}" for number in range(40)]


def settings(workers: int = 12, precedence: str = "10m") -> Settings:
    return Settings(swarm=SwarmSettings(workers=workers), landing=LandingSettings(precedence))


def titles_in(world: simulated.World) -> list[str]:
    return [line.removeprefix("- ") for line in world.trunk.files[LIST].decode().splitlines()[3:]]


def waiting(swarm: Swarm) -> int:
    return len(swarm.snapshot.waiting_landings)


@pytest.mark.parametrize("seed", range(3))
def test_forty_tasks_that_append_to_one_line_all_land_with_one_resolution_each(seed: int) -> None:
    def examine(swarm: Swarm, w: simulated.World, outcome: object) -> None:
        found = cost(swarm, w)
        assert (found.landed, found.failed) == (40, 0)
        assert sorted(titles_in(w)) == sorted(HOT)
        assert found.conflicts <= 1.2 * 40
        assert not any(agent.role is Role.RESOLVER for agent in swarm.snapshot.agents.values())
        assert not swarm.snapshot.claims

    run(plan(HOT), examine, settings=settings(), files=hot_lines.FILES, shell=hot_lines.shell, seed=seed)


@pytest.mark.parametrize(("union", "conflicts"), [((), 11), ([LIST], 0)])
def test_a_hot_line_on_a_real_trunk_takes_one_resolution_each_or_none_if_the_file_may_be_merged_by_union(
    tmp_path: Path, union: list[str], conflicts: int
) -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = await world_on_disk(
            tmp_path,
            clock,
            plan(HOT[:12]),
            seed=1,
            shell=hot_lines.shell,
            disk=simulated.Disk(clock),
            files=hot_lines.FILES,
            union=union,
        )
        await w.open()
        swarm = fresh(w, settings())
        assert (await swarm.run()).status is ExitStatus.DONE
        assert cost(swarm, w).landed == 12
        assert cost(swarm, w).conflicts <= conflicts
        assert sorted(titles_in(w)) == sorted(HOT[:12])
        await w.journal.close()

    simulated.simulate(main)


@pytest.mark.parametrize("real", [False, True], ids=["simulated", "on a real trunk"])
def test_landings_in_other_lines_of_a_file_do_not_wait_for_a_conflict_in_it(tmp_path: Path, real: bool) -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        titles = [*HOT[:8], *(f"warm {number}" for number in range(16))]
        files, shell = hot_lines.LONG, hot_lines.shell
        w: simulated.World = simulated.world(clock, plan(titles), files=files, shell=shell)
        if real:
            disk = simulated.Disk(clock)
            w = await world_on_disk(tmp_path, clock, plan(titles), seed=1, shell=shell, disk=disk, files=files)
        await w.open()
        swarm = fresh(w, settings())
        assert (await swarm.run()).status is ExitStatus.DONE
        assert cost(swarm, w).landed == 24
        assert cost(swarm, w).conflicts <= 7
        tasks = swarm.snapshot.tasks
        waits = [event.task for event in w.journal.surviving() if isinstance(event.body, e.LandingWaits)]
        assert {tasks[task].spec.title.split()[0] for task in waits if task} == {"hot"}
        await w.journal.close()

    simulated.simulate(main)


def test_tasks_on_other_paths_do_not_wait_even_if_more_landings_wait_than_there_are_worker_slots() -> None:
    def examine(swarm: Swarm, w: simulated.World, outcome: object) -> None:
        assert cost(swarm, w).landed == 70
        ends = [event for event in w.journal.surviving() if isinstance(event.body, e.TaskEnded)]
        ended = [swarm.snapshot.tasks[event.task].spec.title for event in ends if event.task]
        assert sum(title.startswith("hot") for title in ended[: ended.index("cold 39")]) <= 20

    run(plan(HOT[:30] + COLD), examine, settings=settings(4), files=hot_lines.FILES, shell=hot_lines.shell)


def test_who_waits_for_whom_is_recorded_and_shown_and_can_be_replayed() -> None:
    def examine(swarm: Swarm, w: simulated.World, outcome: object) -> None:
        events = w.journal.surviving()
        waits = [event.body.behind for event in events if isinstance(event.body, e.LandingWaits)]
        assert {path for behind in waits for path in behind} == {LIST}
        paths = set(swarm.snapshot.paths)
        assert {agent for behind in waits for agent in behind.values()} <= paths
        doing = {event.body.doing for event in events if isinstance(event.body, e.AgentStateChanged)}
        assert {f"waits to land {LIST}: after {behind[LIST]}" for behind in waits} <= doing
        replayed, most = Snapshot(), 0
        for event in events:
            fold(replayed, event)
            most = max(most, len(replayed.waiting_landings))
        assert most > 1
        assert replayed == swarm.snapshot

    run(plan(HOT[:5]), examine, settings=settings(), files=hot_lines.FILES, shell=hot_lines.shell)


def test_two_paths_in_opposite_order_do_not_block_each_other() -> None:
    files = {**hot_lines.FILES, "OTHER.md": b"# Other\n\n- first\n"}

    def shell(workspace: MemoryWorkspace, command: str) -> str:
        for path in (LIST, "OTHER.md"):
            if command.startswith("append"):
                workspace.files[path] += f"- {command}\n".encode()
            elif command == "resolve":
                workspace.files[path] = without_markers(workspace.files[path])
        return "ok"

    def examine(swarm: Swarm, w: simulated.World, outcome: object) -> None:
        assert (cost(swarm, w).landed, cost(swarm, w).conflicts) == (10, 9)

    run(plan(HOT[:10]), examine, settings=settings(), files=files, shell=shell)


def test_waiting_does_not_count_towards_the_time_limit_of_a_task() -> None:
    def shell(workspace: MemoryWorkspace, command: str) -> simulated.Ran:
        return simulated.Ran(0, hot_lines.shell(workspace, command), 30.0 if command == "look" else 0.1)

    def examine(swarm: Swarm, w: simulated.World, outcome: object) -> None:
        assert w.clock.elapsed > 7 * 30
        assert [task.attempt for task in swarm.snapshot.tasks.values()] == [1] * 8
        assert cost(swarm, w).landed == 8

    limited = replace(settings(), task=TaskSettings(timeout="60s"))
    run(plan(HOT[:8]), examine, settings=limited, files=hot_lines.FILES, shell=shell)


# --- holders and waiters that do not go on -------------------------------------------------------------------


class Story:
    """A swarm of hot tasks whose first resolution stops at `look` until the test lets it go on."""

    def __init__(self, w: simulated.World, swarm: Swarm, held: asyncio.Event) -> None:
        self.w, self.swarm, self.held = w, swarm, held
        self.running = asyncio.ensure_future(swarm.run())

    @property
    def holder(self) -> Agent:
        [claim] = [claim for claim in self.swarm.snapshot.claims.values() if claim.until]
        return self.swarm.snapshot.agents[claim.agent]

    @property
    def first_waiting(self) -> Agent:
        claim = next(claim for claim in self.swarm.snapshot.claims.values() if not claim.until)
        return self.swarm.snapshot.agents[claim.agent]

    async def all_wait(self, count: int) -> None:
        await until(self.swarm, lambda swarm: waiting(swarm) == count)

    async def end(self) -> list[str]:
        """Let the holder go on, and wait for the end; the titles that landed, in order."""
        self.held.set()
        assert (await self.running).status is ExitStatus.DONE
        assert not self.swarm.snapshot.claims
        return titles_in(self.w)


def story(tell: Callable[[Story], object], count: int = 5, precedence: str = "10m") -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        held, begun = asyncio.Event(), asyncio.Event()

        async def shell(workspace: MemoryWorkspace, command: str) -> str:
            if command == "look" and not begun.is_set():
                begun.set()
                await held.wait()
            return hot_lines.shell(workspace, command)

        w = simulated.world(clock, plan(HOT[:count]), files=hot_lines.FILES, shell=shell)
        await tell(Story(w, fresh(w, settings(precedence=precedence)), held))  # type: ignore[misc]

    simulated.simulate(main)


def test_a_landing_that_waits_is_cancelled_at_once_and_those_behind_it_go_on() -> None:
    async def tell(story: Story) -> None:
        await story.all_wait(3)
        agent, title = story.first_waiting, story.first_waiting.title
        await story.swarm.submit(c.Cancel(agent.path, "not wanted"))
        await until(story.swarm, lambda swarm: swarm.snapshot.agents[agent.id].ended)
        assert waiting(story.swarm) == 2
        landed = await story.end()
        assert sorted([*landed, title]) == HOT[:5]

    story(tell)


def test_nobody_waits_for_a_paused_resolution_which_lands_after_it_is_resumed() -> None:
    async def tell(story: Story) -> None:
        await story.all_wait(3)
        path, title = story.holder.path, story.holder.title
        await story.swarm.submit(c.Pause(path))
        await until(story.swarm, lambda swarm: swarm.snapshot.task_counts[TaskState.LANDED] == 4)
        await story.swarm.submit(c.Resume(path))
        assert (await story.end())[-1] == title

    story(tell)


def test_a_cancelled_resolution_lets_the_next_landing_go_on() -> None:
    async def tell(story: Story) -> None:
        await story.all_wait(3)
        await story.swarm.submit(c.Cancel(story.holder.path, "not wanted"))
        await until(story.swarm, lambda swarm: swarm.snapshot.task_counts[TaskState.LANDED] == 4)
        assert len(await story.end()) == 4

    story(tell)


def test_a_resolution_that_takes_too_long_loses_its_precedence_but_still_lands() -> None:
    async def tell(story: Story) -> None:
        await story.all_wait(3)
        title = story.holder.title
        await until(story.swarm, lambda swarm: swarm.snapshot.task_counts[TaskState.LANDED] == 4)
        assert story.w.clock.elapsed > 60
        ended = [event for event in story.w.journal.surviving() if isinstance(event.body, e.PrecedenceEnded)]
        assert len(ended) == 1
        assert (await story.end())[-1] == title

    story(tell, precedence="1m")


def test_a_message_reaches_a_worker_whose_landing_waits() -> None:
    async def tell(story: Story) -> None:
        await story.all_wait(3)
        agent = story.first_waiting
        await story.swarm.submit(c.Steer(agent.path, "and be kind"))
        await until(story.swarm, lambda swarm: not swarm.snapshot.inboxes.get(agent.id))
        assert len(await story.end()) == 5

    story(tell)


def test_a_run_with_waiting_landings_can_be_paused_and_resumed() -> None:
    async def tell(story: Story) -> None:
        await story.all_wait(3)
        await story.swarm.submit(c.Pause())
        story.held.set()
        await until(story.swarm, lambda swarm: swarm.snapshot.state is RunState.PAUSED)
        await story.w.clock.sleep(30)
        assert story.swarm.snapshot.task_counts[TaskState.LANDED] == 1
        waits = [agent for agent in story.swarm.snapshot.agents.values() if agent.state is AgentState.PAUSED]
        assert len(waits) == 4
        await story.swarm.submit(c.Resume())
        assert sorted(await story.end()) == HOT[:5]

    story(tell)


def test_a_run_with_waiting_landings_stops_at_once_and_resumes() -> None:
    async def tell(story: Story) -> None:
        await story.all_wait(3)
        story.held.set()
        before = story.w.clock.elapsed
        await story.swarm.submit(c.Stop("enough"))
        assert (await story.running).status is ExitStatus.STOPPED
        assert story.w.clock.elapsed - before < 5
        story.w.crash()
        w = story.w.restart()
        again = await resumed(w, settings())
        assert not again.snapshot.waiting_landings
        assert (await again.run()).status is ExitStatus.DONE
        assert sorted(titles_in(w)) == HOT[:5]

    story(tell)


def test_a_resolution_keeps_its_precedence_when_its_attempt_continues_after_a_kill() -> None:
    async def tell(story: Story) -> None:
        await story.all_wait(3)
        holder = story.holder
        story.held.set()
        story.w.crash()
        story.running.cancel()
        await story.w.bury([task for task in asyncio.all_tasks() if task is not asyncio.current_task()])
        w = story.w.restart()
        again = await resumed(w, settings())
        assert [claim.agent for claim in again.snapshot.claims.values()] == [holder.id]
        assert (await again.run()).status is ExitStatus.DONE
        assert titles_in(w)[1] == holder.title, "it lands next, before those that waited"
        assert sorted(titles_in(w)) == HOT[:5]

    story(tell)


@pytest.mark.parametrize("seed", range(12))
def test_a_killed_run_forgets_who_waits_and_lands_every_task_once(seed: int) -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, plan(HOT[:8]), files=hot_lines.FILES, shell=hot_lines.shell, seed=seed)
        swarm = fresh(w, settings())
        w.journal.crash_after(60 + 12 * seed)
        running = asyncio.ensure_future(swarm.run())
        await w.power.failed.wait()
        running.cancel()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        w = w.restart()
        again = await resumed(w, settings())
        assert (await again.run()).status is ExitStatus.DONE
        assert sorted(titles_in(w)) == HOT[:8]
        assert not again.snapshot.claims

    simulated.simulate(main)
