"""Workspaces in memory: a dict of files on a commit, and commands that a test interprets."""

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from posixpath import normpath

from engine.domain.answer_text import shortened
from engine.domain.types import AgentId, CommitId
from engine.ports.protocols import Entry, Match, Output, Workspace, WorkspaceError, WorkspaceLost
from tests.simulated.disk import Disk
from tests.simulated.patch import unified_patch
from tests.simulated.power import Power
from tests.simulated.time import SimulatedClock
from tests.simulated.trunk import Commits


@dataclass(frozen=True)
class Ran:
    """The result of a scripted command: its exit status, its output, how many simulated seconds it takes, and in how
    many of those it has no CPU."""

    exit: int = 0
    text: str = ""
    wall_s: float = 0.1
    starved_s: float = 0.0


Commands = Callable[["MemoryWorkspace", str], Ran | str | Awaitable[Ran | str]]
"""A test's shell. It gets the workspace, whose `files` it may change, and the command."""


def no_commands(workspace: "MemoryWorkspace", command: str) -> Ran:
    """A shell in which every command succeeds and does nothing."""
    return Ran()


class MemoryWorkspace:
    """Implements `Workspace`. `files` is its current content; `commands` lists what was run in it."""

    def __init__(
        self,
        agent: AgentId,
        base: CommitId,
        commits: Commits,
        clock: SimulatedClock,
        power: Power,
        disk: Disk,
        shell: Commands,
    ) -> None:
        self._disk = disk
        self.root = "/ws"
        self.agent = agent
        self.base = base
        self.files = dict(commits.made[base].files)
        self.commands: list[str] = []
        self.ignored: Callable[[str], bool] = lambda path: path.startswith("build/")
        self.closed = self.left = self.trunk_history = False
        self.left_out: dict[str, str] = {}
        self._commits = commits
        self._clock = clock
        self._power = power
        self._shell = shell
        self._lost = asyncio.Event()
        self._end: asyncio.Timeout | None = None
        self._left = 0.0

    def lose(self) -> None:
        """Kill the sandbox: the running command and every later call raise WorkspaceLost."""
        self._lost.set()

    async def run(self, command: str, timeout_s: float, on_output: Callable[[str], None]) -> Output:
        await self._alive()
        self.commands.append(command)
        answer = self._shell(self, command)
        if inspect.isawaitable(answer):
            answer = await answer
        ran = Ran(text=answer) if isinstance(answer, str) else answer
        timeout_s += ran.starved_s
        wall_s = min(ran.wall_s, timeout_s)
        try:
            async with asyncio.timeout(wall_s) as self._end:
                await self._lost.wait()
        except TimeoutError:
            await self._power.needed()
        finally:
            self._end = None
        await self._alive()
        if ran.wall_s > timeout_s:
            return Output(None, "", 0, "", "timeout", wall_s)
        on_output(ran.text)
        shown = shortened(ran.text)
        if not shown.left_out and not shown.long:
            return Output(ran.exit, ran.text, 0, "", "", wall_s, starved_s=ran.starved_s)
        self.files[".swarm/output"] = ran.text.encode()
        return Output(ran.exit, shown.told(".swarm/output"), shown.left_out, ".swarm/output", "", wall_s)

    async def freeze(self) -> None:
        await self._alive()
        if self._end is not None and (when := self._end.when()) is not None:
            self._left = when - self._clock.elapsed
            self._end.reschedule(None)

    async def thaw(self) -> None:
        await self._alive()
        if self._end is not None and self._end.when() is None:
            self._end.reschedule(self._clock.elapsed + self._left)

    async def read_file(self, path: str) -> bytes:
        await self._alive()
        name = self._beneath(path)
        if name in self.files:
            return self.files[name]
        if any(known.startswith(f"{name}/") for known in self.files):
            raise WorkspaceError(f"{path} is a folder")
        raise WorkspaceError(f"{path}: no such file or folder")

    async def write_file(self, path: str, content: bytes) -> None:
        await self._alive()
        name = self._beneath(path)
        if not name or any(known.startswith(f"{name}/") for known in self.files):
            raise WorkspaceError(f"{path} is a folder")
        self._disk.write("copies")
        self.files[name] = content

    async def remove_file(self, path: str) -> None:
        await self._alive()
        self.files.pop(self._beneath(path), None)

    async def encode_new(self, path: str, text: str) -> bytes:
        return text.encode("utf-8", "replace")

    async def list_files(self, path: str, depth: int, limit: int) -> list[Entry]:
        await self._alive()
        top = self._beneath(path)
        if top in self.files:
            raise WorkspaceError(f"{path} is not a folder")
        prefix = f"{top}/" if top else ""
        found: dict[str, int] = {}
        for name, content in self.files.items():
            if not name.startswith(prefix):
                continue
            parts = name[len(prefix) :].split("/")
            for level in range(1, min(depth, len(parts)) + 1):
                is_file = level == len(parts)
                entry = prefix + "/".join(parts[:level]) + ("" if is_file else "/")
                found[entry] = len(content) if is_file else 0
        if prefix and not found:
            raise WorkspaceError(f"no such folder: {path}")
        return [Entry(name, found[name]) for name in sorted(found)][:limit]

    async def search(
        self, pattern: str, path: str, limit: int, globs: tuple[str, ...] = (), context: int = 0
    ) -> list[Match]:
        await self._alive()
        try:
            wanted = re.compile(pattern)
        except re.error as error:
            raise WorkspaceError(f"not a regular expression: {error}") from error
        top = self._beneath(path)
        found = []
        for name in sorted(self.files):
            if top and name != top and not name.startswith(f"{top}/"):
                continue
            for number, line in enumerate(self.files[name].decode(errors="replace").splitlines(), 1):
                if wanted.search(line):
                    found.append(Match(name, number, line))
        return found[:limit]

    async def changed(self) -> tuple[str, ...]:
        await self._alive()
        base, now = self._commits.made[self.base].files, self._kept()
        return tuple(sorted(path for path in base.keys() | now.keys() if base.get(path) != now.get(path)))

    async def find_left_out(self) -> None:
        await self._alive()
        self._kept()

    async def diff(self) -> str:
        await self._alive()
        return unified_patch(self._commits.made[self.base].files, self._kept())

    async def commit(self, message: str) -> CommitId:
        await self._alive()
        self._disk.write("copies")
        return self._commits.add(self.base, self._kept(), message)

    async def advance(self, commit: CommitId, base: CommitId) -> None:
        await self._alive()
        self._disk.write("copies")
        kept = {path: content for path, content in self.files.items() if self._ignores(path)}
        self.files = {**kept, **self._commits.made[commit].files}
        self.base = base

    async def shown(self, commit: CommitId) -> CommitId:
        await self._alive()
        return commit

    async def leave(self) -> None:
        await self._power.needed()
        self.left = True
        self.lose()

    async def close(self) -> None:
        await self._power.needed()
        self.closed = True
        self._lost.set()

    def _kept(self) -> dict[str, bytes]:
        self.left_out = {path: "git ignores it" for path in self.files if self.ignored(path) and self._ignores(path)}
        return {path: content for path, content in self.files.items() if not self._ignores(path)}

    def _ignores(self, path: str) -> bool:
        return path.startswith(".swarm/") or (self.ignored(path) and path not in self._commits.made[self.base].files)

    def _beneath(self, path: str) -> str:
        """The path below the root, without a leading or trailing slash. Raises WorkspaceError."""
        name = normpath(path.removeprefix(self.root).lstrip("/") if path.startswith(self.root) else path)
        if name.startswith(("/", "..")) or name.split("/")[0] == ".git":
            raise WorkspaceError(f"{path} leads outside of the workspace")
        return "" if name == "." else name

    async def _alive(self) -> None:
        await self._power.needed()
        if self._lost.is_set():
            raise WorkspaceLost(f"the workspace of {self.agent} is gone")


class MemoryWorkspaces:
    """Implements `Workspaces`. `opened` has every workspace, by agent, newest last. `found` are those that an earlier
    process left."""

    def __init__(
        self,
        commits: Commits,
        clock: SimulatedClock,
        power: Power,
        disk: Disk,
        shell: Commands,
        found: Sequence[MemoryWorkspace] = (),
    ) -> None:
        self._found = {made.agent: made for made in found}
        self._kept: dict[AgentId, MemoryWorkspace] = {}
        self._disk = disk
        self.level = "simulated"
        self.not_guaranteed: tuple[str, ...] = ()
        self.granted: tuple[str, ...] = ()
        self.tools: tuple[str, ...] = ()
        self.method = "memory"
        self.warm = False
        self.setup = ""
        self.has_builds = False
        self.set_up_at: list[CommitId] = []
        self.opened: dict[AgentId, list[MemoryWorkspace]] = {}
        self.swept = 0
        self.delay_s = 0.01
        self._commits = commits
        self._clock = clock
        self._power = power
        self.shell = shell

    @property
    def live(self) -> list[MemoryWorkspace]:
        """The workspaces that are open now."""
        return [made for each in self.opened.values() for made in each if not made.closed and not made.left]

    @property
    def on_disk(self) -> list[MemoryWorkspace]:
        """The workspaces whose files exist."""
        opened = [made for each in self.opened.values() for made in each if not made.closed]
        return [*self._found.values(), *self._kept.values(), *opened]

    @property
    def kept(self) -> dict[AgentId, CommitId]:
        return {agent: made.base for agent, made in self._kept.items()}

    def drop(self, agent: AgentId) -> None:
        self._kept.pop(agent, None)

    async def open(
        self,
        agent: AgentId,
        commit: CommitId,
        *,
        clean: bool = False,
        trunk_history: bool = False,
        preferred: bool = False,
    ) -> MemoryWorkspace:
        await self._power.needed()
        await self._clock.sleep(self.delay_s)
        await self._power.needed()
        self._disk.write("copies")
        made = MemoryWorkspace(agent, commit, self._commits, self._clock, self._power, self._disk, self.shell)
        if (kept := self._kept.pop(agent, None)) is not None and kept.base == commit:
            made.files, made.commands = kept.files, kept.commands
        made.trunk_history = trunk_history
        self.opened.setdefault(agent, []).append(made)
        return made

    async def set_up(self, commit: CommitId) -> Output | None:
        if not self.setup or self.set_up_at[-1:] == [commit]:
            return None
        workspace = await self.open(AgentId("setup"), commit, clean=True)
        output = await workspace.run(self.setup, 60.0, lambda text: None)
        await workspace.close()
        if output.exit == 0:
            self.set_up_at.append(commit)
        return output

    async def keep_builds(self, workspace: Workspace) -> bool:
        await workspace.close()
        return False

    async def discard_builds(self) -> None:
        await self._power.needed()

    async def sweep(self, unfinished: Collection[AgentId]) -> None:
        await self._power.needed()
        self.swept += 1
        self._kept = {agent: made for agent, made in self._found.items() if agent in unfinished}
        self._found = {}

    async def close(self) -> None:
        for made in self.live:
            await made.close()
