"""The configuration of the user's repository runs nothing: every key of git's own list is tried with a program.

Each key gets a repository of its own, in which everything is done that concerns the user's repository. A whole run,
from inspection to a conflict, has all keys at once that git accepts.
"""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.domain.errors import SwarmError
from engine.domain.settings import SandboxSettings
from engine.domain.types import AgentId, CommitId, LandingState, RunId
from engine.repo.check import suggest_check
from engine.repo.git.commit_patch import landed_patch
from engine.repo.landing.housekeeping import Housekeeper
from engine.repo.landing.trunk import GitTrunk
from engine.repo.landing.user_branches import publish
from engine.repo.source import inspect_repo
from engine.repo.workspaces.excludes import excludes_file
from engine.repo.workspaces.pool import open_workspaces
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
REFUSED = re.compile(r"core\.(worktree|sharedRepository)|promisor|partialClone", re.IGNORECASE)
"""Settings with which git cannot write, or no run can start: work trees elsewhere, and partial clones."""
PROGRAM_VARIABLES = (
    *(
        "GIT_ASKPASS",
        "SSH_ASKPASS",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_PROXY_COMMAND",
        "GIT_EDITOR",
        "EDITOR",
        "VISUAL",
    ),
    *("GIT_SEQUENCE_EDITOR", "GIT_PAGER", "PAGER", "GIT_EXTERNAL_DIFF", "GIT_MERGE_AUTOEDIT", "GIT_MAN_VIEWER"),
)
TRACE_VARIABLES = (
    *("GIT_TRACE", "GIT_TRACE2", "GIT_TRACE2_EVENT", "GIT_TRACE2_PERF", "GIT_TRACE_SETUP", "GIT_TRACE_PERFORMANCE"),
    *("GIT_TRACE_REFS", "GIT_TRACE_PACK_ACCESS", "GIT_TRACE_FSMONITOR"),
)
ALLOWED = "".join(f'[protocol "{name}"]\n\tallow = always\n' for name in PROTOCOLS)
ATTRIBUTES = b"* filter=x diff=x merge=x text=auto working-tree-encoding=UTF-8\nfree.txt -filter\n"


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
async def template(tmp_path: Path) -> tuple[UserRepo, list[Path]]:
    """A repository with a dirty work tree, and a run's trunk at two moments, both with something to publish."""
    repo = UserRepo.make(tmp_path / "template", {"a.txt": b"a\n", ".gitattributes": ATTRIBUTES, "Makefile": b"test:\n"})
    (tmp_path / "run").mkdir()
    trunk = await GitTrunk.create(tmp_path / "run", await inspect_repo(repo.root), RUN)
    await trunk.land(CommitId(repo.change(trunk.base, {"b.txt": b"b\n"})), "landed\n")
    await trunk.move_green(await trunk.tip())
    shutil.copytree(trunk.git_dir, tmp_path / "earlier.git", symlinks=True)
    await trunk.land(CommitId(repo.change(trunk.base, {"c.txt": b"c\n"})), "landed\n")
    await trunk.move_green(await trunk.tip())
    repo.write({"a.txt": b"dirty\n"})
    return repo, [tmp_path / "earlier.git", trunk.git_dir]


def test_git_lists_its_keys() -> None:
    assert len(all_keys()) > 600


@pytest.mark.parametrize("part", range(PARTS))
async def test_no_key_of_the_repos_config_runs_a_program(
    part: int, template: tuple[UserRepo, list[Path]], tmp_path: Path
) -> None:
    repo, moments = template
    places = asyncio.Semaphore(AT_A_TIME)

    async def attempt(number: int, name: str) -> str | None:
        async with places:
            root, program = tmp_path / f"r{number}", tmp_path / f"p{number}"
            await asyncio.to_thread(prepare, repo.root, root, program)
            config = root / ".git" / "config"
            config.write_text(config.read_text() + hostile_configs(str(program))[name])
            published = await use(root, moments)
            ran = program.with_suffix(".ran").exists()
            await asyncio.to_thread(shutil.rmtree, root)
            return f"{name} ran" if ran else None if published else f"unusable: {name}"

    names = list(hostile_configs("program"))[part::PARTS]
    answers = await asyncio.gather(*(attempt(number, name) for number, name in enumerate(names)))
    assert [answer for answer in answers if answer and answer.endswith("ran")] == []
    # Most values are not valid for their keys but git ignores them, so that the attempts reach the end.
    assert sum(answer is None for answer in answers) > len(names) * 0.5


@pytest.mark.parametrize("lost", ["commit", "blob"])
async def test_a_partial_clone_that_lacks_objects_fetches_none(lost: str, tmp_path: Path) -> None:
    repo = UserRepo.make(tmp_path / "clean", {"a.txt": b"a\n"})
    program, root = tmp_path / "program", tmp_path / "repo"
    prepare(repo.root, root, program)
    oid = repo.git("rev-parse", "HEAD" if lost == "commit" else "HEAD:a.txt")
    (root / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    config = root / ".git" / "config"
    texts = [text for name, text in hostile_configs(str(program)).items() if "partial clone" in name]
    config.write_text(config.read_text() + "".join(texts))
    with pytest.raises(SwarmError):
        await GitTrunk.create(tmp_path, await inspect_repo(root), RUN)
    assert not program.with_suffix(".ran").exists()


def prepare(template: Path, root: Path, program: Path) -> None:
    shutil.copytree(template, root, symlinks=True)
    program.write_text(f"#!/bin/sh\n: >'{program.with_suffix('.ran')}'\n")
    program.chmod(0o755)
    hooks = root / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("reference-transaction", "post-index-change", "post-checkout", "pre-auto-gc", "fsmonitor-watchman"):
        shutil.copy(program, hooks / hook)


async def use(root: Path, moments: list[Path]) -> bool:
    """Do everything that the program does in a user's repository; whether it could be done to the end."""
    try:
        source = await inspect_repo(root)
        await suggest_check(source)
        await excludes_file(source.common_dir)
        for trunk_git in moments:
            if await publish(trunk_git, root, RUN, ["trunk"]):
                return False
    except SwarmError:
        return False
    return True


def append_accepted(config: Path, texts: list[str]) -> int:
    """Append all of these settings with which git still starts; returns how many."""
    before = config.read_text()
    config.write_text(before + "".join(texts))
    commands = (["rev-parse", "--show-toplevel"], ["rev-parse", "HEAD^{tree}"], ["worktree", "list"])
    repo = UserRepo(config.parent.parent)
    if not any(repo.status("-c", "core.hooksPath=/dev/null", *command) for command in commands):
        return len(texts)
    config.write_text(before)
    half = len(texts) // 2
    return append_accepted(config, texts[:half]) + append_accepted(config, texts[half:]) if half else 0


async def whole_run(repo: UserRepo, folder: Path) -> None:
    """All that a run does with git, in the user's repository and elsewhere, from inspection to a conflict."""
    os.mkdir(folder)
    source = await inspect_repo(repo.root)
    await suggest_check(source)
    trunk = await GitTrunk.create(folder, source, RUN)
    trunk = await GitTrunk.open(folder)
    assert await trunk.publish() == ""
    settings = SandboxSettings(level="off", copies="checkout")
    pool = await open_workspaces(folder / "copies", trunk.git_dir, settings, trunk.base, trunk.pending)
    first, second = [await pool.open(AgentId(f"a-{number}"), trunk.base) for number in (1, 2)]
    config = repo.root / ".git" / "config"
    await first.run(f"cat '{config}' >> .git/config; cp -r '{config.parent}/hooks' .git", 30.0, lambda _: None)
    await first.write_file("free.txt", b"first\n")
    await second.write_file("free.txt", b"second\n")
    assert await first.changed() == ("free.txt",)
    assert "first" in await first.diff()
    result = await trunk.land(await first.commit("first\n"), "first\n")
    assert result.commit
    await first.advance(result.commit, result.commit)
    await trunk.move_green(result.commit)
    assert await trunk.publish() == ""
    assert "first" in await landed_patch(trunk.git_dir, result.commit)
    assert await trunk.read_file(result.commit, "free.txt") == b"first\n"
    conflict = await trunk.land(await second.commit("second\n"), "second\n")
    assert conflict.state is LandingState.CONFLICTED
    assert conflict.merged
    await second.advance(conflict.merged, conflict.base)
    await Housekeeper(trunk.git_dir).tidy()
    await pool.close()
    await trunk.publish()
    assert repo.git("-c", "core.hooksPath=/dev/null", "rev-parse", f"swarm/{RUN}/green") == result.commit


@pytest.fixture
def hostile(tmp_path: Path) -> UserRepo:
    """A repository with hooks and every setting that git accepts."""
    UserRepo.make(tmp_path / "clean", {"a.txt": b"a\n", ".gitattributes": ATTRIBUTES, "Makefile": b"test:\n"})
    program, repo = tmp_path / "program", UserRepo(tmp_path / "repo")
    prepare(tmp_path / "clean", repo.root, program)
    configs = hostile_configs(str(program))
    texts = [text for name, text in configs.items() if not REFUSED.search(name + text)]
    assert append_accepted(repo.root / ".git" / "config", texts) > len(configs) * 0.8
    repo.write({"a.txt": b"dirty\n"})
    program.with_suffix(".ran").unlink(missing_ok=True)
    return repo


async def test_a_whole_run_in_a_repo_with_every_setting_runs_no_program(
    hostile: UserRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logged_git(tmp_path, monkeypatch)
    await whole_run(hostile, tmp_path / "run")
    assert not (tmp_path / "program.ran").exists()
    # Under the repository's configuration, git may only look up where things are. A key that no one knows yet can run
    # programs in commands that write or read objects and files.
    theirs = {tuple(words) for git_dir, words in log() if not git_dir or Path(git_dir).is_relative_to(hostile.root)}
    commands = {words[0] for words in theirs}
    assert commands == {"config", "init", "rev-parse", "show-ref", "symbolic-ref", "version", "worktree"}
    options = {word for words in theirs for word in words if words[0] in ("config", "symbolic-ref", "worktree")}
    assert not options & {"--add", "--unset", "--replace-all", "add", "prune"}


def logged_git(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[tuple[str, list[str]]]]:
    """Record every git process from now on: its GIT_DIR, and its words without settings."""
    real, log = shutil.which("git"), folder / "git.log"
    (folder / "bin").mkdir()
    wrapper = folder / "bin" / "git"
    wrapper.write_text(
        f"#!/bin/sh\n{{ printf '%s' \"$GIT_DIR\"; printf '\\001%s' \"$@\"; echo; }} >>'{log}'\nexec '{real}' \"$@\"\n"
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")

    def read() -> list[tuple[str, list[str]]]:
        found = []
        for line in log.read_text().splitlines():
            git_dir, *words = line.split("\1")
            while words[0] == "-c":
                words = words[2:]
            found.append((git_dir, words))
        return found

    return read


async def test_git_variables_of_the_caller_change_nothing(
    hostile: UserRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program"
    other = UserRepo.make(tmp_path / "other", {"o": b"o\n"})
    (tmp_path / "exec").mkdir()
    for name in ("git", "git-upload-pack", "git-index-pack", "git-remote-ext", "git-merge-tree"):
        shutil.copy(program, tmp_path / "exec" / name)
    (tmp_path / "config").write_text("".join(hostile_configs(str(program)).values()))
    git_dir, objects = other.root / ".git", other.root / ".git" / "objects"
    for name, value in {
        **dict.fromkeys(("GIT_DIR", "GIT_COMMON_DIR"), str(git_dir)),
        **dict.fromkeys(
            ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH"), str(objects)
        ),
        **dict.fromkeys(("GIT_WORK_TREE", "GIT_PREFIX", "GIT_CEILING_DIRECTORIES"), str(other.root)),
        **dict.fromkeys(PROGRAM_VARIABLES, str(program)),
        **dict.fromkeys(TRACE_VARIABLES, str(tmp_path / "program.ran")),
        "GIT_EXEC_PATH": str(tmp_path / "exec"),
        "GIT_TEMPLATE_DIR": str(hostile.root / ".git"),
        "GIT_CONFIG": str(tmp_path / "config"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": str(hostile.root / ".git" / "hooks"),
        "GIT_CONFIG_PARAMETERS": f"'core.fsmonitor'='{program}'",
        "GIT_INDEX_FILE": "/nonexistent",
        "GIT_SHALLOW_FILE": "/nonexistent",
        "GIT_GRAFT_FILE": "/nonexistent",
        "GIT_NAMESPACE": "elsewhere",
        "GIT_DEFAULT_HASH": "sha256",
        "GIT_DEFAULT_REF_FORMAT": "reftable",
        "GIT_REPLACE_REF_BASE": "refs/heads/",
        "GIT_ALLOW_PROTOCOL": "ext:file",
        "GIT_PROTOCOL_FROM_USER": "1",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_ATTR_SOURCE": "HEAD",
        "GIT_AUTHOR_DATE": "never",
        "GIT_COMMITTER_DATE": "never",
        "GIT_DIFF_OPTS": "--unified=0",
        "GIT_FLUSH": "no",
        "GIT_ICASE_PATHSPECS": "1",
        "GIT_MERGE_VERBOSITY": "9",
        "GIT_PERF_REPEAT_COUNT": "9",
    }.items():
        monkeypatch.setenv(name, value)
    before = other.fingerprint(RUN)
    await whole_run(hostile, tmp_path / "run")
    assert not (tmp_path / "program.ran").exists()
    assert other.fingerprint(RUN) == before
    assert sorted(path.name for path in (tmp_path / "run" / "trunk.git").glob("hooks/*")) == []
