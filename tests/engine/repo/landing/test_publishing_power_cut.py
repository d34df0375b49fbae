"""A power cut while a run publishes: the user's repository never has a ref whose objects did not reach the disk.

strace records what publishing asks of the disk, and a simulated disk keeps only what was flushed: a file's content when
the file was, and its name when the folder was. The ref itself may reach the disk at any time, as file systems may flush
early.
"""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.domain.types import CommitId, RunId
from engine.repo.landing.trunk import GitTrunk
from engine.repo.landing.user_branches import MAX_LOOSE
from engine.repo.source import inspect_repo
from tests.engine.repo.user_repo import UserRepo

RUN = RunId("r-1")
CALLS = "openat,open,creat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,mkdir,mkdirat"
CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)")
PATH = re.compile(r'"((?:[^"\\]|\\.)*)"')
FD = re.compile(r"^\d+<(.*?)>")
REFS = re.compile(r"^.*/swarm-tui-[^/]+/refs/")
"""Refs are moved through a link in a temporary folder."""
PUBLISH = """
import asyncio, sys
from pathlib import Path
from engine.repo.landing.user_branches import publish
print(asyncio.run(publish(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], ["trunk"])), end="")
"""

works = shutil.which("strace") and not subprocess.run(["strace", "-o", "/dev/null", "true"], check=False).returncode
pytestmark = pytest.mark.skipif(not works, reason="strace cannot trace processes here")


@dataclass
class Disk:
    """Which files and folders of `top` are new since the recording began, and which of them were flushed."""

    top: Path
    unflushed: set[Path] = field(default_factory=set)
    unnamed: set[Path] = field(default_factory=set)

    def apply(self, call: str, paths: list[Path], *, creates: bool) -> None:
        inside = [path for path in paths if path.is_relative_to(self.top)]
        if not inside:
            return
        if call.startswith("mkdir"):
            self.unnamed.add(inside[0])
        elif call in ("openat", "open", "creat"):
            if creates:
                self.unnamed.add(inside[0])
        elif "write" in call:
            self.unflushed.add(inside[0])
        elif call in ("fsync", "fdatasync"):
            self.unflushed.discard(inside[0])
            self.unnamed -= {path for path in self.unnamed if path.parent == inside[0]}
        elif call.startswith(("rename", "link")):
            old, new = inside
            self.unnamed.add(new)
            if old in self.unflushed:
                self.unflushed.add(new)
            if call.startswith("rename"):
                self.unnamed.discard(old)
                self.unflushed.discard(old)

    def lost(self) -> set[Path]:
        """What a power cut takes: what was not flushed, and all below a folder whose name was not."""
        gone = self.unflushed | self.unnamed
        return {path for path in self.top.rglob("*") if gone & {path, *path.parents}}


def recorded(trunk_git: Path, root: Path, log: Path) -> list[tuple[str, list[Path], bool]]:
    """Publish; returns the calls that change the disk, their paths, and whether they may create a file."""
    command = ["strace", "-f", "-y", "-qq", "-s", "4096", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(log)]
    python = [sys.executable, "-c", PUBLISH, str(trunk_git), str(root), RUN]
    done = subprocess.run([*command, *python], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    calls = []
    pending: dict[str, str] = {}
    for line in log.read_text(errors="replace").splitlines():
        process = line.split(" ", 1)[0]
        if line.endswith("<unfinished ...>"):
            pending[process] = line.removesuffix("<unfinished ...>")
            continue
        if "resumed>" in line:
            line = pending.pop(process) + line.partition("resumed>")[2]
        match = CALL.match(line)
        if match is None or int(match[3]) < 0:
            continue
        call, arguments = match[1], match[2]
        if call in ("write", "pwrite64", "fsync", "fdatasync"):
            named = FD.match(arguments)
            paths = [named[1]] if named else []
        else:
            folders = re.findall(r"(?:AT_FDCWD|\d+)<(.*?)>", arguments)
            at = Path(folders[0]) if folders else root
            paths = [str(at / path) for path in PATH.findall(arguments)]
        real = [Path(REFS.sub(f"{root}/.git/refs/", path)) for path in paths]
        calls.append((call, real, "O_CREAT" in arguments))
    return calls


@pytest.mark.parametrize("files", [3, MAX_LOOSE + 20], ids=["loose", "packed"])
async def test_after_a_power_cut_every_published_ref_has_its_objects(files: int, tmp_path: Path) -> None:
    repo = UserRepo.make(tmp_path / "repo", {"a.txt": b"a\n"})
    trunk = await GitTrunk.create(tmp_path, await inspect_repo(repo.root), RUN)
    assert await trunk.publish() == ""
    repo.git("clone", "-q", str(repo.root), str(tmp_path / "other"))
    other = UserRepo(tmp_path / "other")
    change = other.change(trunk.base, {f"d{at % 5}/{at}.txt": f"{at}\n".encode() for at in range(files)})
    other.git("push", "-q", str(trunk.git_dir), f"{change}:refs/heads/incoming")
    assert (await trunk.land(CommitId(change), "landed\n")).commit

    git_dir = repo.root / ".git"
    ref = git_dir / "refs" / "heads" / "swarm" / RUN / "trunk"
    disk = Disk(git_dir)
    moved = False
    for call, paths, creates in recorded(trunk.git_dir, repo.root, tmp_path / "log"):
        if call.startswith("rename") and paths[1] == ref:
            assert paths[0] not in disk.unflushed, "the content of the ref is not flushed before it moves"
            at_the_cut = {path for path in disk.unflushed | disk.unnamed if path.is_relative_to(git_dir / "objects")}
            moved = True
        disk.apply(call, paths, creates=creates)
    assert moved
    lost_afterwards = disk.lost()
    for path in at_the_cut:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    assert repo.git("rev-parse", f"swarm/{RUN}/trunk") == await trunk.tip()
    assert repo.git("rev-list", "--objects", "--quiet", f"swarm/{RUN}/trunk") == ""
    assert repo.git("fsck", "--connectivity-only", "--no-dangling") == ""
    assert ref not in lost_afterwards
