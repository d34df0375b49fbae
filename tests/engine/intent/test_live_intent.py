"""A changed intent: passed on from the root planner down, acted on by each planner, and recorded by version."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from engine.config.validate import Source, check
from engine.domain.commands import SetWorkers, SubmitIntent
from engine.domain.conversation import Request, Turn
from engine.domain.errors import ExitStatus, SwarmError
from engine.domain.events import Event
from engine.domain.settings import Settings, SwarmSettings
from engine.domain.types import AgentPath, Intent, ModelName, Role, TaskState
from engine.intent.file_watcher import LOOK_S, MOST, IntentFileWatcher
from engine.journal.writer import SqliteJournal
from engine.orchestrator.swarm import Swarm
from tests import simulated
from tests.engine.scripts import done, said, tasks, turns, writes
from tests.engine.steering import until
from tests.engine.swarms import fresh
from tests.simulated import call, first_line, turn
from tests.simulated.models import ToolAnswer


def told(request: Request) -> list[str]:
    return [block.text for m in request.messages for block in m.blocks if isinstance(block, ToolAnswer)]


def script(model: ModelName, request: Request) -> Turn:
    """For version 1 the root creates `kept` and `moot root`, its subplanner `moot left`; for version 2 they cancel both
    moot tasks and create `new root` and `new left`."""
    heading = first_line(request)
    if heading.startswith("# Task: "):
        return done() if turns(request) else writes(f"{heading[8:].replace(' ', '-')}.txt", "x\n")
    root = heading.startswith("# Intent")
    news = "# Intent (version 2)" if root else "# Message from your planner (intent version 2)"
    changed = news in said(request)
    mine, other = ("root", 3) if root else ("left", 1)
    answered = told(request)
    if turns(request) == 0:
        slices = [call("spawn_subplanner", title="left", goal="own left", scope="left/**")] if root else []
        first = tasks("kept", f"moot {mine}") if root else tasks(f"moot {mine}")
        return turn(*slices, *first.message.calls)
    if changed and not any(text.startswith("cancelled: ") for text in answered):
        moot = next(
            line.split()[1] for text in answered for line in text.splitlines() if line.endswith(f" moot {mine}")
        )
        rescope = call("rescope_subplanner", subplanner="left", message="Version 2 wants more.", goal="own left, new")
        return turn(
            call("cancel_task", task=moot, reason="version 2 does not want it"),
            *tasks(f"new {mine}").message.calls,
            *([rescope] if root else []),
        )
    return done() if changed and said(request).count("# Handoff: ") >= other else turn(call("wait"))


def changed_run(events: list[Event]) -> tuple[Swarm, simulated.World]:
    async def main(clock: simulated.SimulatedClock) -> tuple[Swarm, simulated.World]:
        w = simulated.world(clock, script)
        swarm = fresh(w, Settings(swarm=SwarmSettings(workers=0)))  # what is asked for waits until all is told
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, lambda s: len(s.snapshot.tasks) == 3)
        await swarm.submit(SubmitIntent("Do it.\nAnd more."))
        behind = [task for task in swarm.snapshot.tasks.values() if not task.ended and task.intent == 1]
        assert len(behind) == 3, "right after the change everything runs on the older version"
        await until(swarm, lambda s: len(s.snapshot.tasks) == 5 and s.snapshot.task_counts[TaskState.CANCELLED] == 2)
        s = swarm.snapshot
        assert [task.spec.title for task in s.tasks.values() if not task.ended and task.intent == 1] == ["kept"]
        moot = [task.spec.title for task in s.tasks.values() if task.cancelled_under == 2 > task.intent]
        assert sorted(moot) == ["moot left", "moot root"]
        planners = [agent for agent in s.agents.values() if agent.role is Role.PLANNER and not agent.ended]
        assert {agent.path: agent.intent for agent in planners} == {"root": 2, "root/left": 2}
        await swarm.submit(SetWorkers(4))
        outcome = await running
        assert outcome.status is ExitStatus.DONE
        events.extend([event async for event in w.journal.events()])
        return swarm, w

    return simulated.simulate(main)


def test_a_change_reaches_every_planner_through_its_parent_and_moot_tasks_are_cancelled() -> None:
    swarm, w = changed_run([])
    s = swarm.snapshot
    versions = {task.spec.title: (task.intent, task.state, task.cancelled_under) for task in s.tasks.values()}
    assert versions == {
        "kept": (1, TaskState.LANDED, 0),
        "moot root": (1, TaskState.CANCELLED, 2),
        "moot left": (1, TaskState.CANCELLED, 2),
        "new root": (2, TaskState.LANDED, 0),
        "new left": (2, TaskState.LANDED, 0),
    }
    slices = [asked.request for asked in w.models.asked if first_line(asked.request).startswith("# Slice")]
    told = said(slices[-1]).partition("# Message from your planner (intent version 2)\n\n")[2]
    moot = next(task.id for task in s.tasks.values() if task.spec.title == "moot left")
    diff = "```diff\n@@\n-own left\n+own left, new\n```"
    what = f"Version 2 wants more.\n\nWhat changed in your goal:\n\n{diff}"
    assert told.startswith(f"{what}\n\n## Under way\n\n- {moot} moot left: queued, "), (
        "what changed, then what is under way"
    )
    assert "\n\n## Your whole slice\n\nown left, new\n\nScope: left/**\n\n# Status\n\nopen: 1 queued" in told
    assert s.agents[s.paths[AgentPath("root/left")]].goal == "own left, new"


def test_a_changed_intent_says_what_changed_then_what_is_under_way_then_the_whole_text() -> None:
    swarm, w = changed_run([])
    roots = [asked.request for asked in w.models.asked if first_line(asked.request).startswith("# Intent")]
    told = said(roots[-1]).partition("# Intent (version 2)\n\n")[2]
    assert told.startswith("The user has changed the intent. What changed:\n\n```diff\n@@\n Do it.\n+And more.\n```\n")
    ids = {task.spec.title: id for id, task in swarm.snapshot.tasks.items()}
    under_way, _, whole = told.partition("## Under way\n\n")[2].partition("\n\n## The whole intent\n\n")
    assert whole.startswith("Do it.\nAnd more.\n\n# Status\n")
    lines = under_way.splitlines()
    assert lines[0].startswith(f"- {ids['kept']} kept: queued, ")
    assert lines[1].startswith(f"- {ids['moot root']} moot root: queued, ")
    assert lines[2].startswith("- slice left: 1 open task, 0 landed, ")


def test_each_handoff_and_commit_names_its_version() -> None:
    swarm, w = changed_run([])
    s = swarm.snapshot
    names = {h.id: s.tasks[h.task].spec.title if h.task else s.agents[h.agent].path for h in s.handoffs.values()}
    older, newer = {"kept"}, {"new root", "new left", "root/left", "root"}
    assert {names[h.id]: h.intent for h in s.handoffs.values()} == dict.fromkeys(older, 1) | dict.fromkeys(newer, 2)
    trailers = {
        task.spec.title: [line for line in w.commits.made[task.commit].message.splitlines() if "Swarm-Intent" in line]
        for task in s.tasks.values()
        if task.commit
    }
    assert trailers == {"kept": ["Swarm-Intent: 1"], "new root": ["Swarm-Intent: 2"], "new left": ["Swarm-Intent: 2"]}


def test_a_planner_works_by_the_version_that_it_has_read() -> None:
    swarm, _ = changed_run([])
    planners = {agent.path: agent.intent for agent in swarm.snapshot.agents.values() if agent.role == "planner"}
    assert planners == {"root": 2, "root/left": 2}


EFFECTS = """SELECT version, (SELECT count(*) FROM tasks WHERE intent = version),
  (SELECT count(*) FROM tasks WHERE intent = version AND state = 'landed'),
  (SELECT count(*) FROM tasks WHERE intent = version AND state = 'cancelled'),
  (SELECT count(*) FROM tasks WHERE cancelled_under = version AND intent < version) FROM intents ORDER BY version"""
"""Of each version of the intent: its tasks, those landed, those cancelled, and the older tasks that it cancelled."""


async def _effects(path: Path, events: list[Event]) -> list[tuple[int, ...]]:
    journal = await SqliteJournal.open(path)
    journal.append(events)
    await journal.close()
    with closing(sqlite3.connect(path)) as db:
        return db.execute(EFFECTS).fetchall()


def test_the_journal_has_the_effects_of_each_version(tmp_path: Path) -> None:
    events: list[Event] = []
    changed_run(events)
    assert asyncio.run(_effects(tmp_path / "journal.db", events)) == [(1, 3, 1, 2, 0), (2, 2, 2, 0, 2)]


def test_a_subplanner_of_another_cannot_be_rescoped() -> None:
    answers: list[str] = []

    def nosy(model: ModelName, request: Request) -> Turn:
        if turns(request) == 0:
            return turn(call("rescope_subplanner", subplanner="nobody", message="hear"))
        answers.extend(told(request))
        return done()

    async def main(clock: simulated.SimulatedClock) -> None:
        await fresh(simulated.world(clock, nosy)).run()

    simulated.simulate(main)
    assert answers == ["you have no subplanner nobody; your subplanners: none"]


# --- the watched file ----------------------------------------------------------------------------------------


class Steps:
    """A clock whose sleeps end when the test ends them."""

    def __init__(self) -> None:
        self.looked = asyncio.Event()
        self.next = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        assert seconds == LOOK_S
        self.looked.set()
        await self.next.wait()
        self.next.clear()

    async def look(self) -> None:
        await self.looked.wait()
        self.looked.clear()
        self.next.set()
        await self.looked.wait()


def tick(folder: Path) -> int:
    """The file system's time in microseconds, after it has advanced: a file that is saved later is newer."""
    probe = folder / "clock"
    probe.touch()
    before = now = probe.stat().st_ctime_ns
    while now == before:
        probe.touch()
        now = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns == now:
        probe.touch()
    return now // 1_000


class Watching:
    """Watches `file`, and reads it when the test says so. The running version is newer than the saved file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.submitted: list[str] = []
        self.warned: list[str] = []
        self.intent = Intent(1, tick(file.parent), "person", "Do it.\n")
        self._steps = Steps()
        watch = IntentFileWatcher(file, self._steps, lambda: self.intent, self.submit, self.warned.append)  # type: ignore[arg-type]
        self._task = asyncio.ensure_future(watch.run())

    async def submit(self, command: SubmitIntent) -> None:
        self.submitted.append(f"{command.author}: {command.text}")
        self.intent = Intent(self.intent.version + 1, tick(self.file.parent), command.author, command.text)

    async def looks(self, times: int) -> None:
        for _ in range(times):
            await self._steps.look()


async def test_the_answers_to_questions_stay_when_the_watched_file_is_saved(tmp_path: Path) -> None:
    file = tmp_path / "INTENT.md"
    file.write_text("Do it.\n")
    watching = Watching(file)
    answers = "## Questions and answers\n\n> 3.10?\n\nyes"
    watching.intent = Intent(2, tick(tmp_path), "person", f"Do it.\n\n{answers}\n")
    file.write_text("Do it.\n")
    await watching.looks(3)
    assert watching.submitted == [], "the file says nothing new"
    file.write_text("Do it well.\n")
    await watching.looks(4)
    assert watching.submitted == [f"file INTENT.md: Do it well.\n\n{answers}\n"]


async def test_saving_the_watched_file_submits_it_once_it_no_longer_changes(tmp_path: Path) -> None:
    file = tmp_path / "INTENT.md"
    file.write_text("Do something else.")
    watching = Watching(file)
    await watching.looks(3)
    assert watching.submitted == [], "older than the running version: what the run began with, say"
    file.write_text("<!-- a hint -->\nDo it.\n")
    await watching.looks(3)
    assert watching.submitted == [], "only a comment has changed"
    file.write_text("Do it.\nAnd mo")
    await watching.looks(1)
    file.write_text("Do it.\nAnd more.\n")
    await watching.looks(1)
    assert watching.submitted == [], "it is still being written"
    await watching.looks(2)
    assert watching.submitted == ["file INTENT.md: Do it.\nAnd more."]
    assert watching.warned == []


async def test_a_file_that_is_moved_into_place_counts_from_then_on(tmp_path: Path) -> None:
    file, draft = tmp_path / "INTENT.md", tmp_path / "draft"
    draft.write_text("Written long ago.\n")
    os.utime(draft, (1, 1))
    watching = Watching(file)
    draft.rename(file)
    await watching.looks(3)
    assert watching.submitted == ["file INTENT.md: Written long ago."]


def remove(file: Path) -> None:
    file.unlink()


def empty(file: Path) -> None:
    file.write_text("<!-- nothing but a hint -->\n")


def fill(file: Path) -> None:
    file.write_bytes(b"x" * (MOST + 1))


def garble(file: Path) -> None:
    file.write_bytes(b"Caf\xe9 au lait.\n")


def link_out(file: Path) -> None:
    file.unlink()
    file.symlink_to("/etc/hostname")


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (remove, "does not exist"), (empty, "is empty"), (fill, "is larger than 256 KiB"),
        (garble, "is not UTF-8 text"),
        (link_out, "is a link or cannot be read"), (pipe, "is not a regular file"),
    ],
)  # fmt: skip
async def test_a_file_that_cannot_be_used_is_reported_once_and_changes_nothing(
    harm: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    file = tmp_path / "INTENT.md"
    file.write_text("Do it.\n")
    watching = Watching(file)
    await watching.looks(2)
    harm(file)
    await watching.looks(5)
    assert watching.warned == [f"INTENT.md {says}: the intent is unchanged"]
    assert watching.submitted == []
    file.unlink(missing_ok=True)
    file.write_text("Do it again.\n")
    await watching.looks(3)
    assert watching.submitted == ["file INTENT.md: Do it again."]


async def test_a_file_behind_a_linked_folder_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "docs").symlink_to("private")
    watching = Watching(tmp_path / "docs" / "INTENT.md")
    (tmp_path / "private" / "INTENT.md").write_text("A secret.\n")
    await watching.looks(3)
    assert watching.submitted == []
    assert watching.warned == ["INTENT.md is a link or cannot be read: the intent is unchanged"]


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "~/x"])
def test_only_a_file_in_the_repo_can_be_watched(path: str, tmp_path: Path) -> None:
    with pytest.raises(SwarmError, match="not a path inside the repo"):
        check(Source("x", {"swarm": {"watch_intent": path}}, lambda path: "x"))
