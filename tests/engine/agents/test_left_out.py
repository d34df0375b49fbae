"""Work that no commit can hold is named at once and in the handoff, and a task without a change counts nowhere."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.domain.conversation import Request, Turn
from engine.domain.landing_text import NO_CHANGE
from engine.domain.types import LandingState, TaskState
from engine.journal.run_row import glance
from engine.reports.report import report_of
from engine.reports.summary import Summary
from engine.state.snapshot import Snapshot
from tests.engine.model_server import model_server
from tests.engine.real_runs import git, make_repo, settings, started
from tests.engine.scripts import done, planner_of, said, turns, writes
from tests.simulated import call, first_line, turn
from tests.tui.swarms import run_counts
from tui.headless.progress import heartbeat_line


def shell(command: str) -> Turn:
    return turn(call("shell", command=command))


STEPS = {
    "written and ignored": [writes("build/out.txt", "x\n"), writes("build/out.txt", "y\n")],
    "made by a command": [shell("mkdir -p build a/b; echo x > build/y; echo x > x.log; mkfifo pipe; chmod 600 README")],
    "below a submodule": [writes("sub/inside.txt", "x\n")],
    "below a nested repository": [shell("git init -q nested; echo x > nested/kept.txt")],
    "behind a link": [shell("ln -s /tmp out; echo x > out/file")],
    "in git's own folder": [writes(".git/hooks/pre-commit", "x\n")],
    "in a stash": [writes("README", "changed\n"), shell("git stash -q")],
    "kept": [writes("fine.txt", "x\n"), shell("python3 -c 'import os; os.makedirs(\"__pycache__\")'")],
}
"""Tasks by their titles, and what their workers do before they hand off."""
LEFT_OUT = {
    "written and ignored": ["build/ (git ignores it)"],
    "made by a command": [
        *("a/b/ (git keeps no empty folders)", "build/, x.log (git ignores it)"),
        *("pipe (it is a pipe, a socket or a device)", "README (only its permissions differ"),
    ],
    "below a submodule": ["sub (it belongs to a submodule)"],
    "below a nested repository": ["nested/.git (it belongs to git"],
    "behind a link": ["out (the link leads out of the workspace"],
    "in git's own folder": [".git/hooks/pre-commit (it belongs to git"],
    "in a stash": [".git/refs/stash (it belongs to git"],
}
LANDED = {"below a nested repository", "behind a link", "kept"}


def script(request: Request) -> Turn:
    heading = first_line(request)
    if heading.startswith("# Intent"):
        return planner_of(*STEPS)(request)
    steps, at = STEPS[heading.partition(": ")[2]], turns(request)
    return steps[at] if at < len(steps) else done()


@dataclass(frozen=True)
class Ran:
    """A run whose workers write what no commit can hold."""

    summary: Summary
    snapshot: Snapshot
    commits: int
    heard: str

    def handoff(self, title: str) -> str:
        """A task's handoff as the planner reads it."""
        return self.heard.partition(f"# Handoff: {title}\n")[2].partition("\n# Handoff: ")[0]

    def answers(self, title: str) -> list[str]:
        sql = """SELECT m.text FROM tool_calls c JOIN messages m ON m.id = c.answer JOIN tasks t ON t.id = c.task
          WHERE t.title = ? ORDER BY c.seq"""
        with closing(sqlite3.connect(self.summary.db)) as db:
            return [text for (text,) in db.execute(sql, (title,))]


async def run_in(folder: Path) -> Ran:
    inner = make_repo(folder / "inner", {"a": "a\n"})
    repo = make_repo(folder / "repo", {"README": "hello\n", ".gitignore": "build/\n*.log\n"})
    git(repo, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "sub")
    git(repo, "commit", "--quiet", "--message=submodule")
    async with model_server(script) as server:
        run = await started(repo, folder / "state", settings("openai-chat:a-model"), server.environ())
        summary = await run.run()
        heard = said(max(server.requests, key=lambda request: said(request).count("# Handoff: ")))
    commits = git(repo, "rev-list", "--count", f"main..swarm/{summary.run}/trunk")
    return Ran(summary, run.snapshot, int(commits), heard)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return asyncio.run(run_in(tmp_path_factory.mktemp("left-out")))


@pytest.mark.parametrize("title", LEFT_OUT)
def test_the_tool_says_at_once_what_will_not_land_and_so_does_the_handoff(ran: Ran, title: str) -> None:
    answers, handoff = ran.answers(title), ran.handoff(title)
    for part in LEFT_OUT[title]:
        assert any(part in answer for answer in answers[:-1]), answers
        assert part in handoff
    assert "Left out of the commit: " in handoff
    assert (NO_CHANGE in handoff) == (title not in LANDED)


def test_a_file_that_git_ignores_is_named_each_time_it_is_written(ran: Ran) -> None:
    first, second, handed_off = ran.answers("written and ignored")
    assert "will not land: build/ (git ignores it)" in first
    assert "will not land: build/ (git ignores it)" in second
    assert handed_off.startswith("no change")


def test_what_lands_and_caches_are_not_named_as_left_out(ran: Ran) -> None:
    assert "will not land" not in "\n".join(ran.answers("kept"))
    assert "Left out" not in ran.handoff("kept")
    assert "landing: landed as " in ran.handoff("kept")


def test_a_task_without_a_change_counts_as_landed_nowhere(ran: Ran) -> None:
    commits, empty = ran.commits, len(STEPS) - len(LANDED)
    summary, run = ran.summary, ran.snapshot
    assert commits == len(LANDED)
    assert (summary.tasks["landed"], summary.landings["empty"]) == (commits, empty)
    assert (run.task_counts[TaskState.LANDED], run.task_counts[TaskState.UNCHANGED]) == (commits, empty)
    assert len(run.landed_times) == commits
    assert {task.spec.title for task in run.tasks.values() if task.state is TaskState.LANDED} == LANDED
    assert run.landing_counts[LandingState.EMPTY] == empty
    assert run_counts(run).totals[run.root or ""].landed == commits  # type: ignore[index]
    heartbeat = heartbeat_line(run, run.at)
    assert f"{commits} landed · {empty} without a change · " in heartbeat
    assert run.landed_per_hour(run.at) == commits * 3_600_000_000 / run.wall(run.at)
    journal = Path(summary.db)
    row, report = glance(journal), report_of(journal, journal.parent / "trunk.git")
    assert row is not None
    assert (row.landed, row.unchanged) == (report.landed, report.unchanged) == (commits, empty)
    assert sum(used.landed for used in report.prompts) == commits
    assert sum(part.landed for part in report.subtrees) == commits
    with closing(sqlite3.connect(journal)) as db:
        assert db.execute("SELECT landed, unchanged FROM runs").fetchone() == (commits, empty)
        assert db.execute("SELECT sum(landed) FROM landings_per_minute").fetchone() == (commits,)
        states = dict(db.execute("SELECT state, count(*) FROM task_board GROUP BY state"))
        assert states == {"landed": commits, "unchanged": empty}
