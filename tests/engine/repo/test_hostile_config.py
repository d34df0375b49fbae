"""The configuration of the user's repository runs nothing: every key of git's own list is tried with a program."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from engine.domain.errors import SwarmError
from engine.domain.types import CommitId, RunId
from engine.repo.check import suggest_check
from engine.repo.landing.trunk import GitTrunk
from engine.repo.landing.user_branches import publish
from engine.repo.source import inspect_repo
from engine.repo.workspaces.excludes import excludes_file
from tests.engine.repo.user_repo import UserRepo

RUN = RunId("r-1")
AT_A_TIME = 4
PARTS = 10
PLACEHOLDERS = {
    "<name>": "origin",
    "<driver>": "x",
    "<tool>": "x",
    "<url>": "https://example.org",
    "<condition>": "gitdir:/",
    "<format>": "openpgp",
    "<cmd>": "status",
    "<command>": "amend",
    "<base>": "/",
    "*": "x",
}
PROTOCOLS = ("ext", "file", "fd", "ssh", "git", "http", "https", "ftp")
SHELL = ("alias", "credential")
"""Sections whose values are shell commands after an exclamation mark."""
ALLOWED = "".join(f'[protocol "{name}"]\n\tallow = always\n' for name in PROTOCOLS)
ATTRIBUTES = b"* filter=x diff=x merge=x text=auto working-tree-encoding=UTF-8\n"


def all_keys() -> list[str]:
    """The keys of `git help --config`, with names that would take effect in place of placeholders."""
    listed = subprocess.run(["git", "help", "--config"], capture_output=True, text=True, check=True).stdout
    keys = [line for line in listed.splitlines() if "." in line and " " not in line]
    for placeholder, name in PLACEHOLDERS.items():
        keys = [key.replace(placeholder, name) for key in keys]
    return [key.replace("<", "").replace(">", "") for key in keys]


def setting(key: str, value: str) -> str:
    section, _, name = key.rpartition(".")
    head, _, sub = section.partition(".")
    heading = f'{head} "{sub}"' if sub else head
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'[{heading}]\n\t{name} = "{quoted}"\n'


def hostile_configs(program: str) -> dict[str, str]:
    """A name for each configuration, and its text. `program` leaves a marker when it runs."""
    found = {key: setting(key, f"!{program}" if key.split(".")[0] in SHELL else program) for key in all_keys()}
    for instead in ("insteadOf", "pushInsteadOf"):
        for prefix in ("/", "", "file://", "ext::"):
            for protocol in PROTOCOLS:
                to = f"ext::{program} " if protocol == "ext" else f"{protocol}://localhost/"
                name = f"url {protocol} {instead} {prefix}"
                config = f'{ALLOWED}[url "{to}"]\n\t{instead} = "{prefix}"\n[core]\n\tsshCommand = {program}\n'
                found[name] = f"{config}\tgitProxy = {program}\n"
    found["a partial clone that fetches what is missing"] = (
        f'{ALLOWED}[extensions]\n\tpartialClone = origin\n[remote "origin"]\n\turl = "ext::{program}"\n'
        "\tpromisor = true\n\tpartialclonefilter = blob:none\n[core]\n\trepositoryFormatVersion = 1\n"
    )
    return found


@pytest.fixture
async def template(tmp_path: Path) -> tuple[UserRepo, GitTrunk]:
    """A repository with a dirty work tree and hooks, and a run on it that has something to publish."""
    repo = UserRepo.make(tmp_path / "template", {"a.txt": b"a\n", ".gitattributes": ATTRIBUTES, "Makefile": b"test:\n"})
    (tmp_path / "run").mkdir()
    trunk = await GitTrunk.create(tmp_path / "run", await inspect_repo(repo.root), RUN)
    await trunk.land(CommitId(repo.change(trunk.base, {"b.txt": b"b\n"})), "landed\n")
    await trunk.move_green(await trunk.tip())
    repo.write({"a.txt": b"dirty\n"})
    return repo, trunk


def test_git_lists_its_keys() -> None:
    assert len(all_keys()) > 600


@pytest.mark.parametrize("part", range(PARTS))
async def test_no_key_of_the_repos_config_runs_a_program(
    part: int, template: tuple[UserRepo, GitTrunk], tmp_path: Path
) -> None:
    repo, trunk = template
    places = asyncio.Semaphore(AT_A_TIME)

    async def attempt(number: int, name: str) -> str | None:
        async with places:
            root, program = tmp_path / f"r{number}", tmp_path / f"p{number}"
            await asyncio.to_thread(prepare, repo.root, root, program)
            config = root / ".git" / "config"
            config.write_text(config.read_text() + hostile_configs(str(program))[name])
            published = await use(root, trunk)
            ran = program.with_suffix(".ran").exists()
            await asyncio.to_thread(shutil.rmtree, root)
            return f"{name} ran" if ran else None if published else f"unusable: {name}"

    names = list(hostile_configs("program"))[part::PARTS]
    answers = await asyncio.gather(*(attempt(number, name) for number, name in enumerate(names)))
    assert [answer for answer in answers if answer and answer.endswith("ran")] == []
    # Most values are not valid for their keys but git ignores them, so that the attempts reach the end.
    assert sum(answer is None for answer in answers) > len(names) * 0.5


def prepare(template: Path, root: Path, program: Path) -> None:
    shutil.copytree(template, root, symlinks=True)
    program.write_text(f"#!/bin/sh\n: >'{program.with_suffix('.ran')}'\n")
    program.chmod(0o755)
    hooks = root / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("reference-transaction", "post-index-change", "post-checkout", "pre-auto-gc", "fsmonitor-watchman"):
        shutil.copy(program, hooks / hook)


async def use(root: Path, trunk: GitTrunk) -> bool:
    """Do everything that the program does in a user's repository; whether it could be done to the end."""
    try:
        source = await inspect_repo(root)
        await suggest_check(source)
        await excludes_file(source.common_dir)
        (root.parent / f"{root.name}-run").mkdir()
        if root.name.endswith("0"):  # the trunk reads objects, for which one in ten is enough
            await GitTrunk.create(root.parent / f"{root.name}-run", source, RUN)
        assert await publish(trunk.git_dir, root, RUN, ["trunk", "green"]) == ""
    except SwarmError:
        return False
    return True
