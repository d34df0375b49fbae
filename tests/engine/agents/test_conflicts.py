"""A conflict comes with its reasons: what landed meanwhile in the files, why, and how trunk differs there."""

import asyncio
from pathlib import Path

import pytest
from msgspec import structs

from engine.agents import landing
from engine.agents.landed_meanwhile import Landed
from engine.agents.marked_regions import marked_regions
from engine.domain import events as e
from engine.domain.conversation import Request, Turn
from engine.domain.errors import ExitStatus
from engine.domain.handoff_facts import Finding
from engine.domain.settings import Settings, SwarmSettings
from engine.domain.types import CommitId, Handoff, HandoffStatus, HandoffText, LandingState, ModelName, Role, TaskState
from engine.orchestrator.swarm import Swarm
from engine.ports.protocols import LandResult
from tests import simulated
from tests.engine.scripts import done, said, turns, writes
from tests.engine.swarms import PROMPTS, fresh, resumed, run
from tests.simulated import answers, call, first_line, turn
from tests.simulated.hot_lines import without_markers
from tests.simulated.on_disk import world_on_disk

TABLE = "src/table.py"
LINES = [f"line {number}\n" for number in range(1, 61)]
FILES = {"README.md": b"# A project\n", TABLE: "".join(LINES).encode(), "other.txt": b"other\n"}
SETTINGS = Settings(swarm=SwarmSettings(workers=8))
REAL = pytest.mark.parametrize("real", [False, True], ids=["simulated", "on a real trunk"])

FOOTER = {
    "title": "Add a footer",
    "goal": "Print the sum of each column below the table. " + "Numbers only. " * 200,
}
STYLE = {"title": "Add a style", "goal": "Let a caller choose the style of the border."}


def with_line(number: int, text: str, content: str = "".join(LINES)) -> str:
    """The content with another line of this number."""
    lines = content.splitlines(keepends=True)
    lines[number - 1] = f"{text}\n"
    return "".join(lines)


def spawns(*asked: dict[str, object]) -> Turn:
    return turn(call("spawn_tasks", tasks=list(asked)))


async def world_of(
    folder: Path, clock: simulated.SimulatedClock, script: simulated.models.Script, *, real: bool
) -> simulated.World:
    if not real:
        return simulated.world(clock, script, files=FILES)
    shell = simulated.workspaces.no_commands
    w = await world_on_disk(folder, clock, script, seed=1, shell=shell, disk=simulated.Disk(clock), files=FILES)
    await w.open()
    return w


class Two:
    """Two tasks that change line 30 of TABLE. The second hands off when the first has landed."""

    def __init__(self) -> None:
        self.swarm: Swarm | None = None
        self.told: list[str] = []
        """The answers to the second one's handoffs."""

    async def first_landed(self) -> None:
        assert self.swarm is not None
        while not self.swarm.snapshot.task_counts[TaskState.LANDED]:
            await self.swarm.clock.sleep(0.1)

    async def second_is_ready(self) -> None:
        """The first one hands off after this."""

    async def __call__(self, model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            if turns(request) == 0:
                return spawns(FOOTER, STYLE)
            return turn(call("wait")) if said(request).count("# Handoff: ") < 2 else done()
        if heading == "# Task: Add a footer":
            if turns(request) == 0:
                return writes(TABLE, with_line(30, "the footer", with_line(3, "far away")))
            await self.second_is_ready()
            return done("There is a footer.", notes="It is computed after rows are dropped.", findings="x" * 8_000)
        return await self.second(request)

    async def second(self, request: Request) -> Turn:
        if turns(request) == 0:
            return writes(TABLE, with_line(30, "the style"))
        if turns(request) == 1:
            await self.first_landed()
            return done("There is a style.", notes="Only for borders.")
        self.told += answers(request)
        if answers(request)[0].startswith("conflict:"):
            return writes(TABLE, with_line(30, "the footer\nthe style", with_line(3, "far away")))
        return done("There is a style.", notes="Only for borders.")


def ran(folder: Path, script: simulated.models.Script, *, real: bool = False) -> tuple[Swarm, simulated.World]:
    """Run the script's swarm to its end; the swarm is known to the script."""

    async def main(clock: simulated.SimulatedClock) -> tuple[Swarm, simulated.World]:
        w = await world_of(folder, clock, script, real=real)
        swarm = script.swarm = fresh(w, SETTINGS)  # type: ignore[attr-defined]
        assert (await swarm.run()).status is ExitStatus.DONE
        if real:
            await w.journal.close()
        return swarm, w

    return simulated.simulate(main)


@REAL
def test_a_conflict_names_what_landed_meanwhile_in_its_files_and_why(tmp_path: Path, real: bool) -> None:
    script = Two()
    swarm, _ = ran(tmp_path, script, real=real)
    [first] = [task for task in swarm.snapshot.tasks.values() if task.spec.title == "Add a footer"]
    conflict = script.told[0]
    assert conflict.startswith(f"conflict:\n- {TABLE}\n")
    assert f"{str(first.commit)[:10]} Add a footer" in conflict
    assert "Print the sum of each column below the table." in conflict
    assert "There is a footer." in conflict
    assert "It is computed after rows are dropped." in conflict
    assert len(conflict) < 4_000 + 6_000 + 1_000
    for agent in swarm.snapshot.agents.values():
        assert agent.path not in conflict
        assert agent.id not in conflict


@REAL
def test_a_conflict_shows_the_difference_of_trunk_in_its_files_with_the_nearest_hunk_first(
    tmp_path: Path, real: bool
) -> None:
    script = Two()
    ran(tmp_path, script, real=real)
    conflict = script.told[0]
    assert "-line 30\n+the footer\n" in conflict
    assert "-line 3\n+far away\n" in conflict
    assert conflict.index("+the footer") < conflict.index("+far away")


def answers_of(w: simulated.World, tool: str) -> list[str]:
    """The recorded answers of a tool, in order."""
    bodies = [event.body for event in w.journal.surviving()]
    return [body.answer for body in bodies if isinstance(body, e.ToolFinished) and body.tool == tool]


@REAL
def test_a_handoff_that_lands_says_what_landed_meanwhile_in_its_files_even_without_a_conflict(
    tmp_path: Path, real: bool
) -> None:
    class Apart(Two):
        async def second(self, request: Request) -> Turn:
            if turns(request) == 0:
                return turn(*writes(TABLE, with_line(50, "end")).message.calls, *writes("new.txt", "new").message.calls)
            await self.first_landed()
            return done()

    swarm, w = ran(tmp_path, Apart(), real=real)
    commit = {task.spec.title: str(task.commit)[:10] for task in swarm.snapshot.tasks.values()}
    first, second, _ = answers_of(w, "submit_handoff")
    assert first == f"landed: merged, 1 file, commit {commit['Add a footer']}"
    assert second == (
        f"landed: merged, 2 files, commit {commit['Add a style']}\n"
        f"Landed meanwhile in files that you changed:\n- {commit['Add a footer']} Add a footer: {TABLE}"
    )


def test_a_handoff_in_files_that_nobody_else_changed_does_not_ask_what_landed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Elsewhere(Two):
        async def second(self, request: Request) -> Turn:
            if turns(request) == 0:
                return writes("new.txt", "new")
            await self.first_landed()
            return done()

    async def asked(*args: object) -> list[Landed]:
        raise AssertionError("nothing landed in its files")

    monkeypatch.setattr(landing, "landed_between", asked)
    swarm, _ = ran(tmp_path, Elsewhere())
    assert swarm.snapshot.task_counts[TaskState.LANDED] == 2


class Updates(Two):
    """The second one brings its copy up to date when the first has landed, then hands off."""

    line = 50

    async def second_is_ready(self) -> None:
        assert self.swarm is not None
        while not self.told:
            await self.swarm.clock.sleep(0.1)

    async def second(self, request: Request) -> Turn:
        match turns(request):
            case 0:
                return writes(TABLE, with_line(self.line, "the style"))
            case 1:
                return turn(call("update_workspace"))
            case 2:
                self.told += answers(request)
                await self.first_landed()
                return turn(call("update_workspace"), call("read_file", path=TABLE), call("update_workspace"))
            case 3:
                self.told += answers(request)
                if self.line == 30:
                    return turn(call("update_workspace"), *done().message.calls)
            case 4 if self.line == 30:
                self.told += answers(request)
                return done()
            case 5 if self.line == 30:
                self.told += answers(request)
                return writes(TABLE, with_line(30, "the footer\nthe style", with_line(3, "far away")))
        return done()


@REAL
def test_update_workspace_merges_the_newest_trunk_and_says_what_came_in(tmp_path: Path, real: bool) -> None:
    script = Updates()
    swarm, w = ran(tmp_path, script, real=real)
    early, updated, read, again = script.told
    commit = {task.spec.title: str(task.commit)[:10] for task in swarm.snapshot.tasks.values()}
    assert early == "your copy is the newest project: nothing has landed since it was made or last updated"
    assert updated == (
        f"updated: your copy is now the newest project ({commit['Add a footer']}) with your change merged in\n\n"
        f"Landed in files that you changed:\n- {commit['Add a footer']} Add a footer: {TABLE}"
    )
    assert "the footer" in read
    assert "the style" in read
    assert again == early
    assert answers_of(w, "submit_handoff")[1] == f"landed: merged, 1 file, commit {commit['Add a style']}"
    [last] = [landing for landing in swarm.snapshot.landings if str(landing.commit).startswith(commit["Add a style"])]
    assert last.since == last.base, "it was not merged again from the old base"
    assert w.trunk.commits.files_of(swarm.snapshot.trunk)[TABLE].decode() == with_line(
        50, "the style", with_line(30, "the footer", with_line(3, "far away"))
    )


@REAL
def test_update_workspace_marks_conflicts_which_keep_the_change_from_landing_until_they_are_resolved(
    tmp_path: Path, real: bool
) -> None:
    script = Updates()
    script.line = 30
    swarm, w = ran(tmp_path, script, real=real)
    _, updated, read, again, once_more, beside, handoff = script.told
    assert f"\n\nconflict:\n- {TABLE}\n" in updated
    assert "> summary: There is a footer." in updated
    assert "+the footer" in updated
    assert "<<<<<<< trunk" in read
    assert again == once_more == f"not updated: resolve the conflicts in your copy first: {TABLE}"
    assert beside.startswith("not handed off: in this same turn a call failed: not updated")
    assert handoff.startswith("conflict:")
    assert "still contain conflict markers" in handoff
    assert [landing.state for landing in swarm.snapshot.landings] == [LandingState.MERGED, LandingState.MERGED]
    assert b"the footer\nthe style\n" in w.trunk.commits.files_of(swarm.snapshot.trunk)[TABLE]


def test_an_update_that_is_interrupted_at_any_event_is_finished_and_told_after_a_kill() -> None:
    async def undisturbed(clock: simulated.SimulatedClock) -> list[int]:
        script = Updates()
        script.line = 30
        w = simulated.world(clock, script, files=FILES)
        script.swarm = fresh(w, SETTINGS)
        await script.swarm.run()
        return [event.seq for event in w.journal.surviving() if isinstance(event.body, e.WorkspaceUpdated)]

    async def killed(clock: simulated.SimulatedClock, seq: int) -> None:
        script = Updates()
        script.line = 30
        w = simulated.world(clock, script, files=FILES)
        swarm = script.swarm = fresh(w, SETTINGS)
        w.journal.crash_after(seq)
        running = asyncio.ensure_future(swarm.run())
        await w.power.failed.wait()
        running.cancel()
        await w.bury([task for task in asyncio.all_tasks() if task is not asyncio.current_task()])
        w = w.restart()
        again = script.swarm = await resumed(w, SETTINGS)
        assert (await again.run()).status is ExitStatus.DONE
        assert again.snapshot.task_counts[TaskState.LANDED] == 2
        assert b"the footer\nthe style\n" in w.trunk.files[TABLE]
        assert b"<<<<" not in w.trunk.files[TABLE]
        told = [answer for answer in answers_of(w, "update_workspace") if answer.startswith("updated")]
        assert len(told) == 1
        assert "> summary: There is a footer." in told[0]
        assert "<<<<<<< trunk" in answers_of(w, "read_file")[-1]

    [at] = simulated.simulate(undisturbed)
    for seq in range(at - 4, at + 8):
        simulated.simulate(lambda clock, seq=seq: killed(clock, seq))


def test_a_change_that_has_landed_but_is_not_recorded_yet_is_among_the_reasons(tmp_path: Path) -> None:
    """Landings that land as a group know their results at once, but are recorded one after the other."""

    class Slow(simulated.MemoryTrunk):
        async def land(self, change: CommitId, message: str) -> LandResult:
            result = await super().land(change, message)
            if result.commit is not None:
                await self._clock.sleep(30)
            return result

    class AtOnce(Two):
        async def first_landed(self) -> None:
            assert self.swarm is not None
            await self.swarm.clock.sleep(10)

    async def main(clock: simulated.SimulatedClock) -> str:
        script = AtOnce()
        w = simulated.world(clock, script, files=FILES)
        w.trunk.__class__ = Slow
        script.swarm = fresh(w, SETTINGS)
        assert (await script.swarm.run()).status is ExitStatus.DONE
        return script.told[0]

    conflict = simulated.simulate(main)
    assert " Add a footer (src/table.py)\n> goal: Print the sum of each column" in conflict
    assert "> summary: There is a footer.\n> notes: It is computed after rows are dropped.\n" in conflict


class Brief(Two):
    """The second one writes its report once; after the conflict it gives only what changes."""

    def __init__(self, **again: object) -> None:
        super().__init__()
        self.again = again

    async def second(self, request: Request) -> Turn:
        if turns(request) == 1:
            await self.first_landed()
            findings = [{"text": "the tests are slow", "evidence": "inferred"}]
            return done("There is a style.", notes="Only for borders.", concerns="Untested on tabs.", findings=findings)
        made = await super().second(request)
        handing = made.message.calls[0].tool == "submit_handoff"
        return turn(call("submit_handoff", status="done", **self.again)) if handing else made


def handoff_of(swarm: Swarm, title: str) -> HandoffText:
    [text] = [each.text for each in swarm.snapshot.handoffs.values() if _title(swarm, each) == title]
    return text


def _title(swarm: Swarm, handoff: Handoff) -> str:
    return swarm.snapshot.tasks[handoff.task].spec.title if handoff.task else ""


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        ({}, {}),
        ({"summary": "Style and footer."}, {"summary": "Style and footer."}),
        ({"concerns": "", "feedback": "More tests."}, {"concerns": "", "feedback": "More tests."}),
        ({"findings": []}, {"findings": ""}),
    ],
    ids=["nothing given", "a new summary", "a section removed and one added", "no findings"],
)
def test_a_handoff_that_was_sent_back_keeps_what_the_next_one_leaves_out(
    tmp_path: Path, again: dict[str, object], expected: dict[str, object]
) -> None:
    script = Brief(**again)
    swarm, w = ran(tmp_path, script)
    whole = HandoffText(
        HandoffStatus.DONE,
        "There is a style.",
        "Only for borders.",
        "Untested on tabs.",
        findings=(Finding("the tests are slow", seen=False),),
    )
    assert handoff_of(swarm, "Add a style") == structs.replace(whole, **expected)
    conflict = next(answer for answer in answers_of(w, "submit_handoff") if answer.startswith("conflict:"))
    assert conflict.endswith(
        "(Your report is kept: next time give `status` and only the sections that change; an empty one is removed.)"
    )


def test_a_first_handoff_needs_a_summary() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if turns(request) == 0:
            return turn(call("submit_handoff", status="done", notes="n"))
        assert answers(request)[0].startswith("the summary is empty")
        return done("now there is one")

    def examine(swarm: Swarm, w: simulated.World, outcome: object) -> None:
        [handoff] = swarm.snapshot.handoffs.values()
        assert (handoff.text.summary, handoff.text.notes) == ("now there is one", "n")

    run(script, examine)


def test_a_planner_that_has_waited_since_writes_its_report_anew() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Task: "):
            return done()
        match turns(request):
            case 0:
                return spawns(STYLE)
            case 1:
                return done("too early", notes="out of date")
            case 2:
                return turn(call("wait"))
        return done("all of it")

    def examine(swarm: Swarm, w: simulated.World, outcome: object) -> None:
        text = next(each.text for each in swarm.snapshot.handoffs.values() if each.task is None)
        assert (text.summary, text.notes) == ("all of it", "")

    run(script, examine)


def test_a_report_that_was_sent_back_survives_a_kill(tmp_path: Path) -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        script = Brief()
        w = simulated.world(clock, script, files=FILES)
        swarm = script.swarm = fresh(w, SETTINGS)
        running = asyncio.ensure_future(swarm.run())
        while not any(answer.startswith("conflict:") for answer in script.told):
            await clock.sleep(0.1)
        w.crash()
        running.cancel()
        await w.bury([task for task in asyncio.all_tasks() if task is not asyncio.current_task()])
        w = w.restart()
        again = script.swarm = await resumed(w, SETTINGS)
        assert (await again.run()).status is ExitStatus.DONE
        text = handoff_of(again, "Add a style")
        assert (text.summary, text.notes, text.concerns) == (
            "There is a style.",
            "Only for borders.",
            "Untested on tabs.",
        )

    simulated.simulate(main)


class Stubborn(Two):
    """The second one never resolves its conflict, so a resolver does."""

    async def second(self, request: Request) -> Turn:
        if first_line(request) == "# Conflict: Add a style":
            if turns(request) == 0:
                self.told.append(request.messages[0].text)
                return writes(TABLE, with_line(30, "the footer\nthe style", with_line(3, "far away")))
            return done("merged")
        made = await super().second(request)
        return made if turns(request) < 2 else done("There is a style.")


@REAL
def test_a_resolver_gets_both_goals_both_handoffs_and_the_difference(tmp_path: Path, real: bool) -> None:
    script = Stubborn()
    swarm, _ = ran(tmp_path, script, real=real)
    opening = script.told[-1]
    assert opening.startswith(f"# Conflict: Add a style\n\nFiles in conflict:\n\n- {TABLE}\n\n")
    yours, _, trunk = opening.partition("# What landed meanwhile in these files")
    assert "Let a caller choose the style of the border." in yours
    assert "> summary: There is a style." in yours
    assert "> notes: Only for borders." in yours
    assert " Add a footer (src/table.py)\n> goal: Print the sum of each column below the table." in trunk
    assert "> summary: There is a footer.\n> notes: It is computed after rows are dropped." in trunk
    assert "-line 30\n+the footer\n" in trunk
    for agent in swarm.snapshot.agents.values():
        assert agent.path not in opening
        assert agent.id not in opening


@pytest.mark.parametrize("prompt", ["conflict", "resolver"])
def test_who_resolves_a_conflict_may_go_beyond_the_markers_and_tries_both_features_together(prompt: str) -> None:
    text = " ".join(PROMPTS[prompt].template.split())
    assert "beyond the markers" in text
    assert "both features together" in text


class Beyond(Two):
    """The second one's resolutions reach beyond the markers, to lines that others change apart from its conflict.

    Whenever it is told of a conflict, one more task hands off a change of a line that its next resolution changes, too.
    """

    others = tuple({"title": f"line {30 + 6 * at}", "goal": "change a line"} for at in range(1, 5))

    async def __call__(self, model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            if turns(request) == 0:
                return spawns(FOOTER, STYLE, *self.others)
            return turn(call("wait")) if said(request).count("# Handoff: ") < 6 else done()
        if heading.startswith("# Task: line "):
            return await self.other(request, int(heading.split()[-1]))
        if heading == "# Conflict: Add a style":
            return await self.second(request)
        return await super().__call__(model, request)

    async def other(self, request: Request, line: int) -> Turn:
        assert self.swarm is not None
        last = (answers(request) or [""])[-1]
        if turns(request) == 0 or last.startswith("conflict:"):
            return turn(call("read_file", path=TABLE), call("shell", command=f"theirs {line}"))
        at = (line - 30) // 6
        while sum(told.startswith("conflict:") for told in self.told) < at and not self.is_over():
            await self.swarm.clock.sleep(0.1)
        return done()

    def is_over(self) -> bool:
        assert self.swarm is not None
        return any(task.ended and task.spec.title == "Add a style" for task in self.swarm.snapshot.tasks.values())

    async def second(self, request: Request) -> Turn:
        assert self.swarm is not None
        conflicts = sum(told.startswith("conflict:") for told in self.told)
        if turns(request) == 0 and not conflicts:
            return writes(TABLE, with_line(30, "the style"))
        if turns(request) == 1 and not conflicts:
            await self.first_landed()
            return done()
        last = (answers(request) or [""])[-1]
        if last.startswith("conflict:") or not answers(request):
            self.told.append(last)
            await self.swarm.clock.sleep(60)  # the next one of the others lands meanwhile, if it may
            return turn(call("shell", command=f"mine {36 + 6 * conflicts}"))
        return done()


def beyond_shell(workspace: simulated.MemoryWorkspace, command: str) -> str:
    """`theirs N` and `mine N` change the line N; both sides of a conflict are kept."""
    side, _, number = command.partition(" ")
    lines = without_markers(workspace.files[TABLE]).splitlines(keepends=True)
    at = next(at for at, line in enumerate(lines) if line.split()[-1:] == [number.encode()])
    lines[at] = f"{side} {number}\n".encode()
    workspace.files[TABLE] = b"".join(lines)
    return "ok"


def test_after_a_second_conflict_in_a_file_nothing_else_lands_there_until_it_is_resolved() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        script = Beyond()
        w = simulated.world(clock, script, files=FILES, shell=beyond_shell)
        swarm = script.swarm = fresh(w, SETTINGS)
        assert (await swarm.run()).status is ExitStatus.DONE
        [task] = [task for task in swarm.snapshot.tasks.values() if task.spec.title == "Add a style"]
        assert task.conflicts == 2, "the first of the others lands in lines apart from the first conflict"
        assert not any(agent.role is Role.RESOLVER for agent in swarm.snapshot.agents.values())
        assert swarm.snapshot.task_counts[TaskState.LANDED] == 6
        assert b"the style" in w.trunk.files[TABLE]

    simulated.simulate(main)


REGION = (
    "27\tline 27\n28\tline 28\n29\tline 29\n30\t<<<<<<< trunk\n31\tthe footer\n32\t=======\n33\tthe style\n"
    "34\t>>>>>>> yours\n35\tline 31\n36\tline 32\n37\tline 33\n"
)


@REAL
def test_a_conflict_shows_the_marked_regions_with_line_numbers(tmp_path: Path, real: bool) -> None:
    script = Two()
    ran(tmp_path, script, real=real)
    assert f"## Conflicts in your copy\n\n--- {TABLE}: lines 30–34\n{REGION}" in script.told[0]
    assert "`HEAD` is now the newest project, so `git diff HEAD` shows your change." in " ".join(script.told[0].split())


def test_a_resolver_gets_the_marked_regions_too(tmp_path: Path) -> None:
    script = Stubborn()
    ran(tmp_path, script)
    [opening] = [text for text in script.told if text.startswith("# Conflict: ")]
    assert f"--- {TABLE}: lines 30–34\n{REGION}" in opening


def test_hunks_inside_shown_regions_are_left_out_before_those_elsewhere(tmp_path: Path) -> None:
    class Long(Two):
        async def __call__(self, model: ModelName, request: Request) -> Turn:
            if first_line(request) == "# Task: Add a footer" and turns(request) == 0:
                return writes(TABLE, with_line(30, "the footer", with_line(3, "far away " * 630)))
            return await super().__call__(model, request)

    script = Long()
    ran(tmp_path, script)
    conflict = script.told[0]
    assert "\n+far away far away" in conflict
    assert "31\tthe footer" in conflict
    assert "+the footer" not in conflict
    assert "(1 more hunk left out)" in conflict
    assert len(conflict) < 4_000 + 6_000 + 1_000


def marked(*sizes: int) -> bytes:
    """A file with regions of so many lines of each side."""
    sides = ["\n".join(f"{side} {at}" for at in range(size)) for size in sizes for side in ("theirs", "mine")]
    regions = [
        f"<<<<<<< trunk\n{theirs}\n=======\n{mine}\n>>>>>>> yours\n"
        for theirs, mine in zip(sides[::2], sides[1::2], strict=True)
    ]
    return ("line\n" * 10).join(["", *regions, ""]).encode()


def test_regions_that_are_too_long_are_cut_in_the_middle_and_share_the_room() -> None:
    shown = marked_regions({"long.py": marked(500), "short.py": marked(1)})
    assert not shown.whole
    assert "--- long.py: lines 11–1013\n8\tline\n9\tline\n10\tline\n11\t<<<<<<< trunk\n12\ttheirs 0\n" in shown.text
    assert "lines left out)\n" in shown.text
    assert "\n1013\t>>>>>>> yours\n" in shown.text
    assert "--- short.py: lines 11–15\n8\tline\n" in shown.text
    assert "12\ttheirs 0\n13\t=======\n14\tmine 0\n15\t>>>>>>> yours\n" in shown.text
    assert marked_regions({"short.py": marked(1, 2)}).whole


def test_many_regions_and_files_are_bounded() -> None:
    for files in ({"a.py": marked(*[5] * 300)}, {f"{at}.py": marked(50, 50) for at in range(300)}):
        shown = marked_regions(files)
        assert not shown.whole
        assert len(shown.text) < 5_000
        assert "290 more" in shown.text


def test_a_region_without_its_end_and_files_without_regions_are_shown_as_they_are() -> None:
    assert marked_regions({"a.py": b"line\n"}).text == ""
    assert marked_regions({"a.py": b"<<<<<<< trunk\nx\n"}).text.startswith("--- a.py: line 1\n1\t<<<<<<< trunk\n2\tx")
