"""Whole runs in which what an earlier landing left behind makes a check pass or fail that a clean clone would not."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.domain.conversation import Request, Turn
from engine.domain.settings import ModelsSettings, RepoSettings, SandboxSettings, Settings, SwarmSettings
from engine.reports.summary import Summary
from tests.engine.model_server import model_server
from tests.engine.real_runs import git, make_repo, started
from tests.engine.scripts import done, said, tasks, turns, writes
from tests.simulated import call, first_line, turn

Landings = Mapping[str, Mapping[str, str]]
"""What each task writes, by its title, in order; an empty file stands for a removed one."""


def brain(landings: Landings):
    """A planner that has the tasks done one after the other, and hands off; fixups change nothing."""
    titles = list(landings)

    def script(request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            ended = said(request).count("# Handoff: step")
            spawned = sum("spawn_tasks" in str(message.blocks) for message in request.messages)
            if ended == spawned and ended < len(titles):
                return tasks(titles[ended])
            return done() if ended == len(titles) else turn(call("wait"))
        if heading.startswith("# Repair"):
            return done("nothing to repair")
        files = list(landings[heading.removeprefix("# Task: ")].items())
        if turns(request) < len(files):
            return writes(*files[turns(request)])
        return done()

    return script


async def ran(folder: Path, files: Mapping[str, str], landings: Landings, check: str, **more: object) -> Summary:
    """A whole run, one landing after the other, with a check after each."""
    repo = make_repo(folder / "repo", files)
    wanted = Settings(
        models=ModelsSettings(*["anthropic:a-model"] * 4),
        repo=RepoSettings(check=check, check_landings=1, fixups=1),
        swarm=SwarmSettings(workers=1),
        **more,  # type: ignore[arg-type]
    )
    async with model_server(brain(landings)) as server:
        run = await started(repo, folder / "state", wanted, server.environ())
        return await run.run()


def passes_in_a_clean_clone(folder: Path, commit: str, check: str) -> bool:
    clone = folder / "clone"
    git(folder, "clone", "-q", str(folder / "repo"), str(clone))
    git(clone, "checkout", "-q", commit)
    return subprocess.run(["sh", "-c", check], cwd=clone, check=False).returncode == 0


POISONED = {
    ".gitignore": "target/\n",
    "maker": "no\n",
    "needs": "no\n",
    "check.sh": "grep -q yes maker && mkdir -p target && touch target/poison\n"
    "grep -q no needs || test -e target/poison\n",
}
POISONING: Landings = {"step 1": {"maker": "yes\n"}, "step 2": {"maker": "no\n", "needs": "yes\n"}}


@pytest.mark.parametrize("copies", ["overlay", "checkout"])
async def test_a_run_whose_check_passes_only_on_earlier_builds_does_not_end_green(tmp_path: Path, copies: str) -> None:
    summary = await ran(tmp_path, POISONED, POISONING, "sh check.sh", sandbox=SandboxSettings(copies=copies))
    print(f"exit status {summary.exit_status}, trunk {summary.trunk[:9]}, green {str(summary.green)[:9]}")
    refs = git(tmp_path / "repo", "for-each-ref", "--format=%(refname:lstrip=-1)=%(objectname)", "refs/heads/swarm")
    branches = dict(line.split("=") for line in refs.split())
    assert not passes_in_a_clean_clone(tmp_path, branches["trunk"], "sh check.sh")
    assert summary.exit_status != 0
    assert branches["green"] != branches["trunk"]
