"""A public orchestrator: Bernstein (Apache-2.0), which runs command-line agents in worktrees and merges their branches.

It is not a dependency of the project: the bench uses the `bernstein` that is on PATH, or that BENCH_ORCHESTRATOR names.
It gets the tasks as a plan with the files that each changes, so that it needs no model to plan and keeps tasks of one
file apart, and the project's check as its gate. Its agents are command_line_agent.py.
"""

import asyncio
import os
import shutil
import sys
import time
from pathlib import Path

import msgspec
import psutil

from tests.bench.alternatives.agents import git, run
from tests.bench.alternatives.work import Account, Outcome, Plan, paths

AGENT = Path(__file__).with_name("command_line_agent.py")
AGENTS = 2
"""At a time. It starts at most 2 agents in 10 seconds, each with up to 2 tasks, and counts a start beyond that as a
failure of the tasks; with more agents fewer tasks land."""
BRANCH = "work"
"""It refuses to merge to a repository's default branch."""


def installed() -> str | None:
    """The program, if there is one."""
    return shutil.which(os.environ.get("BENCH_ORCHESTRATOR", "bernstein"))


async def by_orchestrator(folder: Path, source: Path, plan: Plan, account: Account) -> Outcome:
    """Do a plan in this way. The model server, whose address is in the environment, keeps the account."""
    start, began_at = time.monotonic(), time.time()
    program, project = installed(), folder / "project"
    assert program is not None
    await git(folder, "clone", "-q", "-o", "source", str(source), str(project))
    await git(project, "checkout", "-q", "-b", BRANCH)
    await git(project, "remote", "remove", "source")
    for name, value in (("name", "agent"), ("email", "agent@localhost")):
        await git(project, "config", f"user.{name}", value)
    await asyncio.to_thread(_prepare, folder, plan)
    command = [program, "run", str(folder / "plan.yaml"), "--cli", "generic", "--model", "scripted"]
    command += ["--auto-approve", "--quiet"]
    environ = {"HOME": str(folder), "PATH": f"{folder / 'bin'}:{Path(program).parent}:{os.environ['PATH']}"}
    os.environ |= environ
    outcome = Outcome({}, [], str(project), 0.0, agents=AGENTS)
    try:
        async with asyncio.timeout(plan.longest_s):
            _, output = await run(project, *command)
        outcome.notes.append(" ".join(output.split()[-60:]))
    except TimeoutError:
        outcome.notes.append("stopped at the longest time")
    outcome.over_s = time.monotonic() - start
    for process in psutil.Process().children(recursive=True):
        process.kill()
    await _read_branch(project, began_at, plan, outcome)
    return outcome


def _prepare(folder: Path, plan: Plan) -> None:
    (folder / "bin").mkdir(parents=True)
    for name in ("generic", "generic-cli", "report"):
        words = f"{sys.executable} -S -E {AGENT} {name} {os.environ['OPENAI_BASE_URL']}"
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (folder / "bin" / name).chmod(0o755)
    steps = [
        {"title": title, "description": f"do {title}", "role": "backend", "scope": "small", "files": paths(title)}
        for title in plan.titles
    ]
    stages = [{"name": "all", "steps": steps}]
    whole = {"name": "bench", "description": "all tasks", "cli": "generic", "stages": stages}
    (folder / "plan.yaml").write_bytes(msgspec.json.encode(whole))
    gates = {"lint": False, "tests": True, "test_command": "sh check.sh && echo check-passed"}
    seed = {"goal": "all tasks", "cli": "generic", "max_agents": AGENTS, "quality_gates": gates}
    runtime = folder / "project" / ".sdd" / "runtime"
    runtime.mkdir(parents=True)
    (runtime / "run_config.json").write_text('{"approval": "auto", "merge_strategy": "direct"}')
    (folder / "project" / "bernstein.yaml").write_bytes(msgspec.json.encode(seed))


async def _read_branch(project: Path, began_at: float, plan: Plan, outcome: Outcome) -> None:
    """What has landed, and when: the branch's own history."""
    tips = await git(project, "log", "--first-parent", "--reverse", "--format=%H %ct", f"main..{BRANCH}")
    for line in tips.splitlines():
        commit, at = line.split()
        seconds = max(0.0, float(at) - began_at)
        outcome.tips.append((seconds, commit))
        for title in (await git(project, "log", "--format=%s", f"{commit}^..{commit}")).splitlines():
            if title in plan.titles:
                outcome.landed.setdefault(title, seconds)
