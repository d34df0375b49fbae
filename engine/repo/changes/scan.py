"""What an agent changed, read from its copy by the engine: the cost is what changed, not the size of the project.

The copy is hostile: it is walked by descriptor, no link is followed, only regular files and links are read.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from engine.ports.protocols import WorkspaceError
from engine.repo.git.forbidden_paths import refusal
from engine.repo.git.ignores import Rules, is_ignored, parse_rules
from engine.repo.git.objects import LINK_MODE, SUBMODULE_MODE, TREE_MODE, NewObjects, ObjectId, TreeEntry
from engine.repo.git.trees import EXECUTABLE, FILE, LINK, Content, FileChanges

LARGEST = 64 << 20
WHOLE = 256 << 20
"""Bytes of all files that can land at once, as they are held in memory: files with holes take no room in a copy."""
EACH = 1 << 10
"""What a file counts beside its content."""
MOST_RULES = 4_000
"""Of all `.gitignore`s on the way to a file; further ones are not read."""
WORK = 10_000_000
"""Rules that names are held against in one walk, counted more for deep paths: half a minute at most."""
PARSED = 30
"""What it takes to read a rule, in the same measure."""
DEEPEST = 256
"""Folders within folders that are walked: each costs a descriptor."""
REFUSED_NAMES = frozenset({".git", "git~1"})
OURS = ".swarm"


class Stamp(Struct, frozen=True):
    """How a file of a full copy looked when it was made; what differs has been touched."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int
    mode: int


class Scan:
    """One walk over a copy that started as `root`, a tree. With `stamps` it holds all files, else it is an upper.

    `carried`: paths that count as tracked though `root` lacks them. `excludes`: rules that any `.gitignore` overrules.
    """

    def __init__(
        self,
        objects: NewObjects,
        root: ObjectId,
        stamps: Mapping[str, Stamp] | None,
        carried: frozenset[str],
        excludes: Rules,
    ) -> None:
        self.objects = objects
        self.root = root
        self.stamps = stamps
        self.carried = carried
        self.excludes = excludes
        self.changes: FileChanges = {}
        self.left_out: list[str] = []
        """What cannot land, and why; a message for each."""
        self._size = 0
        self._full = False
        self._work = 0
        self._worn = False
        self.aside: list[str] = []
        """What git ignores, a folder for all below it; in an upper also what is gone of that."""

    def run(self, folder: Path) -> FileChanges:
        """Raises WorkspaceError when the copy cannot be read."""
        try:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            raise WorkspaceError(f"the workspace cannot be read: {error.strerror}") from error
        try:
            self._folder(fd, "", self.root, self.stamps is not None, (), False)
        finally:
            os.close(fd)
        return self.changes

    def _folder(
        self, fd: int, prefix: str, tree: ObjectId | None, whole: bool, chain: tuple[Rules, ...], hidden: bool
    ) -> None:
        """`whole`: what is not here is gone. `chain`: the rules of each folder from the root to above this one."""
        with os.scandir(fd) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        tracked = self.objects.tree(tree).entries if tree is not None else {}
        rules = self._rules(fd, {entry.name for entry in entries}, tracked, whole)
        chain = (*chain, rules[: MOST_RULES - sum(map(len, chain))])
        self._work += PARSED * len(chain[-1])
        seen = set()
        for entry in entries:
            name = entry.name
            if name.lower() in REFUSED_NAMES or (not prefix and name == OURS):
                continue
            path = prefix + name
            known = tracked.get(os.fsencode(name))
            if known is not None and known[0] == SUBMODULE_MODE:
                seen.add(name)  # a submodule is left as it is
                continue
            try:
                info = None if entry.is_dir(follow_symlinks=False) else entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if info is None:
                self._inner(fd, path, known, whole, chain, hidden, seen)
                continue
            if stat.S_ISCHR(info.st_mode) and info.st_rdev == 0 and self.stamps is None:
                if known is not None:
                    self.changes[path] = None
                else:
                    self.aside.append(path)
                continue
            if stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode):
                seen.add(name)
                if known is None and path not in self.carried and (hidden or self._ignored(chain, path, False)):
                    self.aside.append(path)
                    continue
                self._file(fd, name, path, info)
        if whole:
            for raw, known in tracked.items():
                if (name := os.fsdecode(raw)) not in seen and known[0] != SUBMODULE_MODE:
                    self.changes.setdefault(prefix + name, None)

    def _inner(
        self,
        fd: int,
        path: str,
        known: TreeEntry | None,
        whole: bool,
        chain: tuple[Rules, ...],
        hidden: bool,
        seen: set[str],
    ) -> None:
        below = known[1] if known is not None and known[0] == TREE_MODE else None
        hidden = hidden or self._ignored(chain, path, True, tracked=known is not None)
        if known is not None and below is None:
            self.changes[path] = None  # a file became a folder
        name = path.rpartition("/")[2]
        seen.add(name)
        if hidden and below is None and not any(carried.startswith(path + "/") for carried in self.carried):
            self.aside.append(path)
            return
        if path.count("/") >= DEEPEST:
            self.left_out.append(f"{path[:80]}…: is nested too deeply to land; remove it")
            return
        try:
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
        except OSError:
            self.left_out.append(f"{path}: is a folder that cannot be read, its mode forbids it")
            return
        try:
            replaced = whole or below is None or (self.stamps is None and _opaque(inner))
            self._folder(inner, path + "/", below, replaced, chain, hidden)
        finally:
            os.close(inner)

    def _rules(self, fd: int, here: set[str], tracked: Mapping[bytes, TreeEntry], whole: bool) -> Rules:
        """Those of this folder's `.gitignore` as the agent sees it."""
        if ".gitignore" in here:
            text = _read(fd, ".gitignore")
            return parse_rules(text) if text is not None else ()
        known = tracked.get(b".gitignore")
        if not whole and known is not None and known[0] not in (TREE_MODE, LINK_MODE, SUBMODULE_MODE):
            return parse_rules(self.objects.read(known[1]))
        return ()

    def _ignored(self, chain: tuple[Rules, ...], path: str, folder: bool, *, tracked: bool = False) -> bool:
        """Once that has taken too much work nothing counts as ignored, and what is there cannot land. Of folders that
        are tracked there are only so many."""
        if not tracked:
            self._work += (sum(map(len, chain)) + len(self.excludes)) * (1 + path.count("/") // 4)
        if self._work <= WORK:
            return is_ignored(chain, self.excludes, path, folder)
        if not self._worn:
            self._worn = True
            self.left_out.append(f"{path}: is one file too many for so many ignore rules; remove some of either")
        return False

    def _file(self, fd: int, name: str, path: str, info: os.stat_result) -> None:
        if self.stamps is not None and self.stamps.get(path) == stamp(info):
            return
        if info.st_size > LARGEST:
            self.left_out.append(f"{path}: is too large to land; remove it or let git ignore it")
            return
        link = stat.S_ISLNK(info.st_mode)
        data = None
        if self._size + info.st_size + EACH <= WHOLE:
            data = _target(fd, name) if link else _read(fd, name)
        elif not self._full:
            self._full = True
            more = f"{path}: is more than can land at once, {WHOLE >> 20} MiB; remove files or let git ignore them"
            self.left_out.append(more)
        if data is None:
            return
        self._size += len(data) + EACH
        if reason := refusal(path, data, link=link):
            self.left_out.append(reason)
        else:
            mode = LINK if link else EXECUTABLE if info.st_mode & 0o100 else FILE
            self.changes[path] = Content(mode, data)


def stamp(info: os.stat_result) -> Stamp:
    return Stamp(info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, info.st_mode)


def _opaque(fd: int) -> bool:
    try:
        return os.getxattr(fd, "user.overlay.opaque") == b"y"
    except OSError:
        return False


def _target(fd: int, name: str) -> bytes | None:
    try:
        return os.fsencode(os.readlink(name, dir_fd=fd))
    except OSError:
        return None


def _read(fd: int, name: str) -> bytes | None:
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd)
    except OSError:
        return None
    try:
        info = os.fstat(file)
        if not stat.S_ISREG(info.st_mode):
            return None
        at_once = min(info.st_size + 1, 1 << 20)
        chunks = []
        left = LARGEST
        while left > 0 and (chunk := os.read(file, min(left, at_once))):
            chunks.append(chunk)
            left -= len(chunk)
        return b"".join(chunks)
    finally:
        os.close(file)
