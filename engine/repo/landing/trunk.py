"""The trunk of one run: lands changes by model-free merge and compare-and-swap, in a bare repo of its own."""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TypeVar

from engine.domain.collisions import LARGE
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.types import CommitId, LandingState, RunId, TaskId
from engine.ports.protocols import LandResult
from engine.repo.changes.pending import PendingChanges
from engine.repo.git.alternates import object_folders, write_alternates
from engine.repo.git.commit_patch import patch_between
from engine.repo.git.git import Git, GitTimeoutError, disk_error
from engine.repo.git.objects import NewObjects, ObjectStore
from engine.repo.git.pack_rollup import PackRollup
from engine.repo.git.refs import STALE_S, Refs
from engine.repo.git.sizes import file_sizes
from engine.repo.landing.group_merge import CONFLICTS, Group, Offer
from engine.repo.landing.history import History
from engine.repo.landing.merge import Merger
from engine.repo.landing.publish import publish
from engine.repo.source import SourceRepo

NAME = "trunk.git"

_TRUNK = "refs/heads/trunk"
_GREEN = "refs/heads/green"
_BASE = "refs/swarm/base"
_TRIES = 20
_TOGETHER = 256
"""Landings of one group."""
_ROUNDS = 4
"""How often a group asks git about contents; landings that change the same file need a round each."""
_TOO_LONG = "git took too long to merge it: a large file in which lines repeat was changed on trunk as well"
_T = TypeVar("_T")


class GitTrunk:
    """Implements protocols.Trunk. Whoever makes one holds the run's lock: it takes all stale git locks away.

    Landings of this process queue up; those that wait land together. Another process may move the ref at any time;
    what is under way is then merged again. `offers` take finished changes from the copies of this process.
    """

    def __init__(
        self,
        git_dir: Path,
        source_root: Path,
        run: RunId,
        base: CommitId,
        object_format: str,
        refs: Refs | None = None,
        merger: Merger | None = None,
    ) -> None:
        self.git_dir = git_dir
        self.base = base
        self._source_root = source_root
        self._run = run
        self._git = Git(git_dir, git_dir=git_dir)
        self._refs = refs or Refs(git_dir)
        self._merger = merger or Merger(git_dir, object_format)
        self._store = ObjectStore(git_dir, object_format)
        self._packs = PackRollup(git_dir / "objects" / "pack", self._store.new_hash)
        self._history = History(self._git, base)
        self._waiting: list[Offer] = []
        self._lander: asyncio.Task[None] | None = None
        self.pending = PendingChanges(git_dir, self._store)
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
        write_alternates(half, object_folders(source.objects))
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
    async def open(cls, folder: Path, *, refs: Refs | None = None, merger: Merger | None = None) -> "GitTrunk":
        """Open the trunk that `create` made. Raises SwarmError (state) when it is not there or not whole."""
        git_dir = (folder / NAME).absolute()
        if not git_dir.is_dir():
            raise SwarmError(ErrorKind.STATE, f"no trunk in {folder}", "was the run's folder moved or removed?")
        _remove_leftovers(git_dir)
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
        trunk = cls(git_dir, Path(source_root), run, base, object_format, refs, merger)
        trunk._merger.prepare()
        return trunk

    async def tip(self) -> CommitId:
        found = await self._refs.read(_TRUNK)
        if found is None:
            raise SwarmError(ErrorKind.GIT, f"{_TRUNK} is gone from {self.git_dir}", "restore it, then resume")
        return found

    async def green(self) -> CommitId | None:
        """The newest commit that passed the check; None before the first."""
        return await self._refs.read(_GREEN)

    async def land(self, change: CommitId, message: str) -> LandResult:
        """See protocols.Trunk. Raises SwarmError (git) when git or the disk fails; it has not landed then.

        Landings that wait at the same time land as a group: in one pack, by one swap of the ref. Cancelled while it
        waits, a landing does not take place; cancelled later, it does, and the cancellation arrives afterwards.
        """
        offer = Offer(change, self.pending.get(change), message, asyncio.get_running_loop().create_future())
        self._waiting.append(offer)
        if self._lander is None or self._lander.done():
            self._lander = asyncio.create_task(self._land_waiting(), name="landing")
        try:
            return await asyncio.shield(offer.told)
        except asyncio.CancelledError:
            if offer in self._waiting:
                self._waiting.remove(offer)
            elif not offer.told.done():
                await asyncio.wait([offer.told])
                offer.told.cancelled() or offer.told.exception()  # seen
            raise

    async def _land_waiting(self) -> None:
        while self._waiting:
            offers, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
            for offer in await self._told(offers, self._land_together):
                await self._told([offer], self._land_by_git)
            if await asyncio.to_thread(self._packs.roll_up):
                self._store.reopen()

    async def _told(
        self, offers: list[Offer], land: Callable[[CommitId, list[Offer]], Awaitable[list[Offer] | None]]
    ) -> list[Offer]:
        """Land, again while trunk moves meanwhile. Afterwards each offer is told, or waits, or is in the answer."""
        left: list[Offer] = []
        try:
            for _ in range(_TRIES):
                tip = await self._follow()
                result = await land(tip, offers)
                if result is not None:
                    left = result
                    return left
            refused = LandResult(LandingState.REFUSED, tip, reason=f"trunk moved {_TRIES} times meanwhile")
            for offer in offers:
                offer.told.set_result(refused)
        except Exception as error:
            for offer in offers:
                if not offer.told.done():
                    offer.told.set_exception(_trouble(error))
        finally:
            for offer in offers:
                if not offer.told.done() and offer not in left and offer not in self._waiting:
                    offer.told.cancel()  # the program ends
        return left

    async def _land_together(self, tip: CommitId, offers: list[Offer]) -> list[Offer] | None:
        """One try to land on `tip` all that can be merged path by path; None when trunk has moved.

        Returns what git must merge. What took too many rounds of asking git about contents goes back to the queue.
        """
        group = await asyncio.to_thread(self._group, tip)
        if group is None:
            return offers
        waiting, left = await asyncio.to_thread(group.decide, offers)
        for _ in range(_ROUNDS):
            if not waiting:
                break
            try:
                answers = await self._merger.merge_contents(tip, group.questions.values(), group.new)
            except GitTimeoutError:  # one by one, so that the file that takes so long stops no other landing
                waiting, left = [], [*left, *waiting]
                break
            group.answer(answers)
            waiting, more = await asyncio.to_thread(group.decide, waiting)
            left += more
        if group.new.unwritten:
            await asyncio.to_thread(self._packs.add, group.new)
        if group.tip != tip and not await _whole(self._refs.compare_and_swap(_TRUNK, group.tip, tip)):
            return None
        for offer, result in group.results:
            if result.commit is not None:
                self._moved(result, offer.message)
        self._waiting[:0] = waiting
        for offer, result in group.results:
            offer.told.set_result(result)
        return left

    async def _land_by_git(self, tip: CommitId, offers: list[Offer]) -> list[Offer] | None:
        """One try to land a single change by git's own merge; None when trunk has moved."""
        [offer] = offers
        if offer.kept is not None:
            await asyncio.to_thread(self.pending.write, offer.kept)
        result = await self._merge_by_git(tip, offer)
        if result is None:
            return None
        if result.commit is not None:
            self._moved(result, offer.message)
        offer.told.set_result(result)
        return []

    async def _merge_by_git(self, tip: CommitId, offer: Offer) -> LandResult | None:
        try:
            merge = await self._merger.merge(tip, offer.commit)
        except GitTimeoutError:
            return LandResult(LandingState.REFUSED, tip, reason=_TOO_LONG)
        if merge.refused:
            return LandResult(LandingState.REFUSED, tip, reason=merge.refused)
        if merge.conflicts:
            merged = await self._commit(merge.tree, tip, CONFLICTS)
            return LandResult(
                LandingState.CONFLICTED, tip, conflicts=merge.conflicts, merged=merged, reason=merge.reason
            )
        paths = await self._changed(tip, merge.tree)
        if not paths:
            return LandResult(LandingState.EMPTY, tip)
        commit = await self._commit(merge.tree, tip, offer.message)
        sizes = await asyncio.to_thread(file_sizes, self.git_dir, commit, paths)
        large = {path: size for path, size in sizes.items() if size >= LARGE}
        if not await _whole(self._refs.compare_and_swap(_TRUNK, commit, tip)):
            return None
        return LandResult(LandingState.MERGED, tip, commit=commit, paths=paths, large=large)

    def _group(self, tip: CommitId) -> Group | None:
        """None when only git can read this repo: other ids than SHA-1, or paths that the library cannot follow."""
        try:
            root = self.pending.tree_of(tip)
        except KeyError:
            return None
        return Group(self._store, tip, root, self._history.__contains__, self.pending.from_disk, int(time.time()))

    def _moved(self, result: LandResult, message: str) -> None:
        """Tell those who keep track of the tip that a landing has moved it."""
        assert result.commit is not None
        self._history.landed(result.commit, message)
        self._merger.moved(result.base, result.commit, result.paths)

    async def _follow(self) -> CommitId:
        """The tip, with the history known up to it."""
        tip = await self.tip()
        await self._history.follow(tip)
        return tip

    async def find_landed(self, task: TaskId) -> CommitId | None:
        await self._follow()
        return self._history.of_task(task)

    async def landed_since(self, commit: CommitId) -> list[CommitId]:
        await self._follow()
        known = self._history.since(commit)
        if known is not None:
            return known
        listing = await self._git.text("rev-list", "--first-parent", "--reverse", _TRUNK, f"^{commit}", "--")
        return [CommitId(line) for line in listing.split("\n") if line]

    async def read_file(self, commit: CommitId, path: str) -> bytes | None:
        try:
            return await asyncio.to_thread(self._content, commit, os.fsencode(path))
        except (KeyError, ValueError):
            pass  # the library cannot read it; git can
        listing = await self._git.run("--literal-pathspecs", "ls-tree", "-z", "--full-tree", commit, "--", path)
        about, _, name = listing.out.rstrip(b"\0").partition(b"\t")
        if not about.startswith(b"100") or name != os.fsencode(path):
            return None
        return (await self._git.run("cat-file", "blob", about.split(b" ")[2].decode("ascii"))).out

    def _content(self, commit: CommitId, path: bytes) -> bytes | None:
        """A regular file's content. Raises KeyError or ValueError where git has to be asked."""
        entry = NewObjects(self._store).entry(self.pending.tree_of(commit), path)
        return self._store.read(entry[1]) if entry is not None and entry[0].startswith(b"100") else None

    async def diff(self, old: CommitId, new: CommitId) -> str:
        """See protocols.Trunk. A patch over 32 MiB is cut at the end of a line."""
        return await patch_between(self._git, old, new)

    async def move_green(self, commit: CommitId) -> None:
        """Move green forward to a commit of trunk; an older one than green leaves it where it is.

        Raises SwarmError (git) when the commit is not on trunk, or when someone else moves green at once.
        """
        if not await self._is_ancestor(commit, _TRUNK):
            raise SwarmError(ErrorKind.GIT, f"{commit[:12]} is not on trunk", "green moves along trunk only")
        old = await self.green()
        if old is not None and await self._is_ancestor(commit, old):
            return
        if not await _whole(self._refs.compare_and_swap(_GREEN, commit, old)):
            raise SwarmError(ErrorKind.GIT, "green was moved by someone else", "leave refs/heads/green to the swarm")

    async def publish(self) -> str:
        """See protocols.Trunk. The first one, before any landing, pins base in the person's repo."""
        async with self._publishing:
            names = ["trunk"] if await self.green() is None else ["trunk", "green"]
            return await _whole(publish(self.git_dir, self._source_root, self._run, names))

    async def _changed(self, tip: CommitId, tree: str) -> tuple[str, ...]:
        listing = await self._git.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", tip, tree, "--")
        return tuple(sorted(name.decode("utf-8", "replace") for name in listing.out.split(b"\0") if name))

    async def _commit(self, tree: str, parent: CommitId, message: str) -> CommitId:
        text = message.replace("\0", " ").encode("utf-8", "replace")
        return CommitId((await self._git.run("commit-tree", tree, "-p", parent, "-F", "-", stdin=text or b"\n")).text)

    async def _is_ancestor(self, commit: CommitId, of: str) -> bool:
        result = await self._git.run("merge-base", "--is-ancestor", commit, of, accept=(0, 1))
        return result.exit == 0


def _trouble(error: Exception) -> Exception:
    """One for each who is told."""
    if isinstance(error, SwarmError):
        return SwarmError(error.kind, error.message, error.hint)
    return disk_error("the landing cannot be written", error) if isinstance(error, OSError) else error


async def _whole(work: Coroutine[object, object, _T]) -> _T:
    """Run to the end even when cancelled: a half-done swap of a ref leaves a lock behind."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _remove_leftovers(git_dir: Path) -> None:
    """Remove what killed processes left, locks and half a pack: whoever holds the run's lock is alone here."""
    for folder, folders, files in os.walk(git_dir):
        folders[:] = [name for name in folders if name != "objects"]
        for name in files:
            if name.endswith(".lock"):
                (Path(folder) / name).unlink(missing_ok=True)
    for half in (git_dir / "objects" / "pack").glob("tmp_*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - half.stat().st_mtime > STALE_S:  # a git that outlived its engine may be at work
                half.unlink()
