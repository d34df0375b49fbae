"""Whole runs with real git, real SQLite, sandboxed commands and real sockets."""

import re
import sqlite3
from pathlib import Path

import pytest

from engine.domain.conversation import Request, Turn
from engine.domain.types import AgentState
from tests.engine.model_server import model_server
from tests.engine.real_runs import fingerprint, git, make_repo, settings, started
from tests.engine.scripts import done, planner_of, turns, writes
from tests.simulated import answers, call, first_line, turn

FILES = {
    "AGENTS.md": "Run `python3 -m unittest`.\n",
    "names.py": "NAMES = [\n]\n",
    "test_names.py": "import unittest\nfrom names import NAMES\n\n\n"
    "class Names(unittest.TestCase):\n"
    "    def test_no_name_stands_twice(self):\n"
    "        self.assertEqual(len(NAMES), len(set(NAMES)))\n",
}
CHECK = "python3 -m unittest -q"
TITLES = [f"secret-{word}" for word in ("apple", "banana", "cherry", "damson", "elder", "fig")]


def brain(request: Request) -> Turn:
    """Workers that all add a line at the same place, look around, and resolve their conflicts."""
    heading = first_line(request)
    if heading.startswith("# Intent"):
        return planner_of(*TITLES)(request)
    title = heading.partition(": ")[2]
    mine = f'    "{title[::-1]}",\n'
    looks = [
        turn(call("read_file", path="names.py"), call("search", pattern="NAMES")),
        turn(call("shell", command="git log --all --format='%H %an %s %b'; git status --short; env; pwd; ls -a")),
        turn(call("shell", command="cat /proc/1/environ /proc/self/mountinfo 2>&1 | tr '\\0' '\\n'; ls -la / /tmp")),
    ]
    step = turns(request)
    if step < len(looks):
        return looks[step]
    last = answers(request)[0] if answers(request) else ""
    if step == len(looks) and heading.startswith("# Conflict: "):
        return turn(call("shell", command="cat names.py"))
    if step == len(looks):
        start = "NAMES = [\n"
        return turn(call("edit_file", path="names.py", edits=[{"old": start, "new": start + mine}]))
    if "conflict:\n" in last:  # some protocols have no flag for errors, so check the text
        return turn(call("shell", command="cat names.py"))
    if "<<<<<<< trunk" in last:
        lines = [line for line in last.splitlines() if line.startswith('    "')]
        return writes("names.py", "NAMES = [\n" + "".join(f"{line}\n" for line in dict.fromkeys(lines)) + "]\n")
    if last.startswith(("edited", "written")):
        return turn(call("shell", command=CHECK))
    return done()


@pytest.mark.parametrize("provider", ["anthropic", "openai", "openai-chat"])
async def test_a_run_over_a_real_socket_lands_everything_and_leaves_the_repo_unchanged(
    tmp_path: Path, provider: str
) -> None:
    repo = make_repo(tmp_path / "repo", FILES)
    (repo / "names.py").write_text("NAMES = []  # not committed\n")
    hook = repo / ".git" / "hooks" / "reference-transaction"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hook-ran\n")
    hook.chmod(0o755)
    before = fingerprint(repo)
    async with model_server(brain) as server:
        run = await started(repo, tmp_path / "state", settings(f"{provider}:a-model", CHECK), server.environ())
        summary = await run.run()
        bodies = server.bodies
        requests = server.requests
    assert summary.exit_status == 0
    assert summary.tasks["landed"] == len(TITLES)
    assert summary.landings["merged"] + summary.landings["resolved"] == len(TITLES)
    assert summary.check["passed"] >= 1
    assert fingerprint(repo) == before
    assert not (tmp_path / "hook-ran").exists()
    trunk = f"swarm/{summary.run}/trunk"
    assert git(repo, "rev-parse", trunk).strip() == summary.trunk == summary.green
    landed = git(repo, "show", f"{trunk}:names.py")
    assert all(f'"{title[::-1]}"' in landed for title in TITLES)
    assert git(repo, "log", "--merges", "--format=%H", trunk) == "", "history is linear"
    _examine_secrets(run.snapshot, bodies, requests)
    _examine_journal(Path(summary.db), len(TITLES))


def _examine_secrets(snapshot, bodies: list[str], requests: list[Request]) -> None:
    """No byte that reached a worker's model says anything about another agent or the tree, and of other tasks only what
    has landed: a commit, its title, and in a conflict why it was made."""
    seen = 0
    for body, request in zip(bodies, requests, strict=True):
        heading = first_line(request)
        if not heading.startswith("# Task: "):
            continue
        seen += 1
        own = next(agent for agent in snapshot.agents.values() if f"# Task: {agent.title}" == heading)
        for task in snapshot.tasks.values():
            assert task.id == own.task or task.id not in body
            if task.spec.title != own.title:
                assert all(map(_is_about_a_commit, _lines_with(task.spec.title, request)))
        for agent in snapshot.agents.values():
            assert agent.id == own.id or agent.id not in body
            assert "/" not in agent.path or agent.path not in body
        assert "key-anthropic" not in body
        assert "key-openai" not in body
    assert seen > len(TITLES)


def _lines_with(title: str, request: Request) -> list[str]:
    texts = [getattr(block, "text", "") for message in request.messages for block in message.blocks]
    return [line for text in texts for line in text.splitlines() if title in line]


def _is_about_a_commit(line: str) -> bool:
    """Such as `41dd36cf88 title (names.py)` or a line of `git log`, or what is quoted of it."""
    return line.startswith("> ") or re.match(r"(- )?[0-9a-f]{10,40} ", line) is not None


def _examine_journal(db: Path, landed: int) -> None:
    with sqlite3.connect(db) as journal:
        ask = lambda sql: journal.execute(sql).fetchall()  # noqa: E731
        assert ask("SELECT state, count(*) FROM tasks GROUP BY state") == [("landed", landed)]
        assert ask("SELECT count(*) FROM handoffs") == [(landed + 1,)]
        assert ask("SELECT count(*) FROM events WHERE seq > (SELECT count(*) FROM events)") == [(0,)]
        assert {state for (state,) in ask("SELECT DISTINCT state FROM agents")} == {AgentState.DONE.value}
        assert ask("SELECT count(*) FROM tool_calls WHERE state = 'running'") == [(0,)]


async def test_no_tool_of_a_planner_changes_trunk(tmp_path: Path) -> None:
    def planner(request: Request) -> Turn:
        attempts = [
            turn(call("shell", command="echo mine > names.py; git commit -qam mine; git push origin HEAD:trunk")),
            turn(call("write_file", path="names.py", content="mine")),
            turn(call("edit_file", path="names.py", edits=[{"old": "NAMES", "new": "MINE"}])),
            turn(call("shell", command="cat names.py")),
            turn(call("submit_handoff", status="done", summary="nothing of mine should land")),
        ]
        return attempts[turns(request)]

    repo = make_repo(tmp_path / "repo", FILES)
    async with model_server(planner) as server:
        run = await started(repo, tmp_path / "state", settings("anthropic:a-model"), server.environ())
        summary = await run.run()
        last = server.requests[-1]
    assert summary.exit_status == 0
    assert summary.trunk == summary.base
    said = [block.text for message in last.messages for block in message.blocks if hasattr(block, "error")]
    assert "there is no tool 'write_file'" in said[1]
    assert "there is no tool 'edit_file'" in said[2]
    assert "mine" in said[3], "it may change its own workspace"
