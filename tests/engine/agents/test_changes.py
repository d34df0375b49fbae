"""Messages about a changed intent or slice: the difference first, then what is under way, then the whole text."""

import asyncio

from engine.agents.changes import difference
from engine.domain.commands import Rescope
from engine.domain.conversation import Request, Turn
from engine.domain.settings import Settings, SwarmSettings
from engine.domain.types import AgentPath, ModelName
from tests import simulated
from tests.engine.scripts import done, said, tasks, turns, writes
from tests.engine.steering import until
from tests.engine.swarms import fresh
from tests.simulated import call, first_line, turn


def test_a_difference_shows_only_what_changed() -> None:
    old = "\n".join(f"- rule {number}" for number in range(40))
    new = old.replace("- rule 20", "- rule 20, for all platforms")
    assert difference(old, new).splitlines() == [
        "```diff",
        "@@",
        " - rule 19",
        "-- rule 20",
        "+- rule 20, for all platforms",
        " - rule 21",
        "```",
    ]


def test_code_in_a_text_cannot_end_its_difference() -> None:
    lines = difference("a", "a\n```\nb\n```").splitlines()
    assert lines[0] == "```diff"
    assert [line for line in lines[1:] if line.startswith("```")] == ["```"], "only the last line ends it"


def test_a_long_text_that_is_new_is_not_shown_twice() -> None:
    old = "\n".join(f"- rule {number} of the old intent" for number in range(100))
    new = "\n".join(f"- demand {number} of the new intent" for number in range(100))
    assert difference(old, new) == "Little of the old text is left: read all of the new one."


def script(model: ModelName, request: Request) -> Turn:
    heading = first_line(request)
    if heading.startswith("# Intent"):
        if turns(request) == 0:
            return turn(call("spawn_subplanner", title="Half", goal="own half", scope="src/**"))
        return turn(call("wait")) if "# Handoff: " not in said(request) else done()
    if heading.startswith("# Slice"):
        if turns(request) == 0:
            return tasks("a")
        return done() if "# Message from the user" in said(request) and "# Handoff: a" in said(request) else WAIT
    return done() if turns(request) else writes("a.txt", "a\n")


WAIT = turn(call("wait"))


def rescoped(goal: str, scope: str) -> str:
    """What the subplanner is told when the user changes its slice, up to its status."""

    async def main(clock: simulated.SimulatedClock) -> str:
        w = simulated.world(clock, script)
        swarm = fresh(w, Settings(swarm=SwarmSettings(workers=0)))
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, lambda swarm: len(swarm.snapshot.tasks) == 1)
        await swarm.submit(Rescope(AgentPath("root/half"), goal, scope))
        child = swarm.snapshot.paths[AgentPath("root/half")]
        await until(swarm, lambda swarm: not swarm.snapshot.inboxes.get(child))
        running.cancel()
        await asyncio.wait([running])
        slices = [each.request for each in w.models.asked if first_line(each.request).startswith("# Slice")]
        [task] = swarm.snapshot.tasks
        told = said(slices[-1]).partition("# Message from the user\n\n")[2].partition("\n\n# Status")[0]
        return told.replace(task, "TASK")

    return simulated.simulate(main)


REST = (
    "## Under way\n\n- TASK a: queued, 0 s\n\n"
    "Change or cancel what no longer belongs to it, tell your own subplanners what concerns them, keep the rest, and "
    "spawn\n"
    "what is missing."
)


def test_a_slice_that_the_user_changes_says_what_changed_then_what_is_under_way_then_the_whole() -> None:
    told = rescoped("own half\nand its tests", "")
    diff = "```diff\n@@\n own half\n+and its tests\n```"
    assert told == (
        f"Your slice has changed. What changed in your goal:\n\n{diff}\n\n"
        f"{REST}\n\n## Your whole slice\n\nown half\nand its tests\n\nScope: src/**"
    )


def test_a_goal_that_stays_is_not_repeated() -> None:
    told = rescoped("own half", "src/**, tests/**")
    assert told == f"Your slice has changed. Your scope is now: src/**, tests/** (before: src/**)\n\n{REST}"
