"""Checks from nothing and on earlier builds: which is made when, which one counts, and what makes a commit green."""

import asyncio

import pytest

from engine.domain import events as e
from engine.domain.commands import Stop
from engine.domain.conversation import Request, Turn
from engine.domain.errors import ExitStatus
from engine.domain.settings import Settings
from engine.domain.types import Check, CheckPurpose, ModelName, TaskKind
from engine.policy.clean_checks import MOST_WARM
from tests import simulated
from tests.engine.agents.checked_runs import bodies, checked, one_at_a_time, passes
from tests.engine.scripts import Script, done, numbered, said, tasks, turns, writes
from tests.engine.swarms import fresh, resumed
from tests.simulated import call, first_line, turn
from tests.simulated.merge import Tree


def checks(events: list[e.Event], purpose: CheckPurpose = CheckPurpose.SNAPSHOT) -> list[Check]:
    return [body.check for body in bodies(events, e.CheckFinished) if body.check.purpose is purpose]


def outcomes(events: list[e.Event]) -> str:
    """Each check of trunk as a letter: of its verdict, in upper case if it ran from nothing."""
    letters = ("g" if check.passed else "r" for check in checks(events))
    return "".join(
        letter.upper() if check.clean else letter for letter, check in zip(letters, checks(events), strict=True)
    )


def anything(files: Tree) -> bool:
    return True


def in_order(*files: tuple[str, str]) -> Script:
    """Lands one file after the other; fixups change nothing."""

    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            ended = said(request).count("# Handoff: step")
            spawned = sum("spawn_tasks" in str(message.blocks) for message in request.messages)
            if ended == spawned and ended < len(files):
                return tasks(f"step {ended}")
            waits = ended < spawned or (turns(request) and "not yet" in str(request.messages[-1].blocks))
            return turn(call("wait")) if waits else done()
        if heading.startswith("# Repair"):
            return done("nothing found")
        return done() if turns(request) else writes(*files[int(heading.rpartition(" ")[2])])

    return script


def test_green_moves_only_to_commits_that_passed_from_nothing_and_the_last_one_has() -> None:
    swarm, _w, events = checked(numbered(30, set()), anything, one_at_a_time(1), warm=anything)
    by_commit = {check.commit for check in checks(events) if check.clean and check.passed}
    assert {body.commit for body in bodies(events, e.GreenMoved)} == by_commit
    assert swarm.snapshot.green == swarm.snapshot.trunk
    assert swarm.snapshot.exit_status == ExitStatus.DONE
    assert 0 < len(by_commit) < 10, "most checks start from earlier builds"


def test_a_run_whose_newest_commit_has_passed_from_nothing_is_not_checked_again_at_its_end() -> None:
    _swarm, _w, events = checked(numbered(3, set()), anything, one_at_a_time(1))
    assert outcomes(events) == "GGGG"
    _swarm, _w, events = checked(numbered(3, set()), anything, one_at_a_time(100), warm=anything)
    assert outcomes(events) == "GG", "nor checked on earlier builds first"


def test_a_commit_that_passes_only_on_earlier_builds_ends_the_run_red_without_being_green() -> None:
    swarm, w, events = checked(numbered(4, {3}, mend=False), passes, one_at_a_time(1), warm=anything)
    assert swarm.snapshot.exit_status == ExitStatus.NOT_GREEN
    assert swarm.snapshot.green is not None
    assert passes(w.commits.made[swarm.snapshot.green].files)
    overruling = [check for check in checks(events) if check.overrules]
    assert overruling
    assert all(check.clean and not check.passed for check in overruling)


def test_a_commit_that_passes_only_on_earlier_builds_is_repaired_like_any_that_fails() -> None:
    swarm, w, events = checked(numbered(4, {3}), passes, one_at_a_time(1), warm=anything)
    assert swarm.snapshot.exit_status == ExitStatus.DONE
    assert swarm.snapshot.green == swarm.snapshot.trunk
    assert [task.kind for task in swarm.snapshot.tasks.values()].count(TaskKind.FIXUP) == 1
    [broken] = bodies(events, e.BreakTraced)
    [culprit] = broken.broken.suspects
    assert w.commits.made[culprit].files["part-3.txt"] == b"bug\n", "the search ran from nothing, too"
    assert all(check.clean for check in checks(events, CheckPurpose.BISECT))


def test_a_commit_that_fails_only_on_earlier_builds_is_green_and_gets_no_fixup() -> None:
    swarm, _w, events = checked(numbered(4, set()), anything, one_at_a_time(1), warm=lambda files: False)
    assert swarm.snapshot.green == swarm.snapshot.trunk
    assert not any(task.kind is TaskKind.FIXUP for task in swarm.snapshot.tasks.values())
    assert outcomes(events).startswith("GrG")
    assert [check.overrules for check in checks(events)][:3] == [False, False, True]


def test_when_the_two_disagree_all_builds_are_discarded() -> None:
    _swarm, _w, events = checked(numbered(4, set()), anything, one_at_a_time(1), warm=lambda files: False)
    assert outcomes(events) == "GrGGrGG", "the check after an overruling one has no builds"


def test_a_failure_on_earlier_builds_is_confirmed_from_nothing_and_then_searched_for_on_builds() -> None:
    swarm, w, events = checked(numbered(8, {5}), passes, one_at_a_time(2), warm=passes)
    assert "gGr" not in outcomes(events)
    assert "rR" in outcomes(events)
    [broken] = bodies(events, e.BreakTraced)
    assert [w.commits.made[commit].files["part-5.txt"] for commit in broken.broken.suspects] == [b"bug\n"]
    assert not all(check.clean for check in checks(events, CheckPurpose.BISECT))
    assert swarm.snapshot.green == swarm.snapshot.trunk


@pytest.mark.parametrize("path", ["Makefile", "sub/Cargo.toml", ".github/workflows/ci.yml", "uv.lock", "conftest.py"])
def test_a_change_of_how_the_project_is_built_is_checked_from_nothing(path: str) -> None:
    script = in_order(("a.txt", "x"), ("b.txt", "x"), (path, "x"), ("c.txt", "x"))
    swarm, _w, events = checked(script, anything, one_at_a_time(1), warm=anything)
    assert outcomes(events) == "GggGgG", "the base, two landings, the build file, one landing, and the end"
    assert swarm.snapshot.green == swarm.snapshot.trunk


def test_every_so_often_a_check_runs_from_nothing() -> None:
    _swarm, _w, events = checked(numbered(25, set()), anything, one_at_a_time(1), warm=anything)
    assert outcomes(events) == f"G{'g' * MOST_WARM}G{'g' * MOST_WARM}G{'g' * 5}G"


def test_checks_on_earlier_builds_that_save_no_time_are_every_second_one() -> None:
    events: list[e.Event] = []

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, in_order(*((f"{number}.txt", "x") for number in range(5))))
        w.checker.warm_verdict, w.checker.warm_wall_s = anything, w.checker.wall_s
        swarm = fresh(w, one_at_a_time(1), check=True)
        swarm.on_change(events.append)
        await swarm.run()

    simulated.simulate(main)
    assert outcomes(events) == "GgGgGgG"


def resumed_after_green(verdict: bool, command: str = "") -> tuple[ExitStatus, list[e.Event]]:
    """A run that stops once its newest commit has passed, and is resumed with a check of this command and verdict."""
    more: list[e.Event] = []

    async def main(clock: simulated.SimulatedClock) -> ExitStatus:
        def script(model: ModelName, request: Request) -> Turn:
            heading = first_line(request)
            return done() if not heading.startswith("# Intent") or len(w.models.asked) > 1 else tasks("a")

        w = simulated.world(clock, script)
        swarm = fresh(w, check=True)
        passed = asyncio.Event()
        swarm.on_change(lambda event: passed.set() if isinstance(event.body, e.GreenMoved) else None)
        running = asyncio.ensure_future(swarm.run())
        await passed.wait()
        await swarm.submit(Stop())
        await running
        w = w.restart()
        w.checker.command, w.checker.verdict = command, lambda files: verdict
        swarm = await resumed(w, Settings(), check=True)
        swarm.on_change(more.append)
        return (await swarm.run()).status

    return simulated.simulate(main), more


def test_a_run_that_is_resumed_with_another_check_is_checked_again() -> None:
    status, events = resumed_after_green(True)
    assert (status, outcomes(events)) == (ExitStatus.DONE, "")
    status, events = resumed_after_green(True, "another check")
    assert (status, outcomes(events)) == (ExitStatus.DONE, "G")
    status, events = resumed_after_green(False, "another check")
    assert status is ExitStatus.NOT_GREEN
    assert outcomes(events).startswith("R")
    [move] = bodies(events, e.GreenMoved)
    assert move.commit is None, "what only another check has passed is taken back"
    assert bodies(events, e.Published)[-1].green is None


def test_green_stays_where_it_has_passed_when_the_same_check_fails_later() -> None:
    status, events = resumed_after_green(False)
    assert (status, bodies(events, e.GreenMoved)) == (ExitStatus.DONE, [])
