"""Whole runs in which what an earlier landing left behind makes a check pass or fail that a clean clone would not."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.domain.conversation import Request, Turn
from engine.domain.settings import BuildSettings, ModelsSettings, RepoSettings, SandboxSettings, Settings, SwarmSettings
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
    git(folder, "clone", "-q", "--no-checkout", str(folder / "repo"), str(clone))
    git(clone, "checkout", "-q", commit)
    return subprocess.run(["sh", "-c", check], cwd=clone, check=False).returncode == 0


LEAVES = {
    "a folder of the build": ("mkdir -p target && touch target/x", "test -e target/x"),
    "another ignored file": ("touch x.tmp", "test -e x.tmp"),
    "an empty folder": ("mkdir -p left", "test -d left"),
    "git's own folder": ("touch .git/x", "test -e .git/x"),
    "/tmp": ("touch /tmp/x", "test -e /tmp/x"),
    "/dev/shm": ("touch /dev/shm/x", "test -e /dev/shm/x"),
    "the home folder": ("touch ~/x", "test -e ~/x"),
    "a process": ("setsid sleep 1000 >/dev/null 2>&1 &", "grep -q sleep /proc/[0-9]*/comm"),
}
"""What a check can leave behind, and how a later one looks for it."""


def leaving(how: str) -> tuple[dict[str, str], Landings]:
    """A project whose check leaves something behind while `maker` says so, and needs it once `needs` does."""
    leaves, finds = LEAVES[how]
    script = f"if grep -q yes maker; then {leaves}\nfi\nif grep -q yes needs; then {finds}\nfi\n"
    files = {".gitignore": "target/\n*.tmp\n", "maker": "no\n", "needs": "no\n", "check.sh": script}
    return files, {"step 1": {"maker": "yes\n"}, "step 2": {"maker": "no\n", "needs": "yes\n"}}


def branches(folder: Path) -> dict[str, str]:
    listed = git(folder / "repo", "for-each-ref", "--format=%(refname:lstrip=-1)=%(objectname)", "refs/heads/swarm")
    return dict(line.split("=") for line in listed.split())


@pytest.mark.parametrize("copies", ["overlay", "checkout"])
@pytest.mark.parametrize("how", LEAVES)
async def test_what_an_earlier_check_left_behind_does_not_make_a_run_end_green(
    tmp_path: Path, copies: str, how: str
) -> None:
    files, landings = leaving(how)
    summary = await ran(tmp_path, files, landings, "sh check.sh", sandbox=SandboxSettings(copies=copies))
    published = branches(tmp_path)
    assert git(tmp_path / "repo", "show", f"{published['trunk']}:needs") == "yes\n"
    assert summary.exit_status != 0
    assert published["green"] != published["trunk"]
    if how not in ("/tmp", "/dev/shm", "the home folder", "a process"):
        assert not passes_in_a_clean_clone(tmp_path, published["trunk"], "sh check.sh")


async def test_the_order_in_which_files_landed_does_not_make_a_run_end_green(tmp_path: Path) -> None:
    check = "make -s && cmp input output"
    files = {"Makefile": "output: input\n\tcp input output\n", "input": "1\n", "output": "1\n"}
    summary = await ran(tmp_path, files, {"step 1": {"input": "2\n"}}, check)
    assert not passes_in_a_clean_clone(tmp_path, branches(tmp_path)["trunk"], check)
    assert summary.exit_status != 0
    assert summary.green == summary.base


SETUP = {".gitignore": "made\n", "setup.sh": "cp source made\n", "source": "1\n"}


@pytest.mark.parametrize("copies", ["overlay", "checkout"])
async def test_what_the_setup_command_made_of_another_commit_does_not_make_a_run_end_green(
    tmp_path: Path, copies: str
) -> None:
    more = {"sandbox": SandboxSettings(copies=copies), "build": BuildSettings(setup="sh setup.sh")}
    summary = await ran(tmp_path, SETUP, {"step 1": {"source": "2\n"}}, "grep -q 1 made", **more)
    assert not passes_in_a_clean_clone(tmp_path, branches(tmp_path)["trunk"], "sh setup.sh && grep -q 1 made")
    assert summary.exit_status != 0
    assert summary.green == summary.base


@pytest.mark.parametrize("copies", ["overlay", "checkout"])
async def test_a_check_that_needs_what_the_setup_command_makes_turns_green(tmp_path: Path, copies: str) -> None:
    more = {"sandbox": SandboxSettings(copies=copies), "build": BuildSettings(setup="sh setup.sh")}
    summary = await ran(tmp_path, SETUP, {"step 1": {"other": "2\n"}}, "grep -q 1 made", **more)
    assert passes_in_a_clean_clone(tmp_path, branches(tmp_path)["trunk"], "sh setup.sh && grep -q 1 made")
    assert (summary.exit_status, summary.green) == (0, summary.trunk)


@pytest.mark.parametrize("copies", ["overlay", "checkout"])
async def test_what_an_earlier_check_left_behind_does_not_make_a_run_end_red(tmp_path: Path, copies: str) -> None:
    files, landings = leaving("a folder of the build")
    files["check.sh"] = files["check.sh"].replace("test -e", "! test -e")
    summary = await ran(tmp_path, files, landings, "sh check.sh", sandbox=SandboxSettings(copies=copies))
    assert passes_in_a_clean_clone(tmp_path, branches(tmp_path)["trunk"], "sh check.sh")
    assert (summary.exit_status, summary.green) == (0, summary.trunk)
    assert summary.tasks["landed"] == 2, "and no fixup is made for it"
