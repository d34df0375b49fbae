"""Keeps what checks have built for later workspaces: ignored files, as layers below everything that is tracked, and
caches of package managers and compilers, as layers below the home of commands.

Tracked files win over builds, so they cannot change the project that a workspace shows. Only the engine's own commands
on a trunk commit leave builds and caches; what an agent builds or downloads stays in its workspace. Nobody writes to a
layer, so nobody waits for a lock that another workspace holds.
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
from engine.sandbox.environment import BYTECODE
from engine.sandbox.removal import delete_tree

MAX_LAYERS = 4
"""With more layers of builds, all are merged into one."""
SECOND_NS = 10**9
"""Python tells versions of a source file apart by whole seconds. Bytecode from the second in which its workspace was
opened could be taken for that of a file that has changed since."""


class WarmBuilds(Struct, frozen=True):
    """Builds of `commit`, as layers from the lowest up. No file in them is newer than `newest_ns`.

    `roots` are the ignored paths that contain everything else; a folder ends in `/`. `caches` are layers, too.
    """

    commit: CommitId
    folders: tuple[Path, ...]
    roots: frozenset[str]
    newest_ns: int
    caches: tuple[Path, ...] = ()

    @property
    def layers(self) -> tuple[Path, ...]:
        return (*self.caches, *self.folders)


class Made(Struct, frozen=True):
    """What a command has made: in `upper` the git-`ignored` paths, and in `home`, if there is one, the folders
    `caches`. Nothing can write to these any more. The workspace was opened at `opened_ns`."""

    upper: Path
    ignored: Sequence[str]
    home: Path | None
    caches: Sequence[str]
    opened_ns: int


def build_name_pattern(globs: Iterable[str]) -> re.Pattern[str]:
    """A pattern for names that match one of the globs in the settings."""
    return re.compile("|".join(fnmatch.translate(glob.rstrip("/")) for glob in globs) or r"(?!)")


def keep_builds(before: WarmBuilds | None, commit: CommitId, made: Made, new: Sequence[Path]) -> WarmBuilds | None:
    """The builds after a command on `commit` that started from `before`; None when there are none.

    `new` are four paths for new layers; it uses as many as it needs. Raises OSError, and RecursionError if folders are
    nested too deeply.
    """
    before = before or WarmBuilds(commit, (), frozenset(), 0)
    built, removed = move_builds(made.upper, made.ignored, new[0])
    folders = _with_layer(before.folders, new[0], new[1])
    now_ns = time.time_ns()
    if made.home is not None:
        if now_ns // SECOND_NS == made.opened_ns // SECOND_NS and is_inside(made.home, BYTECODE):
            delete_tree(made.home / BYTECODE)
        move_builds(made.home, [path for path in made.caches if is_inside(made.home, path)], new[2])
    caches = _with_layer(before.caches, new[2], new[3])
    return WarmBuilds(commit, folders, before.roots - removed | built, now_ns, caches) if folders or caches else None


def _with_layer(below: tuple[Path, ...], new: Path, merged: Path) -> tuple[Path, ...]:
    """The layers with a new one on top, if it exists; too many layers are merged into `merged`."""
    layers = (*below, new) if new.exists() else below
    if len(layers) <= MAX_LAYERS:
        return layers
    link_overlay(layers, merged)
    return (merged,)


def is_inside(folder: Path, path: str) -> bool:
    """Whether a path exists in a folder without following any link."""
    here = folder
    for name in path.split("/")[:-1]:
        here /= name
        if here.is_symlink():
            return False
    return os.path.lexists(folder / path)


def disk_size(builds: WarmBuilds | None) -> int:
    """Bytes on disk."""
    return sum(map(disk_used, builds.layers)) if builds is not None else 0


def move_builds(upper: Path, paths: Sequence[str], target: Path) -> tuple[set[str], set[str]]:
    """Move paths from `upper`, which nothing can write to any more, to `target`.

    Returns the paths that were built, and those that were removed. Raises OSError.
    """
    built: set[str] = set()
    removed: set[str] = set()
    for path in paths:
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
