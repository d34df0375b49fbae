"""Green: when trunk is checked, what broke it, who repairs it; green is never on a commit without a passed check."""

import asyncio
import random
import re

import pytest

from engine.domain import events as e
from engine.domain.conversation import Request, Turn
from engine.domain.errors import ExitStatus
from engine.domain.settings import RepoSettings, Settings, SwarmSettings
from engine.domain.types import CheckPurpose, CommitId, ModelName, TaskKind, TaskState
from engine.policy.bisection import trace
from tests import simulated
from tests.engine.agents.checked_runs import bodies, checked, one_at_a_time, passes
from tests.engine.scripts import done, numbered, planner_of, said, tasks, turns, writes
from tests.simulated import answers, call, first_line, turn


def test_the_landing_that_broke_trunk_is_found_and_reported_and_green_is_right_before_it() -> None:
    swarm, w, events = checked(numbered(8, {5}), passes, one_at_a_time(8))
    [broken] = bodies(events, e.BreakTraced)
    [culprit] = broken.broken.suspects
    assert w.commits.made[culprit].files["part-5.txt"] == b"bug\n"
    assert [swarm.snapshot.tasks[id].spec.title for id in broken.broken.tasks] == ["part 5"]
    assert broken.broken.checks == 3, "eight commits need three checks"
    repair = next(asked.request for asked in w.models.asked if first_line(asked.request).startswith("# Repair"))
    assert "It broke with this change:" in said(repair)
    assert "part 5" in said(repair)
    moves = [body.commit for body in bodies(events, e.GreenMoved)]
    assert w.commits.made[culprit].parent in moves, "green moves to what passes on the way"
    assert swarm.snapshot.green == swarm.snapshot.trunk
    assert swarm.snapshot.broken is None
    assert swarm.snapshot.error_rate == pytest.approx(1 / 3), "checks of the bisection do not count"


def test_the_search_is_limited_and_names_the_remaining_suspects() -> None:
    swarm, _w, events = checked(numbered(8, {5}), passes, one_at_a_time(8, bisect_checks=1))
    [body] = bodies(events, e.BreakTraced)
    assert (body.broken.checks, len(body.broken.suspects)) == (1, 4)
    assert swarm.snapshot.green == swarm.snapshot.trunk, "the fixup repairs it all the same"


def test_on_a_red_base_green_stays_empty_and_the_planner_is_told_and_repairs_it() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            if turns(request) == 0:
                return tasks("other")
            if "# Check" in said(request) and not any(text.endswith(" mend") for text in told(request)):
                return tasks("mend")
            return done() if said(request).count("# Handoff: ") == 2 else turn(call("wait"))
        name = heading.removeprefix("# Task: ")
        return done() if turns(request) else writes("src/app.py" if name == "mend" else "other.txt", f"{name}\n")

    swarm, w, events = checked(script, lambda files: files["src/app.py"] == b"mend\n")
    rates = [mark.passed for mark in swarm.snapshot.marks]
    assert rates[0] is False, "the error rate starts with the base"
    assert rates[-1] is True
    first_green = bodies(events, e.GreenMoved)[0].commit
    assert w.commits.made[first_green].files["src/app.py"] == b"mend\n"
    assert swarm.snapshot.green == swarm.snapshot.trunk
    assert not any(task.kind is TaskKind.FIXUP for task in swarm.snapshot.tasks.values())
    assert swarm.snapshot.exit_status == ExitStatus.DONE


def told(request: Request) -> list[str]:
    """All answers of its tools."""
    return [
        block.text for m in request.messages for block in m.blocks if isinstance(block, simulated.models.ToolAnswer)
    ]


def test_a_red_base_that_nobody_repairs_ends_red_after_limited_fixups_without_green() -> None:
    swarm, _w, _events = checked(numbered(2, set(), mend=False), lambda files: False)
    assert swarm.snapshot.green is None
    assert swarm.snapshot.exit_status == ExitStatus.NOT_GREEN
    assert sum(task.kind is TaskKind.FIXUP for task in swarm.snapshot.tasks.values()) == Settings().repo.fixups


def test_a_red_base_on_which_nothing_lands_does_not_wake_a_planner_again_and_again() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        return turn(call("submit_handoff", status="partial", summary="nothing that I could change"))

    swarm, w, events = checked(script, lambda files: False, limit=3_600)
    assert swarm.snapshot.exit_status == ExitStatus.NOT_GREEN
    told = [
        body for body in bodies(events, e.MessageQueued) if "on the commit this run starts from" in body.message.text
    ]
    assert len(told) == 1 + Settings().repo.fixups, "at the start, and after each fixup"
    assert len(w.models.asked) < 20


def test_after_fixups_have_failed_the_planner_is_told_once_and_plans_the_repair() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            if turns(request) == 0:
                return tasks("breaks")
            if "fixups did not repair it" in said(request) and not any("mend" in text for text in told(request)):
                return tasks("mend")
            return done() if not outstanding(request) else turn(call("wait"))
        if heading.startswith("# Repair"):
            return done("nothing found")
        return done() if turns(request) else writes("part.txt", "bug\n" if heading.endswith("breaks") else "fine\n")

    def outstanding(request: Request) -> bool:
        asked = sum(text.count("queued: ") for text in told(request))
        heard = said(request).count("# Handoff: ") - said(request).count("# Handoff: make the check pass again")
        return heard < asked

    swarm, _w, events = checked(script, passes)
    assert len(bodies(events, e.FixupsExhausted)) == 1
    assert swarm.snapshot.green == swarm.snapshot.trunk
    assert swarm.snapshot.exit_status == ExitStatus.DONE


def test_trunk_is_checked_at_intervals_if_the_settings_say_so_and_only_if_it_has_moved() -> None:
    plan = planner_of(*(f"part {number}" for number in range(4)))

    async def slowly(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return plan(request)
        await asyncio.sleep(1_000)
        return done() if turns(request) else writes(f"{first_line(request)[8:]}.txt", "x\n")

    swarm, _w, _events = checked(slowly, passes, one_at_a_time(1_000, check_every="10m"))
    commits = [mark.commit for mark in swarm.snapshot.marks]
    assert len(commits) == len(set(commits)) == 5, "the base and each landing, each once"


def test_over_300_landings_of_which_a_tenth_break_the_check_the_error_rate_stays_level_and_green_passes() -> None:
    broken = set(random.Random(7).sample(range(300), 30))
    settings = Settings(swarm=SwarmSettings(workers=8), repo=RepoSettings(check_landings=5))
    script = numbered(300, broken)

    async def at_a_models_pace(model: ModelName, request: Request) -> Turn:
        await asyncio.sleep(60 if first_line(request).startswith("# Task") else 5)
        return script(model, request)

    swarm, w, events = checked(at_a_models_pace, passes, settings)
    s = swarm.snapshot
    fixups = [task for task in s.tasks.values() if task.kind is TaskKind.FIXUP]
    assert s.task_counts[TaskState.LANDED] + s.task_counts[TaskState.UNCHANGED] == 300 + len(fixups)
    assert len([task for task in fixups if task.commit]) >= 10, "fixups land, too"
    for move in bodies(events, e.GreenMoved):
        assert passes(w.commits.made[move.commit].files), "green always passes"
    marks = list(s.marks)
    thirds = [marks[len(marks) * k // 3 : len(marks) * (k + 1) // 3] for k in range(3)]
    rates = [sum(not mark.passed for mark in third) / len(third) for third in thirds]
    assert max(rates) < 0.8, rates
    assert rates[2] <= rates[0] + 0.25, f"the error rate does not grow: {rates}"
    assert s.green == s.trunk
    searches = [mark for mark in bodies(events, e.CheckFinished) if mark.check.purpose is CheckPurpose.BISECT]
    traced = bodies(events, e.BreakTraced)
    assert len(searches) == sum(body.broken.checks for body in traced)


@pytest.mark.parametrize("bad", range(16))
async def test_bisection_finds_every_position_in_a_logarithmic_number_of_checks(bad: int) -> None:
    commits = [CommitId(str(number)) for number in range(16)]

    async def passes(commit: CommitId) -> bool:
        return int(commit) < bad

    suspects, made = await trace(commits, passes, 10)
    assert suspects == (commits[bad],)
    assert made <= 4


async def test_bisection_first_looks_after_the_last_repair() -> None:
    asked = []

    async def passes(commit: CommitId) -> bool:
        asked.append(commit)
        return commit == "mended"

    commits = [CommitId(name) for name in ("broke", "x", "y", "mended", "broke again")]
    assert await trace(commits, passes, 6, {CommitId("mended")}) == ((CommitId("broke again"),), 1)
    assert asked == ["mended"]


def test_a_task_that_replaces_a_failed_fixup_inherits_what_it_noted() -> None:
    told: list[str] = []

    def plan(request: Request) -> Turn:
        if turns(request) == 0:
            return tasks("a")
        failed = re.findall(r"from: task (\w+)\nstatus: failed", said(request))
        if failed and not told:
            return turn(call("spawn_tasks", tasks=[{"title": "repair", "goal": "do it", "replaces": failed[-1]}]))
        return done() if any("nothing is outstanding" in text for text in answers(request)) else turn(call("wait"))

    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            return plan(request)
        if heading.startswith("# Repair"):
            note = call("rewrite_scratchpad", text="it is the parser")
            return turn(call("submit_handoff", status="failed", summary="cannot")) if turns(request) else turn(note)
        if heading == "# Task: repair":
            told.append(said(request))
        return done() if turns(request) else writes("a.txt", "bug\n" if heading == "# Task: a" else "fine\n")

    swarm, _, _ = checked(script, passes)
    assert swarm.snapshot.green == swarm.snapshot.trunk
    assert "Its notes:\n\n> it is the parser" in told[0]
