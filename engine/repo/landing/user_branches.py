"""Publishes trunk and green as two refs in the user's repository, and changes nothing else there.

No transport is used, because the configuration of the user's repository decides what a transport runs. All that writes
uses configuration of the engine's own.
"""

import asyncio
import errno
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from msgspec import structs

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.os_text import path_text
from engine.domain.types import CommitId
from engine.repo.git.git import USER_REPO_TIMEOUT_S, Git, GitResult, disk_error, hint_for
from engine.repo.git.own_git_dir import link_refs, own_git_dir
from engine.repo.git.pack_writer import sync_folder
from engine.repo.git.regular_file import read_regular

_LOOK_S = 10.0
MAX_LOOSE = 100
"""Fewer objects than this are stored one by one, so that frequent landings don't leave a pack each (as git fetch)."""
_MAX_LOOSE_BYTES = 16 << 20
_DURABLE = ("core.fsync=committed,reference", "core.fsyncMethod=fsync")
_CHECKED_OUT = "it is checked out"
_MOVED = "someone else moved it"
_CUT_OFF = "the shallow clone no longer has the commit that the run started from; get it back: git fetch --unshallow"
_IN_THE_WAY = re.compile(r"'(\S+)' exists; cannot create")
_PREFIX = re.compile(r"^(fatal: |error: )?(update_ref failed for ref '[^']*': )?(cannot lock ref '[^']*': )?")
_IN_PROGRESS = ("rebase-merge/head-name", "rebase-apply/head-name", "BISECT_START")
"""Files of a work tree's git folder that name the branch to which an unfinished operation returns."""
_MAX_REF_BYTES = 4096


async def publish(trunk_git: Path, root: Path, run: str, names: Sequence[str]) -> str:
    """Set `refs/heads/swarm/RUN/NAME` of the repository at `root` to `refs/heads/NAME` of the trunk's repository.

    Where that does not exist, the published one is removed. A ref that is checked out in a work tree, that someone
    moved, or that git cannot write is not updated. Returns one line for each of those, or an empty string.

    Raises SwarmError (git) when nothing can be written at all.
    """
    try:
        return await _publish(trunk_git, root, run, names)
    except OSError as error:
        raise disk_error(f"cannot publish into {path_text(root)}", error) from error


async def _publish(trunk_git: Path, root: Path, run: str, names: Sequence[str]) -> str:
    trunk, user = Git(trunk_git, git_dir=trunk_git), Git(root, timeout_s=USER_REPO_TIMEOUT_S)
    common, object_format = await _same_repo(user)
    checked_out = await _checked_out_branches(user) | _returned_to(common)
    settings = await _settings(user)
    skipped = []
    with own_git_dir(common, object_format) as git:
        link_refs(git.cwd, common, object_format, settings.get("extensions.refstorage", ""))
        shared = settings.get("core.sharedrepository")
        refs = structs.replace(git, config=(*_DURABLE, *([f"core.sharedRepository={shared}"] if shared else [])))
        for name in names:
            target = f"refs/heads/swarm/{run}/{name}"
            new = await trunk.run("rev-parse", "--verify", "-q", f"refs/heads/{name}^{{commit}}", accept=(0, 1))
            if new.exit:
                reason = await _remove(trunk, refs, common, target, checked_out)
            else:
                reason = _CHECKED_OUT if target in checked_out else await _update(trunk, refs, common, target, new.text)
                if not reason and await _commit_at(refs, target) != new.text:
                    reason = "it does not have the commit that git was told to write"
            if reason:
                skipped.append(f"{target.removeprefix('refs/heads/')} not updated: {reason}")
    return "\n".join(skipped)


def branches_of(root: Path, run: str) -> dict[str, CommitId]:
    """The run's branches by their last names, as the repository has them now; none if it cannot be read."""
    git = Git(root)
    command = git.command("for-each-ref", "--format=%(objectname) %(refname:lstrip=4)", f"refs/heads/swarm/{run}/")
    try:
        listed = subprocess.run(
            command, cwd=root, env=git.environment(), capture_output=True, check=False, timeout=_LOOK_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    lines = os.fsdecode(listed.stdout).splitlines()
    return {name: CommitId(commit) for commit, _, name in (line.partition(" ") for line in lines)}


async def _settings(user: Git) -> dict[str, str]:
    """The settings of the user's repository on which the format and the modes of new files depend."""
    keys = r"^(core\.sharedrepository|extensions\.refstorage)$"
    listed = await user.run("config", "-z", "--get-regexp", keys, accept=(0, 1))
    entries = (os.fsdecode(entry).partition("\n") for entry in listed.out.split(b"\0"))
    return {key: value if has_value else "true" for key, has_value, value in entries}


async def _update(trunk: Git, refs: Git, common: Path, target: str, new: str) -> str:
    """Move one ref forward, after the objects that it needs. Returns why it was not moved, or an empty string."""
    if (await refs.run("symbolic-ref", "--quiet", target, accept=range(256))).exit == 0:
        return _MOVED
    old = await _commit_at(refs, target)
    if old == new:
        return ""
    if old and (await trunk.run("merge-base", "--is-ancestor", old, new, accept=range(256))).exit:
        return _MOVED
    if (trunk.cwd / "shallow").exists():
        both = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(trunk.cwd / "objects")}
        if (await refs.run("rev-list", "--quiet", new, "--not", "--all", env=both, accept=range(256))).exit:
            return _CUT_OFF
    await _send_objects(trunk, refs, common / "objects", new)
    result = await refs.run("update-ref", "--no-deref", target, new, old or "0" * len(new), accept=range(256))
    if result.exit == 0:
        above = [folder for folder in (common / target).parents if folder.is_relative_to(common)]
        await asyncio.to_thread(_sync, common / "reftable", *above)
        return ""
    return _reason(result, common / target)


def _reason(result: GitResult, ref: Path) -> str:
    """Why git did not move a ref, in a few words."""
    if "but expected" in result.err or "reference already exists" in result.err:
        return _MOVED
    if ".lock': File exists" in result.err:
        return "another git process has locked it"
    if in_the_way := _IN_THE_WAY.search(result.err):
        return f"{in_the_way[1].removeprefix('refs/heads/')} is in the way"
    folder = next(folder for folder in ref.parents if folder.exists())
    if not os.access(folder, os.W_OK):
        return f"{path_text(folder)} is not writable"
    return _PREFIX.sub("", result.error_line)


async def _remove(trunk: Git, refs: Git, common: Path, target: str, checked_out: set[str]) -> str:
    """Remove a ref that was taken back. Returns why it was not removed, or an empty string."""
    old = await _commit_at(refs, target)
    if not old:
        return ""
    if target in checked_out:
        return _CHECKED_OUT
    if (await trunk.run("merge-base", "--is-ancestor", old, "refs/heads/trunk", accept=range(256))).exit:
        return _MOVED
    result = await refs.run("update-ref", "--no-deref", "-d", target, old, accept=range(256))
    return "" if result.exit == 0 else _reason(result, common / target)


async def _commit_at(refs: Git, target: str) -> str:
    """The commit of a ref; empty if there is none."""
    return (await refs.run("rev-parse", "--verify", "--quiet", target, accept=range(256))).text


async def _same_repo(user: Git) -> tuple[Path, str]:
    """The git folder that all work trees of the user's repository share, and the format of its objects.

    Refuses a repository further up, which git finds once the user's repository is gone. Raises SwarmError (git).
    """
    asked = ("--show-prefix", "--path-format=absolute", "--git-common-dir", "--show-object-format")
    found = await user.run("rev-parse", *asked, accept=range(256))
    prefix, _, rest = os.fsdecode(found.out).removesuffix("\n").partition("\n")
    if found.exit or prefix:
        hint = "was it moved or deleted during the run?"
        raise SwarmError(ErrorKind.GIT, f"{path_text(user.cwd)} is not the top folder of a git repo any more", hint)
    folder, _, object_format = rest.rpartition("\n")
    return Path(folder), object_format


async def _send_objects(trunk: Git, refs: Git, objects: Path, commit: str) -> None:
    """Store everything that `commit` needs and the refs of the user's repository do not reach.

    When this returns, all of it survives a power cut, as the ref must not outlive its objects.
    """
    into = structs.replace(trunk, objects=objects, config=refs.config)
    revisions = "".join(f"{each}\n" for each in (commit, *(f"^{known}" for known in await _known(trunk, refs))))
    listed = (await trunk.run("rev-list", "--objects", "--no-object-names", "--stdin", stdin=revisions.encode())).out
    ids = listed.decode("ascii").split()
    if not ids:
        return
    pack = ("pack-objects", "-q", "--delta-base-offset")
    packed = None
    if len(ids) < MAX_LOOSE:
        packed = await trunk.run(*pack, "--stdout", stdin=listed, limit=_MAX_LOOSE_BYTES)
    if packed is not None and not packed.cut:
        stored = await into.run("unpack-objects", "-q", stdin=packed.out, accept=range(256))
        folders = {objects / each[:2] for each in ids}
    else:
        # The pack is written where it is to stay, so that its size is not bounded by memory.
        folders = {objects / "pack"}
        (objects / "pack").mkdir(exist_ok=True)
        stored = await into.run(
            *pack,
            str(objects / "pack" / "pack"),
            stdin=listed,
            env={"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(trunk.cwd / "objects")},
            accept=range(256),
        )
    if stored.exit:
        raise _failed(objects, stored)
    await asyncio.to_thread(_sync, *folders, objects)


def _sync(*folders: Path) -> None:
    """Flush those of the folders that exist to disk; not every file system can. Raises SwarmError (git)."""
    for folder in folders:
        try:
            sync_folder(folder)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ENOTSUP):
                raise disk_error(f"cannot publish into {path_text(folder)}", error) from error


async def _known(trunk: Git, refs: Git) -> list[str]:
    """The commits at refs of the user's repository that the trunk's repository has, too."""
    listed = await refs.text("for-each-ref", "--format=%(objectname)")
    ids = "".join(f"{name}\n" for name in dict.fromkeys(listed.split()))
    if not ids:
        return []
    found = await trunk.text("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=ids.encode())
    return [line.split(" ")[0] for line in found.splitlines() if line.endswith(" commit")]


async def _checked_out_branches(user: Git) -> set[str]:
    """The full names of the branches that are checked out in a work tree of the repository."""
    listing = await user.run("worktree", "list", "--porcelain", "-z")
    lines = os.fsdecode(listing.out).split("\0")
    return {line.removeprefix("branch ") for line in lines if line.startswith("branch ")}


def _returned_to(common: Path) -> set[str]:
    """The branches that unfinished operations in any work tree will return to."""
    folders = (common, *common.glob("worktrees/*"))
    lines = {_first_line(folder / file) for folder in folders for file in _IN_PROGRESS}
    return {name if name.startswith("refs/") else f"refs/heads/{name}" for name in lines if name}


def _first_line(file: Path) -> str:
    return os.fsdecode(read_regular(file, _MAX_REF_BYTES)).partition("\n")[0].strip()


def _failed(folder: Path, result: GitResult) -> SwarmError:
    return SwarmError(
        ErrorKind.GIT,
        f"cannot publish into {path_text(folder)}: {_PREFIX.sub('', result.error_line)}",
        hint_for(result.err, "check that the repo exists and is writable"),
    )
