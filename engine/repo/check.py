"""Runs the project's check on trunk commits in a sandbox, and suggests a check command for a project."""

import asyncio
import json
import re
import tomllib
from pathlib import PurePosixPath

from engine.domain import os_text
from engine.domain.answer_text import shortened
from engine.domain.types import AgentId, Check, CommitId
from engine.ports.protocols import Clock, Output, Workspace, WorkspaceLost, Workspaces
from engine.repo.git.git import Git
from engine.repo.git.own_git_dir import own_git_dir
from engine.repo.source import SourceRepo

_MAX_FILE_BYTES = 1024 * 1024
_NPM_PLACEHOLDER = "no test specified"
_MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
_SUMMARY = re.compile(r"^(?:=+ )?(?:no tests ran|\d+ \w+(?:, \d+ \w+)*) in [\d.]+s\b")
_COUNT = re.compile(r"\b(\d+) (passed|failed|errors?)\b")
_FAILED_TEST = re.compile(r"^(?:FAILED|ERROR) (\S+?\.py(?:::\S+)?)", re.MULTILINE)
_MAX_NAMED_TESTS = 50
"""Failed tests listed by name."""
_TEST_FILE = re.compile(r"^(?:tests?/(?:.*/)?)?(?:test_[^/]*|[^/]*_test)\.py$")


class ContainedChecker:
    """Implements protocols.Checker. Checks of one checker run one at a time; `timeout_s` limits the check command.

    A check from nothing gets a new checkout in a workspace of its own. For the others there are two ways: if workspaces
    can start from kept builds, each gets a workspace of its own, and agents' workspaces start from the same builds;
    otherwise one workspace advances from commit to commit. A check with nothing to start from is one from nothing.
    """

    def __init__(
        self, workspaces: Workspaces, clock: Clock, command: str, timeout_s: float, agent: AgentId | None = None
    ) -> None:
        self.command = command
        self._workspaces = workspaces
        self._clock = clock
        self._timeout_s = timeout_s
        self._agent = agent or AgentId("check")
        self._workspace: Workspace | None = None
        self._has_builds = False
        self._one_at_a_time = asyncio.Lock()

    async def check(self, commit: CommitId, *, clean: bool = False) -> Check:
        """See protocols.Checker. Raises WorkspaceLost when its workspace is lost twice in a row."""
        async with self._one_at_a_time:
            if clean:
                await self._drop()
            try:
                return await self._check(commit, clean)
            except WorkspaceLost:
                await self._drop()
            try:
                return await self._check(commit, clean)
            except WorkspaceLost:
                await self._drop()
                raise

    async def discard_builds(self) -> None:
        async with self._one_at_a_time:
            await self._discard_builds()

    async def close(self) -> None:
        """Remove the workspace; the next check opens a new one."""
        async with self._one_at_a_time:
            await self._drop()

    async def _check(self, commit: CommitId, clean: bool) -> Check:
        clean = clean or (self._workspace is None and not self._has_builds)
        setup = await self._workspaces.set_up(commit) if clean else None
        if setup is not None and setup.exit != 0:
            return self._result(commit, setup, setup.wall_s, clean=True, setup=self._workspaces.setup)
        if self._workspace is None:
            self._workspace = await self._workspaces.open(self._agent, commit, clean=clean, preferred=True)
        else:
            await self._workspace.advance(commit, commit)
        try:
            output = await self._workspace.run(self.command, self._timeout_s, _ignore)
        except asyncio.CancelledError:
            await self._drop()  # the interrupted command may have left files in any state
            raise
        await self._hand_over_builds(output, clean)
        return self._result(commit, output, output.wall_s + (setup.wall_s if setup is not None else 0.0), clean=clean)

    def _result(self, commit: CommitId, output: Output, wall_s: float, *, clean: bool, setup: str = "") -> Check:
        """The check whose last command had this output. `setup`: it is that of the setup command, which failed."""
        failing, failed_tests = pytest_failures(output.text)
        return Check(
            at=self._clock.now(),
            commit=commit,
            passed=output.exit == 0,
            exit=output.exit,
            output=output_text(output, output.wall_s if setup else self._timeout_s),
            wall_s=wall_s,
            failing=failing,
            failed_tests=failed_tests,
            clean=clean,
            command=self.command,
            setup=setup,
            cpu_s=None if setup else output.cpu_s,
        )

    async def _hand_over_builds(self, output: Output, clean: bool) -> None:
        """Keep what was built for later workspaces, unless the command was killed: its files may be half-written."""
        workspace = self._workspace
        assert workspace is not None
        if output.exit is None:
            await self._drop()
            if clean:
                await self._discard_builds()
        elif self._workspaces.warm:
            self._workspace = None
            self._has_builds = await self._workspaces.keep_builds(workspace)

    async def _discard_builds(self) -> None:
        await self._drop()
        await self._workspaces.discard_builds()
        self._has_builds = False

    async def _drop(self) -> None:
        workspace, self._workspace = self._workspace, None
        if workspace is not None:
            try:
                await workspace.close()
            except WorkspaceLost:
                pass  # closed already


def pytest_failures(output: str) -> tuple[int | None, tuple[str, ...]]:
    """How many tests failed (None: not pytest's output) and the names of the first ones.

    Tests that could not be collected count as failed. The count comes from pytest's last summary line, with or without
    its `=` borders: `1 failed, 2 passed, 1 error in 0.12s`.
    """
    summaries = [line for line in output.splitlines() if _SUMMARY.match(line)]
    if not summaries:
        return None, ()
    counts = {what.removesuffix("s"): int(number) for number, what in _COUNT.findall(summaries[-1])}
    names = dict.fromkeys(match[1] for match in _FAILED_TEST.finditer(output))
    return counts.get("failed", 0) + counts.get("error", 0), tuple(names)[:_MAX_NAMED_TESTS]


async def suggest_check(source: SourceRepo) -> str:
    """A check command that fits the project's committed files; empty when none is found.

    Uncommitted files don't count because the swarm starts from a commit.
    """
    with own_git_dir(source.common_dir, source.object_format) as git:
        return await _suggest_check(git, source.base)


async def _suggest_check(git: Git, base: CommitId) -> str:
    top = await _names(git, base, deep=False)
    for name in _MAKEFILES:
        if name in top and re.search(r"^test\s*:(?!=)", await _read(git, base, name), re.MULTILINE):
            return "make test"
    if "Cargo.toml" in top:
        return "cargo test"
    if "go.mod" in top:
        return "go test ./..."
    if "package.json" in top and _has_npm_tests(await _read(git, base, "package.json")):
        return "npm test"
    if await _uses_pytest(git, base, top):
        return "python3 -m pytest -q"
    return ""


async def _uses_pytest(git: Git, base: CommitId, top: set[str]) -> bool:
    if top & {"pytest.ini", ".pytest.ini", "conftest.py"}:
        return True
    if "pyproject.toml" in top:
        try:
            tools = tomllib.loads(await _read(git, base, "pyproject.toml")).get("tool", {})
        except (ValueError, RecursionError):
            tools = {}
        if isinstance(tools, dict) and "pytest" in tools:
            return True
    for name, section in (("setup.cfg", "[tool:pytest]"), ("tox.ini", "[pytest]")):
        if name in top and section in await _read(git, base, name):
            return True
    if not any(PurePosixPath(name).suffix == ".py" or name in ("test", "tests") for name in top):
        return False
    return any(_TEST_FILE.match(name) for name in await _names(git, base, deep=True))


def _has_npm_tests(text: str) -> bool:
    try:
        package = json.loads(text)
        script = package["scripts"]["test"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return isinstance(script, str) and bool(script.strip()) and _NPM_PLACEHOLDER not in script


async def _names(git: Git, base: CommitId, *, deep: bool) -> set[str]:
    listing = await git.run("ls-tree", "-z", "--full-tree", "--name-only", *(["-r"] if deep else []), base)
    return {os_text.path_text(name) for name in listing.out.split(b"\0") if name}


async def _read(git: Git, base: CommitId, name: str) -> str:
    result = await git.run("cat-file", "blob", f"{base}:{name}", accept=range(256), limit=_MAX_FILE_BYTES)
    return "" if result.exit and not result.cut else os_text.output_text(result.out)


def _ignore(_: str) -> None:
    pass


def output_text(output: Output, timeout_s: float) -> str:
    """The start and the end of a command's output, and why it was killed if it was."""
    text = output.text.replace(f"; all of it is in {output.whole}", "")  # that file is gone when this is read
    text = shortened(text).told("")
    if output.killed:
        reason = f"timeout after {timeout_s:.0f} s" if output.killed == "timeout" else output.killed
        text = f"{text.rstrip()}\n[killed: {reason}]\n".lstrip("\n")
    return text
