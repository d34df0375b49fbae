"""The survey of the base: what comes before the first model call, in whole runs in the simulated world."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from engine.domain import events as e
from engine.domain.commands import Cancel, Command, Resume, Stop
from engine.domain.conversation import Request, Turn
from engine.domain.errors import ExitStatus
from engine.domain.settings import BudgetSettings, RepoSettings, Settings
from engine.domain.types import ROOT, Check, ModelName, RunState
from engine.orchestrator.swarm import Swarm
from tests import simulated
from tests.engine.agents.checked_runs import bodies
from tests.engine.scripts import call, turn
from tests.engine.swarms import fresh, resumed
from tests.simulated.workspaces import Commands, MemoryWorkspace, Ran, no_commands

_COMMANDS: list["asyncio.Future[None]"] = []
"""Keeps tasks alive."""


def hands_off(model: ModelName, request: Request) -> Turn:
    return turn(call("submit_handoff", status="partial", summary="nothing to do"))


@dataclass
class Known:
    """Implements `Surveys` in memory."""

    passed: Check | None = None
    found: list[Check] = field(default_factory=list)

    def kept(self) -> Check | None:
        return self.passed

    def keep(self, check: Check) -> None:
        self.passed = check

    async def advice(self, check: Check) -> tuple[str, ...]:
        self.found.append(check)
        return ("set [build] setup",)


@dataclass
class Finished:
    swarm: Swarm
    world: simulated.World
    events: list[e.Event]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


def ran(
    passes: bool,
    settings: Settings | None = None,
    *,
    check: bool = True,
    setup: str = "",
    shell: Commands = no_commands,
    surveys: Known | None = None,
    attended: bool = False,
    meanwhile: Callable[[Swarm, simulated.World], None] = lambda swarm, world: None,
) -> Finished:
    async def main(clock: simulated.SimulatedClock) -> Finished:
        w = simulated.world(clock, hands_off, verdict=lambda files: passes, shell=shell)
        w.workspaces.setup, w.checker.command = setup, "make test"
        swarm = fresh(w, settings or Settings(repo=RepoSettings(fixups=0)), check=check, surveys=surveys)
        swarm.attended = attended
        events: list[e.Event] = []
        swarm.on_change(events.append)
        meanwhile(swarm, w)
        await swarm.run()
        return Finished(swarm, w, events)

    return simulated.simulate(main)


def when(swarm: Swarm, kind: type, do: Callable[[], object]) -> None:
    """Do something once, soon after the first event of a kind."""
    done: list[bool] = []

    def look(event: e.Event) -> None:
        if isinstance(event.body, kind) and not done:
            done.append(True)
            asyncio.get_running_loop().call_later(5.0, do)

    swarm.on_change(look)


def command(swarm: Swarm, wanted: Command) -> None:
    _COMMANDS.append(asyncio.ensure_future(swarm.submit(wanted)))


def test_the_base_is_checked_from_nothing_before_any_model_is_asked() -> None:
    run = ran(passes=True)
    kinds = run.kinds()
    assert kinds.index("check_finished") < kinds.index("base_surveyed") < kinds.index("agent_spawned")
    assert run.world.checker.checked == [run.swarm.snapshot.base], "it is not checked again"
    assert run.swarm.snapshot.green == run.swarm.snapshot.base


def test_without_a_person_a_failing_base_is_said_and_the_planner_is_told_before_its_first_call() -> None:
    known = Known()
    run = ran(passes=False, surveys=known)
    [body] = bodies(run.events, e.BaseSurveyed)
    assert not body.survey.check.passed
    assert body.survey.advice == ("set [build] setup",)
    assert known.passed is None, "a failure is not kept: it may be repaired outside of the repo"
    first = run.world.models.asked[0]
    assert "fails on the commit this run starts from: `make test` exited with status 1" in str(first)


def test_a_required_green_base_ends_the_run_with_status_1_before_any_model_call() -> None:
    run = ran(passes=False, settings=Settings(repo=RepoSettings(require_green_base=True)))
    assert run.swarm.snapshot.exit_status == ExitStatus.NOT_GREEN
    assert run.swarm.snapshot.state is RunState.FINISHED
    assert "the check fails in a clean copy: `make test` exited with status 1" in run.swarm.snapshot.reason
    assert run.world.models.asked == []
    assert "agent_spawned" not in run.kinds()
    assert ran(passes=True, settings=Settings(repo=RepoSettings(require_green_base=True))).world.models.asked


def test_a_person_decides_whether_a_run_goes_on_from_a_failing_base() -> None:
    def goes_on(swarm: Swarm, world: simulated.World) -> None:
        def go_on() -> None:
            assert swarm.snapshot.state is RunState.PAUSED
            assert world.models.asked == []

        when(swarm, e.BaseSurveyed, go_on)
        when(swarm, e.BaseSurveyed, lambda: command(swarm, Resume()))

    assert ran(passes=False, attended=True, meanwhile=goes_on).world.models.asked

    def stops(swarm: Swarm, world: simulated.World) -> None:
        when(swarm, e.BaseSurveyed, lambda: command(swarm, Cancel(ROOT, "no")))

    run = ran(passes=False, attended=True, meanwhile=stops)
    assert run.world.models.asked == []
    assert (run.swarm.snapshot.state, run.swarm.snapshot.exit_status) == (RunState.FINISHED, ExitStatus.STOPPED)


def test_a_passed_survey_of_an_earlier_run_is_not_repeated() -> None:
    known = Known()
    first = ran(passes=True, surveys=known)
    assert len(first.world.checker.checked) == 1
    again = ran(passes=True, surveys=known)
    assert again.world.checker.checked == []
    [body] = bodies(again.events, e.BaseSurveyed)
    assert body.survey.kept
    assert again.swarm.snapshot.green == again.swarm.snapshot.base


def test_without_a_check_only_the_environment_is_surveyed() -> None:
    run = ran(passes=False, check=False)
    assert "base_surveyed" not in run.kinds()
    assert run.kinds().index("environment_surveyed") < run.kinds().index("agent_spawned")


def test_planners_are_told_what_commands_find_and_when_the_check_runs_after_what_the_user_wrote() -> None:
    run = ran(passes=True)
    opening = run.world.models.asked[0].request.messages[0].text
    assert opening == (
        "# Intent (version 1)\n\nDo it.\n\n## Environment\n\n"
        "- `python3` 3.14.0 at /usr/bin/python3.14\n"
        "- test and lint tools: `pytest`\n"
        "- named in the project or the intent, but not installed: mypy\n"
        "- commands reach no network: nothing can be downloaded\n"
        "- limits: 10m a command, 4GiB of memory\n"
        "- check: `make test` passed on the first commit in 1 s; it runs on trunk after every 10 landings and at the "
        "end, not while a worker hands off: workers run what covers their change"
    )


def test_the_environment_is_looked_up_once_and_again_only_in_other_conditions() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        async def thinks(model: ModelName, request: Request) -> Turn:
            await asyncio.sleep(1_000)
            return hands_off(model, request)

        w = simulated.world(clock, thinks)
        for conditions, looks in (("as ever", 1), ("as ever", 0), ("with a network", 1)):
            w.environment.conditions = conditions
            swarm = fresh(w) if w.journal.surviving() == [] else await resumed(w)
            running = asyncio.create_task(swarm.run())
            await asyncio.sleep(0.3)
            await swarm.submit(Stop("stop"))
            await running
            assert len(w.environment.looked) == looks
            assert swarm.snapshot.environment is not None
            assert swarm.snapshot.environment.conditions == conditions
            w = w.restart()

    simulated.simulate(main)


def test_planners_at_work_are_told_what_other_settings_have_changed() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        async def thinks(model: ModelName, request: Request) -> Turn:
            if "# Notice" not in str(request.messages):
                await asyncio.sleep(1_000)
            return hands_off(model, request)

        w = simulated.world(clock, thinks)
        running = asyncio.create_task((swarm := fresh(w)).run())
        await asyncio.sleep(0.3)
        await swarm.submit(Stop("stop"))
        await running
        w = w.restart()
        w.environment.conditions = "with a network"
        w.environment.found = replace(w.environment.found, network=True)
        await (await resumed(w)).run()
        told = w.models.asked[-1].request.messages[-1].text
        assert "# Notice\n\nThis is what commands find now:\n\n- " in told
        assert "- commands reach the network\n" in told

    simulated.simulate(main)


def test_a_run_that_was_begun_without_a_look_gets_one_when_it_is_resumed() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, hands_off)
        running = asyncio.create_task((swarm := fresh(w, environment=None)).run())
        await asyncio.sleep(0.3)
        await swarm.submit(Stop("stop"))
        await running
        assert swarm.snapshot.environment is None
        again = await resumed(w.restart())
        await again.run()
        assert again.snapshot.environment is not None

    simulated.simulate(main)


def test_a_failing_setup_command_is_part_of_the_survey_also_without_a_check() -> None:
    def broken(workspace: MemoryWorkspace, command: str) -> Ran:
        return Ran(3, "no network\n") if command == "npm ci" else Ran()

    run = ran(passes=True, check=False, setup="npm ci", shell=broken)
    [body] = bodies(run.events, e.BaseSurveyed)
    assert body.survey.check.outcome == "the setup command `npm ci` exited with status 3"
    assert body.survey.check.output == "no network\n"


def test_a_kept_survey_does_not_hide_that_the_setup_command_fails_now() -> None:
    known = Known()
    ran(passes=True, surveys=known)
    run = ran(passes=False, setup="npm ci", shell=lambda workspace, command: Ran(3, "gone\n"), surveys=known)
    [body] = bodies(run.events, e.BaseSurveyed)
    assert not body.survey.check.passed
    assert run.swarm.snapshot.green is None


def test_stopping_during_the_survey_ends_the_run_and_resuming_it_surveys_again() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, hands_off)
        w.checker.wall_s = 600.0
        swarm = fresh(w, check=True)
        running = asyncio.create_task(swarm.run())
        await asyncio.sleep(10)
        assert swarm.snapshot.reason == "checking the base commit in a clean copy"
        await swarm.submit(Stop("ctrl-c"))
        await running
        assert clock.monotonic() < 60
        assert (swarm.snapshot.state, swarm.snapshot.exit_status) == (RunState.STOPPED, ExitStatus.STOPPED)
        assert swarm.snapshot.base_survey is None
        again = await resumed(w.restart(), check=True)
        await again.run()
        assert again.snapshot.base_survey is not None
        assert again.snapshot.state is RunState.FINISHED

    simulated.simulate(main)


def test_the_environment_is_looked_up_beside_the_check_and_again_if_the_check_left_builds() -> None:
    for builds, looks in ((False, 1), (True, 2)):

        def slow(swarm: Swarm, world: simulated.World, builds: bool = builds) -> None:
            world.checker.wall_s, world.workspaces.has_builds = 600.0, builds
            seen = []

            def when_checked(event: e.Event) -> None:
                if event.kind == "check_finished" and not seen:
                    seen.append(event)
                    assert len(world.environment.looked) == 1, "while the check ran"

            swarm.on_change(when_checked)

        run = ran(passes=True, meanwhile=slow)
        assert len(run.world.environment.looked) == looks
        kinds = run.kinds()
        assert kinds.count("environment_surveyed") == 1
        assert kinds.index("base_surveyed") < kinds.index("environment_surveyed") < kinds.index("agent_spawned")


def test_a_run_does_not_wait_long_for_the_look_at_the_environment_and_planners_are_told_later() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        async def thinks(model: ModelName, request: Request) -> Turn:
            if "# Notice" not in str(request.messages):
                await asyncio.sleep(40)
                return turn(call("wait"))
            return hands_off(model, request)

        w = simulated.world(clock, thinks)
        w.environment.delay_s = 60.0
        swarm = fresh(w, check=True)
        seen: list[str] = []
        swarm.on_change(lambda event: seen.append(event.kind))
        await swarm.run()
        assert seen.index("agent_spawned") < seen.index("environment_surveyed")
        first, last = w.models.asked[0].request.messages, w.models.asked[-1].request.messages
        assert "## Environment" not in str(first)
        assert "This is what commands find now:\n\n- `python3` 3.14.0" in last[-1].text

    simulated.simulate(main)


def test_a_look_at_the_environment_that_goes_on_ends_with_the_run() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, hands_off)
        w.environment.delay_s = 10_000.0
        await fresh(w, check=True).run()
        assert clock.monotonic() < 60
        assert w.environment.looked == []

    simulated.simulate(main)


def test_a_setup_command_comes_before_the_look_at_the_environment() -> None:
    def watch(swarm: Swarm, world: simulated.World) -> None:
        def when_set_up(event: e.Event) -> None:
            if event.kind == "base_surveyed":
                assert not world.environment.looked

        swarm.on_change(when_set_up)

    run = ran(passes=True, check=False, setup="npm ci", shell=lambda *_: Ran(), meanwhile=watch)
    assert run.world.workspaces.set_up_at
    assert len(run.world.environment.looked) == 1


def test_a_time_budget_ends_the_survey() -> None:
    def slow(swarm: Swarm, world: simulated.World) -> None:
        world.checker.wall_s = 3_600.0

    settings = Settings(budget=BudgetSettings(wall="1m"))
    run = ran(passes=True, settings=settings, meanwhile=slow)
    assert run.swarm.snapshot.exit_status == ExitStatus.BUDGET
    assert run.swarm.snapshot.base_survey is None
    assert run.world.models.asked == []


def test_a_resumed_run_does_not_survey_again_but_sets_up_its_workspaces() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, hands_off)
        w.workspaces.setup = "npm ci"
        swarm = fresh(w, check=True)
        running = asyncio.create_task(swarm.run())
        await asyncio.sleep(1.2)
        assert swarm.snapshot.root is not None
        await swarm.submit(Stop("stop"))
        await running
        after = w.restart()
        after.workspaces.setup = "npm ci"
        again = await resumed(after, check=True)
        seen: list[str] = []
        again.on_change(lambda event: seen.append(event.kind))
        await again.run()
        assert "base_surveyed" not in seen
        assert after.workspaces.set_up_at

    simulated.simulate(main)
