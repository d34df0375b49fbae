"""Keeps what checks have built for later workspaces: ignored files, as layers below everything that is tracked.

Tracked files win over them, so they cannot change the project that a workspace shows. Only the engine's own check of a
trunk commit leaves builds; what an agent builds stays in its workspace.
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
from engine.repo.git.trees import differences, tree_of
from engine.repo.workspaces.checkout import OPAQUE_XATTR, is_opaque, link_overlay, write_whiteout
from engine.sandbox.disk import disk_used

MAX_LAYERS = 4
"""With more layers of builds, all are merged into one."""


class WarmBuilds(Struct, frozen=True):
    """Builds of `commit`, as layers from the lowest up. No file in them is newer than `newest_ns`.

    `roots` are the ignored paths that contain everything else; a folder ends in `/`.
    """

    commit: CommitId
    folders: tuple[Path, ...]
    roots: frozenset[str]
    newest_ns: int


def build_name_pattern(globs: Iterable[str]) -> re.Pattern[str]:
    """A pattern for names that match one of the globs in the settings."""
    return re.compile("|".join(fnmatch.translate(glob.rstrip("/")) for glob in globs) or r"(?!)")


def keep_builds(
    before: WarmBuilds | None,
    commit: CommitId,
    upper: Path,
    ignored: Sequence[str],
    names: re.Pattern[str],
    new: Path,
    merged: Path,
) -> WarmBuilds | None:
    """The builds after a check of `commit` that started from `before` and wrote into `upper`; None when there are none.

    New builds are moved to `new`; when there are too many layers, all are merged into `merged`. Raises OSError, and
    RecursionError when folders are nested too deeply.
    """
    folders, roots = (before.folders, before.roots) if before is not None else ((), frozenset())
    added, removed = move_builds(upper, ignored, names, new)
    if added or removed:
        folders = (*folders, new)
    if len(folders) > MAX_LAYERS:
        link_overlay(folders, merged)
        folders = (merged,)
    return WarmBuilds(commit, folders, roots - removed | added, time.time_ns()) if folders else None


def disk_size(builds: WarmBuilds | None) -> int:
    """Bytes on disk."""
    return sum(map(disk_used, builds.folders)) if builds is not None else 0


def move_builds(upper: Path, ignored: Sequence[str], names: re.Pattern[str], target: Path) -> tuple[set[str], set[str]]:
    """Move the ignored paths that `names` matches from `upper`, which nothing can write to any more, to `target`.

    Returns the paths that were built, and those that were removed. Raises OSError.
    """
    built: set[str] = set()
    removed: set[str] = set()
    for path in ignored:
        if not any(names.match(name) for name in path.split("/")):
            continue
        info = os.lstat(upper / path)
        if stat.S_ISCHR(info.st_mode):  # a whiteout hides either a file or a folder
            removed |= {path, path + "/"}
        elif stat.S_ISDIR(info.st_mode) or stat.S_ISREG(info.st_mode):
            built.add(path + "/" if stat.S_ISDIR(info.st_mode) else path)
        else:
            continue
        _make_parents(upper, path, target)
        os.rename(upper / path, target / path)
    return built, removed


def _make_parents(upper: Path, path: str, target: Path) -> None:
    target.mkdir(exist_ok=True)
    parent = ""
    for name in path.split("/")[:-1]:
        parent = f"{parent}{name}/"
        if not (target / parent).exists():
            (target / parent).mkdir()
            if is_opaque(str(upper / parent)):
                os.setxattr(target / parent, OPAQUE_XATTR, b"y")


def stale_paths(repo: pygit2.Repository, builds: WarmBuilds, commit: CommitId, excludes: Rules) -> set[str]:
    """Paths in `builds` that do not fit another commit: their folder was removed, or they are not ignored there."""
    old, new = tree_of(repo, builds.commit), tree_of(repo, commit)
    changed = list(differences(old, new))
    rules_changed = any(path.rpartition("/")[2] == ".gitignore" for path, _ in changed)
    if not rules_changed and all(found is not None for _, found in changed):
        return set()
    stale = set()
    for root in builds.roots:
        names = tuple(root.rstrip("/").split("/"))
        before, after = _folders_above(old, names), _folders_above(new, names)
        if len(after) < len(before):
            stale.add("/".join(names[: len(after)]))
        elif rules_changed and _ignored(before, root, excludes) and not _ignored(after, root, excludes):
            stale.add("/".join(names))
    return stale


def write_whiteouts(folder: Path, paths: set[str]) -> None:
    """Make `folder` a layer that hides these paths in the layers below it. Raises OSError."""
    folder.mkdir()
    for path in sorted(paths):
        names = path.split("/")
        if not any("/".join(names[:depth]) in paths for depth in range(1, len(names))):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            write_whiteout(folder / path)


def without_paths(builds: WarmBuilds, paths: set[str], mask: Path) -> WarmBuilds:
    """The builds without `paths`, which the layer `mask` hides."""
    left = {root for root in builds.roots if not any(f"{root}/".startswith(f"{path}/") for path in paths)}
    return replace(builds, folders=(*builds.folders, mask), roots=frozenset(left))


def _folders_above(tree: pygit2.Tree, names: tuple[str, ...]) -> list[pygit2.Tree]:
    """The tracked folders above a path, from the top down."""
    folders = [tree]
    for name in names[:-1]:
        raw = os.fsencode(name)
        below = next((entry for entry in folders[-1] if entry.raw_name == raw), None)
        if not isinstance(below, pygit2.Tree):
            break
        folders.append(below)
    return folders


def _ignored(folders: list[pygit2.Tree], root: str, excludes: Rules) -> bool:
    """Whether git ignores a path, or a folder above it, by the rules in these tracked folders."""
    names = root.rstrip("/").split("/")
    chain = tuple(_rules(tree) for tree in folders)
    return any(
        is_ignored(chain[:depth], excludes, "/".join(names[:depth]), depth < len(names) or root.endswith("/"))
        for depth in range(1, len(names) + 1)
    )


def _rules(tree: pygit2.Tree) -> Rules:
    found = next((entry for entry in tree if entry.raw_name == b".gitignore"), None)
    return parse_rules(found.data) if isinstance(found, pygit2.Blob) else ()
