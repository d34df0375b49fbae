"""What is known of a base outside of its run: the checks that it passed in earlier runs, and why it may fail.

A clean copy differs from a person's work tree in what git does not track. So the advice is about that.
"""

import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from engine.domain.errors import SwarmError
from engine.domain.os_text import path_str, path_text
from engine.domain.settings import Settings
from engine.domain.types import Check, CommitId
from engine.domain.units import duration_s
from engine.repo.git.git import USER_REPO_TIMEOUT_S, Git
from engine.sandbox.guarantees import SandboxReport

KEPT = 50
"""Passed checks that are kept for one repository, the newest."""
LISTED = 6
"""Names listed in a line of advice."""
_MAX_BYTES = 1 << 20
_INSTALLERS = (
    ("uv.lock", "uv sync --frozen"),
    ("poetry.lock", "poetry install"),
    ("pdm.lock", "pdm sync"),
    ("Pipfile.lock", "pipenv sync --dev"),
    ("requirements.txt", "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"),
    ("package-lock.json", "npm ci"),
    ("npm-shrinkwrap.json", "npm ci"),
    ("pnpm-lock.yaml", "pnpm install --frozen-lockfile"),
    ("yarn.lock", "yarn install --frozen-lockfile"),
    ("bun.lock", "bun install --frozen-lockfile"),
    ("bun.lockb", "bun install --frozen-lockfile"),
    ("Gemfile.lock", "bundle install --path vendor/bundle"),
    ("composer.lock", "composer install"),
    ("mix.lock", "mix deps.get"),
    ("Cargo.lock", "cargo fetch --locked"),
    ("go.sum", "go mod download"),
)
"""What installs the dependencies that a file at the top of a repository names."""
_OFFLINE = (
    "commands have no network: allow it with [sandbox] network = true in your own settings, or share a package cache "
    "with read_only"
)
_MISSING = re.compile(r"command not found|: not found|No such file or directory", re.IGNORECASE)
_POINTER = "git-lfs.github.com/spec"
_NEEDS_REFS = re.compile(r"cannot describe|origin/|refs/(?:tags|remotes)|No remote|setuptools.scm", re.IGNORECASE)

log = logging.getLogger("swarm")


class _Kept(msgspec.Struct, frozen=True):
    key: str
    check: Check


class BaseSurveys:
    """Implements protocols.Surveys for the commit `base` of the repository at `root`, whose objects are in `git_dir`.

    Passed checks are kept in `file`. What they depend on besides the commit is in the settings and in `sandbox`.
    """

    def __init__(
        self, file: Path, root: Path, git_dir: Path, base: CommitId, settings: Settings, sandbox: SandboxReport
    ) -> None:
        self._file = file
        self._root = root
        self._git = Git(git_dir, git_dir=git_dir, timeout_s=USER_REPO_TIMEOUT_S)
        self._base = base
        self._settings = settings
        self._key = _key(base, settings, sandbox)

    def kept(self) -> Check | None:
        """See protocols.Surveys. A file that cannot be read has none."""
        return next((each.check for each in self._read() if each.key == self._key), None)

    def keep(self, check: Check) -> None:
        """See protocols.Surveys."""
        others = [each for each in self._read() if each.key != self._key]
        written = self._file.with_suffix(f".{os.getpid()}.tmp")
        try:
            written.write_bytes(msgspec.json.encode([*others, _Kept(self._key, replace(check, output=""))][-KEPT:]))
            written.replace(self._file)
        except OSError as error:
            log.warning("cannot keep that the base passes the check: %s", error)

    def _read(self) -> list[_Kept]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=list[_Kept])
        except (OSError, msgspec.MsgspecError):
            return []

    async def advice(self, check: Check) -> tuple[str, ...]:
        """See protocols.Surveys. Git may fail to say some of it."""
        try:
            (top, links, submodules), ignored = await self._tracked(), await self._ignored()
        except SwarmError as error:
            log.warning("cannot look up why the check may fail in a clean copy: %s", error)
            top, links, submodules, ignored = set(), [], [], []
        lines = [
            self._about_time(check),
            self._about_setup(top, check),
            f"copies lack what git ignores; in your work tree: {_listed(ignored)}" if ignored else "",
            f"submodules are empty in copies: {_listed(submodules)}" if submodules else "",
            f"links lead out of the repository: {_listed(links)}" if links else "",
            "files kept by Git LFS are pointers in copies" if _POINTER in check.output else "",
            "copies have no remotes and no tags" if _NEEDS_REFS.search(check.output) else "",
            "commands see only the tools that `swarm-tui doctor` lists, and none of your environment variables"
            if check.exit == 127 or _MISSING.search(check.output)
            else "",
            f"to see it in your shell: git worktree add --detach DIR {self._base[:12]}, then run it in DIR",
        ]
        return tuple(line for line in lines if line)

    def _about_time(self, check: Check) -> str:
        if check.exit is not None or "timeout after" not in check.output:
            return ""
        limit = "[build] setup_timeout" if check.setup else "[repo] check_timeout"
        return f"a first build takes longest: raise {limit}" + (
            "" if check.setup else ", or build what the check needs in [build] setup"
        )

    def _about_setup(self, top: set[str], check: Check) -> str:
        offline = "" if self._settings.sandbox.network else _OFFLINE
        if check.setup:
            return offline
        found = [command for name, command in _INSTALLERS if name in top]
        if self._settings.build.setup or not found:
            return ""
        suggested = " && ".join(dict.fromkeys([*_first(found, _is_python), *_first(found, _is_not_python)]))
        line = f"if it needs installed dependencies, set in swarm.toml: [build] setup = {json.dumps(suggested)}"
        return f"{line}; {offline}" if offline else line

    async def _tracked(self) -> tuple[set[str], list[str], list[str]]:
        """The names at the top of the base, its links with absolute targets, and its submodules."""
        listed = await self._git.run("ls-tree", "-r", "-t", "-z", self._base, accept=range(256), limit=64 * _MAX_BYTES)
        top: set[str] = set()
        links: list[str] = []
        submodules: list[str] = []
        symlinks: list[tuple[str, str]] = []
        for entry in listed.out.split(b"\0"):
            about, _, raw = entry.partition(b"\t")
            name, words = path_text(raw), about.split()
            if not words:
                continue
            if "/" not in name:
                top.add(name)
            if words[0] == b"120000":
                symlinks.append((name, words[2].decode()))
            elif words[0] == b"160000":
                submodules.append(name)
        for name, blob in symlinks[:1_000]:
            target = (await self._git.run("cat-file", "blob", blob, accept=range(256), limit=4_096)).out
            if target.startswith(b"/"):
                links.append(name)
        return top, links, submodules

    async def _ignored(self) -> list[str]:
        """What git ignores in the person's work tree, where the check may pass because of it."""
        git = replace(self._git, cwd=self._root, work_tree=self._root)
        ask = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory", "--no-empty-directory")
        with tempfile.TemporaryDirectory(prefix="swarm-tui-") as folder:
            index = {"GIT_INDEX_FILE": f"{folder}/index"}
            await self._git.run("read-tree", self._base, env=index)
            found = await git.run(*ask, accept=range(256), limit=_MAX_BYTES, env=index)
        return [path_text(name) for name in found.out.split(b"\0") if name]


def _key(base: CommitId, settings: Settings, sandbox: SandboxReport) -> str:
    """What a check's result depends on: commit, commands and limits, containment, and the machine's tools."""
    repo, build = settings.repo, settings.build
    folders = sorted({*os.environ.get("PATH", "").split(os.pathsep), *map(path_str, sandbox.tools)})
    tools = [(path_text(folder), os.stat(folder).st_mtime_ns) for folder in folders if os.path.isdir(folder)]
    commands = (repo.check, duration_s(repo.check_timeout), build.setup, duration_s(build.setup_timeout))
    parts = (base, commands, settings.sandbox, sandbox.level.value, sandbox.method.value, tools)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _is_python(command: str) -> bool:
    return command.startswith(("uv", "poetry", "pdm", "pipenv", "python3"))


def _is_not_python(command: str) -> bool:
    return not _is_python(command)


def _first(commands: list[str], wanted: Callable[[str], bool]) -> list[str]:
    return [command for command in commands if wanted(command)][:1]


def _listed(names: list[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")
