"""Publishes trunk and green as two refs in the user's repository, and changes nothing else there.

No transport is used, because the configuration of the user's repository decides what a transport runs. Objects are
packed and stored under the trunk's own configuration; only commands that read or write refs use the user's repository.
"""

from pathlib import Path

from engine.domain.errors import ErrorKind, SwarmError
from engine.repo.git.git import Git, GitResult

MAX_LOOSE = 100
"""Fewer objects than this are stored one by one, so that frequent landings don't leave a pack each (as git fetch)."""
_MAX_LOOSE_BYTES = 16 << 20
_DURABLE = "core.fsync=committed,reference"
_CHECKED_OUT = "it is checked out"
_MOVED = "someone else moved it"
_IN_PROGRESS = ("rebase-merge/head-name", "rebase-apply/head-name", "BISECT_START")
"""Files of a work tree's git folder that name the branch to which an unfinished operation returns."""
_MAX_REF_BYTES = 4096


async def publish(trunk_git: Path, root: Path, run: str, names: list[str]) -> str:
    """Set `refs/heads/swarm/RUN/NAME` of the repository at `root` to `refs/heads/NAME` of the trunk's repository.

    A ref that is checked out in a work tree, or that someone moved, is not updated. Returns one line for each of those,
    or an empty string. Raises SwarmError (git) when git fails for another reason.
    """
    trunk, user = Git(trunk_git, git_dir=trunk_git), Git(root, config=(_DURABLE,))
    checked_out = await _checked_out_branches(user)
    skipped = []
    for name in names:
        target = f"refs/heads/swarm/{run}/{name}"
        new = await trunk.text("rev-parse", "--verify", f"refs/heads/{name}^{{commit}}")
        reason = _CHECKED_OUT if target in checked_out else await _update(trunk, user, target, new)
        if reason:
            skipped.append(f"{target.removeprefix('refs/heads/')} not updated: {reason}")
    return "\n".join(skipped)


async def _update(trunk: Git, user: Git, target: str, new: str) -> str:
    """Move one ref forward, after the objects that it needs. Returns why it was not moved, or an empty string."""
    if (await user.run("symbolic-ref", "--quiet", target, accept=range(256))).exit == 0:
        return _MOVED
    old = (await user.run("rev-parse", "--verify", "--quiet", target, accept=range(256))).text
    if old == new:
        return ""
    if old and (await trunk.run("merge-base", "--is-ancestor", old, new, accept=range(256))).exit:
        return _MOVED
    await _send_objects(trunk, user, new)
    result = await user.run("update-ref", "--no-deref", target, new, old or "0" * len(new), accept=range(256))
    if result.exit == 0:
        return ""
    if "but expected" in result.err or "reference already exists" in result.err:
        return _MOVED
    if "cannot lock ref" in result.err or ".lock': File exists" in result.err:
        return "another git process has locked it"
    raise _failed(target, result)


async def _send_objects(trunk: Git, user: Git, commit: str) -> None:
    """Store everything that `commit` needs and the refs of the user's repository do not reach."""
    objects = Path(await user.text("rev-parse", "--path-format=absolute", "--git-path", "objects"))
    shared = await user.run("config", "--get", "core.sharedRepository", accept=range(256))
    into = Git(
        trunk.cwd,
        git_dir=trunk.git_dir,
        objects=objects,
        config=(_DURABLE, *([f"core.sharedRepository={shared.text}"] if shared.exit == 0 else [])),
    )
    revisions = "".join(
        f"{each}\n" for each in (commit, *(f"^{known}" for known in await _known(trunk, user)))
    ).encode()
    packed = await trunk.run(
        "pack-objects", "--revs", "--stdout", "-q", "--delta-base-offset", stdin=revisions, limit=_MAX_LOOSE_BYTES
    )
    count = int.from_bytes(packed.out[8:12], "big")
    if count == 0:
        return
    if count < MAX_LOOSE and not packed.cut:
        stored = await into.run("unpack-objects", "-q", stdin=packed.out, accept=range(256))
    else:
        # The pack is written where it is to stay, so that its size is not bounded by memory.
        (objects / "pack").mkdir(exist_ok=True)
        stored = await into.run(
            *("pack-objects", "--revs", "-q", "--delta-base-offset", str(objects / "pack" / "pack")),
            stdin=revisions,
            env={"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(trunk.cwd / "objects")},
            accept=range(256),
        )
    if stored.exit:
        raise _failed(commit, stored)


async def _known(trunk: Git, user: Git) -> list[str]:
    """The commits at refs of the user's repository that the trunk's repository has, too."""
    listed = await user.text("for-each-ref", "--format=%(objectname)")
    ids = "".join(f"{name}\n" for name in dict.fromkeys(listed.split()))
    if not ids:
        return []
    found = await trunk.text("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=ids.encode())
    return [line.split(" ")[0] for line in found.splitlines() if line.endswith(" commit")]


async def _checked_out_branches(user: Git) -> set[str]:
    """The full names of the branches that a work tree of the repository has checked out or will return to."""
    listing = await user.run("worktree", "list", "--porcelain", "-z")
    lines = listing.out.decode("utf-8", "replace").split("\0")
    branches = {line.removeprefix("branch ") for line in lines if line.startswith("branch ")}
    return branches | _returned_to(Path(await user.text("rev-parse", "--path-format=absolute", "--git-common-dir")))


def _returned_to(common: Path) -> set[str]:
    """The branches that unfinished operations in any work tree will return to."""
    folders = (common, *common.glob("worktrees/*"))
    names = {_read_line(folder / file) for folder in folders for file in _IN_PROGRESS}
    return {name if name.startswith("refs/") else f"refs/heads/{name}" for name in names if name}


def _read_line(file: Path) -> str:
    """The first line of a regular file; empty when there is none."""
    try:
        if not file.is_file():
            return ""
        with file.open("rb") as stream:
            return stream.read(_MAX_REF_BYTES).decode("utf-8", "replace").partition("\n")[0].strip()
    except OSError:
        return ""


def _failed(target: str, result: GitResult) -> SwarmError:
    return SwarmError(
        ErrorKind.GIT,
        f"cannot publish {target}: {result.error_line}",
        "check that the repo exists and is writable",
    )
