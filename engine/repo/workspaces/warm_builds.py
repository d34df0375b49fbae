"""What checks have built, kept for later copies: what git ignores, as layers below all that is tracked.

Whatever a commit has wins over them, so that they can show no copy another project than its own. Only the engine's own
check of a trunk commit leaves any: what an agent builds stays in its own copy.
"""

import fnmatch
import os
import re
import stat
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pygit2
from msgspec import Struct
from msgspec.structs import replace

from engine.domain.types import CommitId
from engine.repo.git.ignores import Rules, is_ignored, parse_rules
from engine.repo.git.trees import differences
from engine.repo.workspaces.checkout import OPAQUE, is_opaque, link_shown
from engine.sandbox.disk import disk_used

DEEPEST = 4
"""Layers that are kept apart."""


class Builds(Struct, frozen=True):
    """What stands built from `commit`: layers, the lowest first, with nothing in them younger than `until_ns`.

    `roots`: the paths that git ignores and all else is below; a folder's ends in `/`.
    """

    commit: CommitId
    folders: tuple[Path, ...]
    roots: frozenset[str]
    until_ns: int


def kept_names(names: Iterable[str]) -> re.Pattern[str]:
    """Matches a name that one of the settings' globs stands for."""
    return re.compile("|".join(fnmatch.translate(name.rstrip("/")) for name in names) or r"(?!)")


def kept(
    before: Builds | None,
    commit: CommitId,
    upper: Path,
    aside: Sequence[str],
    names: re.Pattern[str],
    new: Path,
    flat: Path,
) -> Builds | None:
    """What is built once the check of a commit, which began with `before`, has left this upper; None: nothing.

    `new` is where to put what is new, `flat` where to put all in one when there are too many layers. Raises OSError,
    and RecursionError for a hostile depth.
    """
    folders, roots = (before.folders, before.roots) if before is not None else ((), frozenset())
    here, gone = take(upper, aside, names, new)
    if here or gone:
        folders = (*folders, new)
    if len(folders) > DEEPEST:
        link_shown(folders, flat)
        folders = (flat,)
    return Builds(commit, folders, roots - gone | here, time.time_ns()) if folders else None


def disk_size(builds: Builds | None) -> int:
    """Bytes on disk."""
    return sum(map(disk_used, builds.folders)) if builds is not None else 0


def take(upper: Path, aside: Sequence[str], names: re.Pattern[str], target: Path) -> tuple[set[str], set[str]]:
    """Move what of `aside` (paths in an overlay's upper that nothing can write to any more) is to be kept to `target`.

    Returns the paths of what is there now, and of what was removed. Raises OSError.
    """
    here: set[str] = set()
    gone: set[str] = set()
    for path in aside:
        if not any(names.match(name) for name in path.split("/")):
            continue
        info = os.lstat(upper / path)
        if stat.S_ISCHR(info.st_mode):  # a whiteout: of a folder or of a file
            gone |= {path, path + "/"}
        elif stat.S_ISDIR(info.st_mode) or stat.S_ISREG(info.st_mode):
            here.add(path + "/" if stat.S_ISDIR(info.st_mode) else path)
        else:
            continue
        _make_parents(upper, path, target)
        os.rename(upper / path, target / path)
    return here, gone


def _make_parents(upper: Path, path: str, target: Path) -> None:
    target.mkdir(exist_ok=True)
    parent = ""
    for name in path.split("/")[:-1]:
        parent = f"{parent}{name}/"
        if not (target / parent).exists():
            (target / parent).mkdir()
            if is_opaque(str(upper / parent)):
                os.setxattr(target / parent, OPAQUE, b"y")


def misfits(repo: pygit2.Repository, builds: Builds, commit: CommitId, excludes: Rules) -> set[str]:
    """What of it makes no sense at another commit: paths whose folder is gone there, or that git no longer ignores."""
    old, new = (repo[id].peel(pygit2.Commit).tree for id in (builds.commit, commit))
    changed = list(differences(old, new))
    rules_changed = any(path.rpartition("/")[2] == ".gitignore" for path, _ in changed)
    if not rules_changed and all(found is not None for _, found in changed):
        return set()
    found = set()
    for root in builds.roots:
        names = tuple(root.rstrip("/").split("/"))
        before, after = _folders(old, names), _folders(new, names)
        if len(after) < len(before):
            found.add("/".join(names[: len(after)]))
        elif rules_changed and _ignored(before, root, excludes) and not _ignored(after, root, excludes):
            found.add("/".join(names))
    return found


def hide(folder: Path, paths: set[str]) -> None:
    """Make `folder` a layer that hides these paths in the layers below it. Raises OSError."""
    folder.mkdir()
    for path in sorted(paths):
        names = path.split("/")
        if not any("/".join(names[:depth]) in paths for depth in range(1, len(names))):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.mknod(folder / path, stat.S_IFCHR, os.makedev(0, 0))


def masked(builds: Builds, mask: Path, paths: set[str]) -> Builds:
    """The same without what `mask` hides."""
    left = {root for root in builds.roots if not any(f"{root}/".startswith(f"{path}/") for path in paths)}
    return replace(builds, folders=(*builds.folders, mask), roots=frozenset(left))


def _folders(tree: pygit2.Tree, names: tuple[str, ...]) -> list[pygit2.Tree]:
    """The tracked folders on the way to a path, the top first."""
    way = [tree]
    for name in names[:-1]:
        raw = os.fsencode(name)
        below = next((entry for entry in way[-1] if entry.raw_name == raw), None)
        if not isinstance(below, pygit2.Tree):
            break
        way.append(below)
    return way


def _ignored(way: list[pygit2.Tree], root: str, excludes: Rules) -> bool:
    """Whether git ignores a path, or a folder that it is in, by the rules of these tracked folders."""
    names = root.rstrip("/").split("/")
    chain = tuple(_rules(tree) for tree in way)
    return any(
        is_ignored(chain[:depth], excludes, "/".join(names[:depth]), depth < len(names) or root.endswith("/"))
        for depth in range(1, len(names) + 1)
    )


def _rules(tree: pygit2.Tree) -> Rules:
    found = next((entry for entry in tree if entry.raw_name == b".gitignore"), None)
    return parse_rules(found.data) if isinstance(found, pygit2.Blob) else ()
