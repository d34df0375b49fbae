"""The trunk of one run: lands changes by model-free merge and compare-and-swap, in a bare repo of its own."""

import asyncio
import os
import shutil
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

from engine.errors import ErrorKind, SwarmError
from engine.protocols import LandResult
from engine.repo.alternates import all_objects, write_alternates
from engine.repo.git import Git, GitResult
from engine.repo.merge import Merger
from engine.repo.message import trailers_of
from engine.repo.publish import publish
from engine.repo.source import SourceRepo
from engine.types import CommitId, LandingState, RunId, TaskId

NAME = "trunk.git"
TASK_TRAILER = "Swarm-Task"

_TRUNK = "refs/heads/trunk"
_GREEN = "refs/heads/green"
_BASE = "refs/swarm/base"
_TRIES = 20
_LONGEST_PATCH = 32 * 1024 * 1024
_STALE_LOCK_S = 10.0
_T = TypeVar("_T")


class GitTrunk:
    """Implements protocols.Trunk. Whoever makes one holds the run's lock: it takes all stale git locks away.

    Landings of this process queue up in order. Another process may move the ref at any time; a landing then
    merges again.
    """

    def __init__(self, git_dir: Path, source_root: Path, run: RunId, base: CommitId, object_format: str) -> None:
        self.git_dir = git_dir
        self.base = base
        self._source_root = source_root
        self._run = run
        self._git = Git(git_dir, git_dir=git_dir)
        self._merger = Merger(git_dir / "merging", git_dir, object_format)
        self._landing = asyncio.Lock()
        self._publishing = asyncio.Lock()

    @classmethod
    async def create(cls, folder: Path, source: SourceRepo, run: RunId) -> "GitTrunk":
        """Make `FOLDER/trunk.git` with trunk at the source's base. It is there whole or not at all.

        Raises SwarmError (git).
        """
        half, git_dir = folder / f"{NAME}.new", folder / NAME
        if git_dir.exists():
            raise SwarmError(ErrorKind.STATE, f"{git_dir} is there already", "resume the run instead")
        shutil.rmtree(half, ignore_errors=True)
        await Git(folder).run(
            *("init", "--quiet", "--bare", "--template=", "--initial-branch=trunk"),
            *(f"--object-format={source.object_format}", str(half)),
        )
        write_alternates(half, all_objects(source.objects))
        if source.shallow:
            shutil.copyfile(source.common_dir / "shallow", half / "shallow")
        git = Git(half, git_dir=half)
        for key, value in (
            ("core.repositoryFormatVersion", "1"),
            ("extensions.preciousObjects", "true"),  # live copies borrow objects that no ref names
            ("core.fsync", "committed,reference"),  # a told landing survives a power cut; costs 1.7 times the time
            ("gc.auto", "0"),
            ("gc.pruneExpire", "never"),
            ("receive.autogc", "false"),
            ("transfer.hideRefs", "refs/swarm"),
            ("swarm.source", str(source.root)),
            ("swarm.run", run),
        ):
            await git.run("config", key, value)
        for ref in (_BASE, _TRUNK):
            await git.run("update-ref", ref, source.base)
        half.rename(git_dir)
        return await cls.open(folder)

    @classmethod
    async def open(cls, folder: Path) -> "GitTrunk":
        """Open the trunk that `create` made. Raises SwarmError (state) when it is not there or not whole."""
        git_dir = (folder / NAME).absolute()
        if not git_dir.is_dir():
            raise SwarmError(ErrorKind.STATE, f"no trunk in {folder}", "was the run's folder moved or removed?")
        _remove_stale_locks(git_dir)
        git = Git(git_dir, git_dir=git_dir)
        try:
            base = CommitId(await git.text("rev-parse", "--verify", f"{_BASE}^{{commit}}"))
            await git.run("rev-parse", "--verify", f"{_TRUNK}^{{tree}}")
            source_root = (
                (await git.run("config", "--null", "swarm.source")).out.rstrip(b"\0").decode("utf-8", "surrogateescape")
            )
            run = RunId(await git.text("config", "swarm.run"))
            object_format = await git.text("rev-parse", "--show-object-format")
        except SwarmError as error:
            raise SwarmError(
                ErrorKind.STATE, f"the trunk in {folder} cannot be read: {error.message}", "is the repo where it was?"
            ) from error
        trunk = cls(git_dir, Path(source_root), run, base, object_format)
        trunk._merger.prepare()
        return trunk

    async def tip(self) -> CommitId:
        found = await self._ref(_TRUNK)
        if found is None:
            raise SwarmError(ErrorKind.GIT, f"{_TRUNK} is gone from {self.git_dir}", "restore it, then resume")
        return found

    async def green(self) -> CommitId | None:
        """The newest commit that passed the check; None before the first."""
        return await self._ref(_GREEN)

    async def land(self, change: CommitId, message: str) -> LandResult:
        """See protocols.Trunk. Raises SwarmError (git) when git itself fails; trunk has not moved then."""
        async with self._landing:
            for _ in range(_TRIES):
                tip = await self.tip()
                result = await self._land_on(tip, change, message)
                if result is not None:
                    return result
            return LandResult(LandingState.REFUSED, tip, reason=f"trunk moved {_TRIES} times meanwhile")

    async def _land_on(self, tip: CommitId, change: CommitId, message: str) -> LandResult | None:
        """One try to land on `tip`; None when trunk has moved."""
        merge = await self._merger.merge(tip, change)
        if merge.refused:
            return LandResult(LandingState.REFUSED, tip, reason=merge.refused)
        if merge.conflicts:
            merged = await self._commit(merge.tree, tip, "conflicts of a merge, with markers\n")
            return LandResult(
                LandingState.CONFLICTED, tip, conflicts=merge.conflicts, merged=merged, reason=merge.reason
            )
        paths = await self._changed(tip, merge.tree)
        if not paths:
            return LandResult(LandingState.EMPTY, tip)
        commit = await self._commit(merge.tree, tip, message)
        if not await _whole(self._swap(_TRUNK, commit, tip)):
            return None
        self._merger.moved(tip, commit, paths)
        return LandResult(LandingState.MERGED, tip, commit=commit, paths=paths)

    async def find_landed(self, task: TaskId) -> CommitId | None:
        if not task:
            return None
        log = await self._git.run(
            *("log", "--first-parent", "-z", "--format=%H%n%B", "--fixed-strings", f"--grep={TASK_TRAILER}: {task}"),
            f"{self.base}..{_TRUNK}",
        )
        for entry in log.out.decode("utf-8", "replace").split("\0"):
            commit, _, message = entry.partition("\n")
            if [value for name, value in trailers_of(message) if name == TASK_TRAILER] == [task]:
                return CommitId(commit)
        return None

    async def landed_since(self, commit: CommitId) -> list[CommitId]:
        listing = await self._git.text("rev-list", "--first-parent", "--reverse", _TRUNK, f"^{commit}", "--")
        return [CommitId(line) for line in listing.split("\n") if line]

    async def read_file(self, commit: CommitId, path: str) -> bytes | None:
        listing = await self._git.run("--literal-pathspecs", "ls-tree", "-z", "--full-tree", commit, "--", path)
        about, _, name = listing.out.rstrip(b"\0").partition(b"\t")
        if not about.startswith(b"100") or name != os.fsencode(path):
            return None
        return (await self._git.run("cat-file", "blob", about.split(b" ")[2].decode("ascii"))).out

    async def diff(self, old: CommitId, new: CommitId) -> str:
        """See protocols.Trunk. A patch over 32 MiB is cut at the end of a line."""
        result = await self._git.run(
            *("diff-tree", "-r", "-p", "-M", "--no-ext-diff", "--no-textconv", "--no-color", "--no-commit-id"),
            *("--src-prefix=a/", "--dst-prefix=b/", old, new, "--"),
            limit=_LONGEST_PATCH,
        )
        patch = result.out[: result.out.rfind(b"\n") + 1] if result.cut else result.out
        return patch.decode("utf-8", "replace")

    async def move_green(self, commit: CommitId) -> None:
        """Move green forward to a commit of trunk; an older one than green leaves it where it is.

        Raises SwarmError (git) when the commit is not on trunk, or when someone else moves green at once.
        """
        if not await self._is_ancestor(commit, _TRUNK):
            raise SwarmError(ErrorKind.GIT, f"{commit[:12]} is not on trunk", "green moves along trunk only")
        old = await self.green()
        if old is not None and await self._is_ancestor(commit, old):
            return
        if not await _whole(self._swap(_GREEN, commit, old)):
            raise SwarmError(ErrorKind.GIT, "green was moved by someone else", "leave refs/heads/green to the swarm")

    async def publish(self) -> str:
        """See protocols.Trunk. The first one, before any landing, pins base in the person's repo."""
        async with self._publishing:
            names = ["trunk"] if await self.green() is None else ["trunk", "green"]
            return await _whole(publish(self.git_dir, self._source_root, self._run, names))

    async def _ref(self, name: str) -> CommitId | None:
        # A loose ref is one small file: reading it saves a process in every landing.
        try:
            text = (self.git_dir / name).read_text(encoding="ascii").strip()
        except OSError:
            text = ""
        if text and not text.startswith("ref:"):
            return CommitId(text)
        result = await self._git.run("rev-parse", "--verify", "--quiet", name, accept=(0, 1))
        return CommitId(result.text) if result.exit == 0 else None

    async def _changed(self, tip: CommitId, tree: str) -> tuple[str, ...]:
        listing = await self._git.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", tip, tree, "--")
        return tuple(sorted(name.decode("utf-8", "replace") for name in listing.out.split(b"\0") if name))

    async def _commit(self, tree: str, parent: CommitId, message: str) -> CommitId:
        text = message.replace("\0", " ").encode("utf-8", "replace")
        return CommitId((await self._git.run("commit-tree", tree, "-p", parent, "-F", "-", stdin=text or b"\n")).text)

    async def _is_ancestor(self, commit: CommitId, of: str) -> bool:
        result = await self._git.run("merge-base", "--is-ancestor", commit, of, accept=(0, 1))
        return result.exit == 0

    async def _swap(self, ref: str, new: CommitId, old: CommitId | None) -> bool:
        """Set a ref if it still is `old` (None: is not there). False when it is not.

        A lock that someone else holds is waited for; one that is old enough to be a dead process's goes.
        """
        expected = old or "0" * len(new)
        for turn in range(_TRIES):
            result = await self._git.run("update-ref", "--no-deref", ref, new, expected, accept=(0, 1, 128))
            if result.exit == 0:
                return True
            if (now := await self._ref(ref)) != old:
                return now == new
            if not self._locked(ref, result):
                raise SwarmError(ErrorKind.GIT, f"git update-ref: {result.complaint}", "check the run's folder")
            await asyncio.sleep(0.01 * (turn + 1))
        raise SwarmError(ErrorKind.GIT, f"{ref} stays locked", f"remove {self.git_dir / ref}.lock if no git runs")

    def _locked(self, ref: str, result: GitResult) -> bool:
        if "File exists" not in result.err:
            return False
        lock = self.git_dir / f"{ref}.lock"
        try:
            if time.time() - lock.stat().st_mtime > _STALE_LOCK_S:
                lock.unlink()
        except FileNotFoundError:
            pass
        return True


async def _whole(work: Coroutine[object, object, _T]) -> _T:
    """Run to the end even when cancelled: a half-done swap of a ref leaves a lock behind."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _remove_stale_locks(git_dir: Path) -> None:
    """Remove what killed git processes left, outside `objects`: whoever holds the run's lock is alone here."""
    for folder, folders, files in os.walk(git_dir):
        folders[:] = [name for name in folders if name != "objects"]
        for name in files:
            if name.endswith(".lock"):
                (Path(folder) / name).unlink(missing_ok=True)
