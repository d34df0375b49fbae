"""Agents' copies at a sandbox level, each beside a neighbour that must keep working, on a machine with secrets."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.domain.settings import SandboxSettings
from engine.domain.types import AgentId, CommitId
from engine.ports.protocols import Output
from engine.repo.workspaces.pool import WorkspacePool, open_workspaces
from engine.repo.workspaces.workspace import AgentWorkspace
from engine.sandbox.guarantees import GUARANTEES, Level
from tests.git import git, make_trunk

MEMORY = "192MiB"
PROCESSES = 48
SETTINGS = {
    "memory": MEMORY, "processes": PROCESSES, "output": "1MiB", "cpu": "1m", "file_size": "64MiB", "open_files": 256,
    "disk": "96MiB",
}  # fmt: skip
SECRET = "nobody-may-know-this"


class Place:
    """Copies of a small project at one level. `home` is a user's home with keys, `outside` a folder for anyone."""

    def __init__(self, workspaces: WorkspacePool, folder: Path, base: CommitId) -> None:
        self.workspaces = workspaces
        self.level = Level(workspaces.level)
        self.folder = folder
        self.home = folder / "home"
        self.outside = folder / "outside"
        self.base = base
        self._opened = 0

    async def open(self) -> AgentWorkspace:
        self._opened += 1
        return await self.workspaces.open(AgentId(f"agent-{self._opened}"), self.base)

    def promises(self, claim: str) -> bool:
        """Whether the level gives the guarantee whose text begins so."""
        [guarantee] = [each for each in GUARANTEES if each.claim.startswith(claim)]
        return not guarantee.shortfall(self.level)


def make_project(folder: Path) -> CommitId:
    """A user's repo, its trunk, and a home with secrets."""
    source, home, outside = (folder / name for name in ("source", "home", "outside"))
    for made in (source, home / ".ssh", home / ".aws", outside):
        made.mkdir(parents=True)
    for secret in (home / ".ssh/id_rsa", home / ".aws/credentials", home / ".netrc", outside / "file"):
        secret.write_text(f"{SECRET}\n")
    git(source, "init", "-q", "-b", "main")
    (source / "a.txt").write_text("a\n")
    (source / "src").mkdir()
    (source / "src/b.txt").write_text("b\n")
    git(source, "add", "-A")
    git(source, "commit", "-qm", "first")
    make_trunk(source, folder / "trunk.git")
    return CommitId(git(source, "rev-parse", "HEAD"))


async def open_place(folder: Path, level: str, **settings: object) -> Place:
    """Raises SwarmError (sandbox) where the level does not work."""
    base = make_project(folder)
    chosen = SandboxSettings(**{"level": level, **SETTINGS, **settings})  # type: ignore[arg-type]
    workspaces = await open_workspaces(folder / "workspaces", folder / "trunk.git", chosen, base)
    return Place(workspaces, folder, base)


async def run(workspace: AgentWorkspace, command: str, seconds: float = 60) -> Output:
    return await workspace.run(command, seconds, lambda _: None)


async def shell(workspace: AgentWorkspace, command: str, seconds: float = 60) -> str:
    """The output of a command that is expected to end by itself."""
    output = await run(workspace, command, seconds)
    assert output.killed == "", output
    return output.text


async def python(workspace: AgentWorkspace, program: str, seconds: float = 60) -> str:
    return await shell(workspace, f"python3 -I -S - <<'END'\n{program}\nEND", seconds)


@contextmanager
def bystander(*command: str) -> "Iterator[subprocess.Popen[bytes]]":
    """A process of the user that belongs to no agent."""
    with subprocess.Popen(command or ("sleep", "600")) as process:
        try:
            yield process
        finally:
            process.kill()


CALL = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    "What a system call answers: its number of failure, or `done`."
    result = libc.syscall(*(ctypes.c_long(each) if isinstance(each, int) else each for each in args))
    return "done" if result >= 0 else errno.errorcode[ctypes.get_errno()]
"""


def processes_with(mark: str) -> list[int]:
    """The machine's processes whose command line has `mark`."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if mark.encode() in line and sys.argv[0].encode() not in line:
                found.append(int(folder.name))
    return found
