"""The objects of a trunk's repository, all of them its own: whatever happens to the user's repository, none is lost.

`objects` has what the base and trunk reach and nothing else, because agents can read that folder. Changes that have
not landed and merges with conflicts lie in `unlanded`, which borrows from `objects` and which no agent can read.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.types import CommitId
from engine.repo.git.alternates import object_folders, write_alternates
from engine.repo.git.git import Git
from engine.repo.git.objects import UNLANDED
from engine.repo.git.pack_writer import sync_folder
from engine.repo.git.refs import STALE_S
from engine.repo.source import SourceRepo

TRUNK = "refs/heads/trunk"
BASE = "refs/swarm/base"

_TIMEOUT_S = 3_600.0
_BORROWED = "info/alternates"
_MAX_LENDERS = 8
"""Earlier runs to try."""
_MAX_LENT = 8
"""Packs to take from an earlier run; if it has more, everything is packed into one again."""
_KEEP = "the base of a run\n"


def unlanded_git(git_dir: Path) -> Git:
    """Git that reads all objects of a trunk and writes new ones into `unlanded`."""
    return Git(git_dir, git_dir=git_dir, objects=git_dir / UNLANDED)


async def copy_base(git_dir: Path, source: SourceRepo, runs: Path) -> None:
    """Copy what the base reaches from the user's repository into a new trunk.

    An earlier run in the folder `runs` that started from an ancestor of the base lends its packs as hard links. A
    partial clone that lacks objects of earlier commits gives a history that starts at the base. Raises SwarmError (git)
    when other objects are missing or the disk fails.
    """
    git = Git(git_dir, git_dir=git_dir, timeout_s=_TIMEOUT_S)
    write_alternates(git_dir, object_folders(source.objects))
    try:
        try:
            await _pack_base(git, source.base, runs)
        except SwarmError:
            if not source.partial:
                raise
            (git_dir / "shallow").write_text(f"{source.base}\n")
            await _pack_base(git, source.base, runs)
    except SwarmError as error:
        hint = error.hint
        if error.kind is ErrorKind.GIT and source.partial:
            hint = "fetch the missing objects of the partial clone first: git fetch --refetch --no-filter"
        message = f"cannot copy the objects of {source.base[:12]}: {error.message}"
        raise SwarmError(error.kind, message, hint) from error
    (git_dir / "objects" / _BORROWED).unlink()
    make_unlanded(git_dir)


async def _pack_base(git: Git, base: CommitId, runs: Path) -> None:
    lent = "" if (git.cwd / "shallow").exists() else await _borrow_packs(git, base, runs)
    await _pack(git, git.cwd / "objects" / "pack", [base, *([f"^{lent}"] if lent else [])], keep=True)


async def own_objects(git_dir: Path) -> None:
    """Prepare the object folders of an existing trunk.

    A trunk of an earlier version borrows from the user's repository: what it needs is copied. A pack that a killed
    process wrote without moving trunk goes into `unlanded`. Raises SwarmError (state) when objects have been deleted.
    """
    objects, new, old = (git_dir / name for name in ("objects", "objects.new", "objects.old"))
    if not objects.exists() and new.exists():  # killed between the two renames below
        new.rename(objects)
    if (objects / _BORROWED).exists():
        shutil.rmtree(new, ignore_errors=True)
        for name in ("pack", "info"):
            (new / name).mkdir(parents=True)
        git = Git(git_dir, git_dir=git_dir, timeout_s=_TIMEOUT_S)
        try:
            base, tip = (await git.text("rev-parse", BASE, TRUNK)).split()
            await _pack(git, new / "pack", [base], keep=True)
            await _pack(git, new / "pack", [tip, f"^{base}"], keep=False)
        except SwarmError as error:
            raise SwarmError(
                ErrorKind.STATE,
                f"objects of the run were deleted from your repo: {error.message}",
                "bring them back, for example from a clone with git fetch, then resume",
            ) from error
        for common in [folder.parent for folder in object_folders(objects)[1:2]]:
            await git.run("config", "swarm.common", str(common))
        objects.rename(old)
        new.rename(objects)
        sync_folder(git_dir)
    shutil.rmtree(old, ignore_errors=True)
    make_unlanded(git_dir)
    _empty_unlanded(git_dir / UNLANDED)
    await _set_aside_unlanded(git_dir)


async def make_readable(git_dir: Path, commit: CommitId, tip: CommitId) -> Path | None:
    """Copy what `commit` adds to `tip` from `unlanded` into `objects`, durably. Returns the pack. Raises SwarmError."""
    return await _pack(unlanded_git(git_dir), git_dir / "objects" / "pack", [commit, f"^{tip}"], keep=False)


def remove_pack(pack: Path) -> None:
    for ending in (".idx", ".rev", ".pack"):
        pack.with_suffix(ending).unlink(missing_ok=True)


async def _pack(git: Git, folder: Path, revisions: Sequence[str], *, keep: bool) -> Path | None:
    """Write what `revisions` reach into one pack; None if that is nothing. `keep`: housekeeping leaves it alone."""
    name = await git.text(
        # Deltas that exist are reused. New ones would take minutes, for an object folder that lives as long as a run.
        *("pack-objects", "--revs", "--quiet", "--window=0", "--delta-base-offset", "--non-empty", f"{folder}/pack"),
        stdin="".join(f"{line}\n" for line in revisions).encode(),
    )
    if not name:
        return None
    pack = folder / f"pack-{name}.pack"
    if keep:
        pack.with_suffix(".keep").write_text(_KEEP)
    return pack


async def _borrow_packs(git: Git, base: CommitId, runs: Path) -> str:
    """Link the base's packs of an earlier run; returns the commit that they are complete for, empty if there are none.

    Objects are named by their content, so it does not matter from which repository the earlier run started.
    """
    seen: set[str] = set()
    for lender in _lenders(runs)[:_MAX_LENDERS]:
        packs = [keep.with_suffix(".pack") for keep in (lender / "objects" / "pack").glob("pack-*.keep")]
        lent = _ref(lender / BASE)
        if not lent or lent in seen or not 0 < len(packs) <= _MAX_LENT:
            continue
        seen.add(lent)
        if lent != base and (await git.run("merge-base", "--is-ancestor", lent, base, accept=range(256))).exit:
            continue
        target = git.cwd / "objects" / "pack"
        try:
            for pack in packs:
                for ending in (".keep", ".pack", ".idx"):
                    os.link(pack.with_suffix(ending), target / f"{pack.stem}{ending}")
        except OSError:  # no hard links here, or the earlier run is being deleted
            for pack in packs:
                remove_pack(target / pack.name)
                (target / f"{pack.stem}.keep").unlink(missing_ok=True)
            continue
        return lent
    return ""


def _lenders(runs: Path) -> list[Path]:
    """The trunks of earlier runs that have a whole history of their own, the newest first."""
    found: list[tuple[float, Path]] = []
    for git_dir in runs.glob("*/trunk.git"):
        if not (git_dir / "shallow").exists() and not (git_dir / "objects" / _BORROWED).exists():
            with contextlib.suppress(OSError):
                found.append(((git_dir / BASE).stat().st_mtime, git_dir))
    return [git_dir for _, git_dir in sorted(found, reverse=True)]


def _ref(file: Path) -> str:
    try:
        return file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def make_unlanded(git_dir: Path) -> None:
    """Create the folder for what agents may not read, if it is missing."""
    for name in ("pack", "info"):
        (git_dir / UNLANDED / name).mkdir(parents=True, exist_ok=True)
    borrowed = git_dir / UNLANDED / _BORROWED
    if not borrowed.exists():
        borrowed.write_text("../objects\n")


def _empty_unlanded(folder: Path) -> None:
    """Delete what earlier processes left: their tasks are done again. The caller holds the run's lock."""
    for pattern in ("pack/*", "[0-9a-f][0-9a-f]/*"):
        for file in folder.glob(pattern):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - file.stat().st_mtime > STALE_S:  # a git process may have outlived its engine
                    file.unlink()


async def _set_aside_unlanded(git_dir: Path) -> None:
    """Move packs out of `objects` that are newer than trunk's ref and have commits that are not on trunk."""
    moved = (git_dir / TRUNK).stat().st_mtime_ns if (git_dir / TRUNK).exists() else 0
    git = Git(git_dir, git_dir=git_dir)
    for index in (git_dir / "objects" / "pack").glob("pack-*.idx"):
        if index.stat().st_mtime_ns < moved or index.with_suffix(".keep").exists():
            continue
        listing = await git.text("show-index", stdin=index.read_bytes())
        ids = "".join(f"{line.split(' ')[1]}\n" for line in listing.splitlines())
        kinds = await git.text("cat-file", "--batch-check=%(objecttype) %(objectname)", stdin=ids.encode())
        commits = [line.split(" ")[1] for line in kinds.splitlines() if line.startswith("commit ")]
        if not commits:
            continue
        wanted = "".join(f"{commit}\n" for commit in commits)
        if await git.text("rev-list", "--max-count=1", "--stdin", "--not", "--all", stdin=wanted.encode()):
            for ending in (".idx", ".rev", ".pack"):
                with contextlib.suppress(FileNotFoundError):
                    index.with_suffix(ending).rename(git_dir / UNLANDED / "pack" / f"{index.stem}{ending}")
