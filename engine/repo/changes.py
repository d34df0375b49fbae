"""What an agent changed, read from its copy by the engine: the cost is what changed, not the size of the project.

The copy is hostile: it is walked by descriptor, no link is followed, only regular files and links are read.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import pygit2
from msgspec import Struct

from engine.protocols import WorkspaceError
from engine.repo.ignores import Rules, decide, parse

LARGEST = 64 << 20
REFUSED_NAMES = frozenset({".git", "git~1"})
OURS = ".swarm"
FILE, EXECUTABLE, LINK, FOLDER = 0o100644, 0o100755, 0o120000, 0o040000
EMPTY_TREE = pygit2.Oid(hex="4b825dc642cb6eb9a060e54bf8d69288fbee4904")


class Stamp(Struct, frozen=True):
    """How a file of a full copy looked when it was made; what differs has been touched."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int
    mode: int


class Content(Struct, frozen=True):
    """A touched file: its git mode and content (a link's is its target)."""

    mode: int
    data: bytes


Changes = dict[str, Content | None]
"""By path; None for what is gone (a file, or a folder with all below it)."""


class Scan:
    """One walk over a copy that started as `tree`. With `stamps` it holds all files, else it is an overlay's upper.

    `carried`: paths that count as tracked though `tree` lacks them.
    """

    def __init__(
        self, repo: pygit2.Repository, tree: pygit2.Tree, stamps: Mapping[str, Stamp] | None, carried: frozenset[str]
    ) -> None:
        self.repo = repo
        self.tree = tree
        self.stamps = stamps
        self.carried = carried
        self.changes: Changes = {}
        self.too_large: list[str] = []

    def run(self, folder: Path) -> Changes:
        """Raises WorkspaceError when the copy cannot be read."""
        try:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            raise WorkspaceError(f"the workspace cannot be read: {error.strerror}") from error
        try:
            self._folder(fd, "", self.tree, self.stamps is not None, (), False)
        finally:
            os.close(fd)
        return self.changes

    def _folder(
        self, fd: int, prefix: str, tree: pygit2.Tree | None, whole: bool, chain: tuple[Rules, ...], ignored: bool
    ) -> None:
        """`whole`: what is not here is gone. `chain`: the rules of each folder from the root to above this one."""
        with os.scandir(fd) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        tracked = _entries(tree)
        chain = (*chain, self._rules(fd, {entry.name for entry in entries}, tracked, whole))
        seen = set()
        for entry in entries:
            name = entry.name
            if name.lower() in REFUSED_NAMES or (not prefix and name == OURS):
                continue
            try:
                info = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            path = prefix + name
            known = tracked.get(name)
            if known is not None and known.filemode == pygit2.GIT_FILEMODE_COMMIT:
                seen.add(name)  # a submodule is left as it is
                continue
            if stat.S_ISCHR(info.st_mode) and info.st_rdev == 0 and self.stamps is None:
                if known is not None:
                    self.changes[path] = None
                continue
            if stat.S_ISDIR(info.st_mode):
                self._inner(fd, path, known, whole, chain, ignored, seen)
            elif stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode):
                seen.add(name)
                if known is None and path not in self.carried and (ignored or self._ignored(chain, path, False)):
                    continue
                self._file(fd, name, path, info)
        if whole:
            for name, known in tracked.items():
                if name not in seen and known.filemode != pygit2.GIT_FILEMODE_COMMIT:
                    self.changes.setdefault(prefix + name, None)

    def _inner(
        self,
        fd: int,
        path: str,
        known: pygit2.Object | None,
        whole: bool,
        chain: tuple[Rules, ...],
        ignored: bool,
        seen: set[str],
    ) -> None:
        below = known if isinstance(known, pygit2.Tree) else None
        hidden = ignored or self._ignored(chain, path, True)
        if known is not None and below is None:
            self.changes[path] = None  # a file became a folder
        name = path.rpartition("/")[2]
        seen.add(name)
        if hidden and below is None and not any(carried.startswith(path + "/") for carried in self.carried):
            return
        try:
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
        except OSError:
            raise WorkspaceError(f"the folder {path} cannot be read: its mode forbids it") from None
        try:
            replaced = whole or below is None or (self.stamps is None and _opaque(inner))
            self._folder(inner, path + "/", below, replaced, chain, hidden)
        finally:
            os.close(inner)

    def _rules(self, fd: int, here: set[str], tracked: Mapping[str, pygit2.Object], whole: bool) -> Rules:
        """Those of this folder's `.gitignore` as the agent sees it."""
        if ".gitignore" in here:
            text = _read(fd, ".gitignore")
            return parse(text) if text is not None else ()
        known = tracked.get(".gitignore")
        if not whole and isinstance(known, pygit2.Blob) and known.filemode != LINK:
            return parse(known.data)
        return ()

    @staticmethod
    def _ignored(chain: tuple[Rules, ...], path: str, folder: bool) -> bool:
        names = tuple(path.split("/"))
        for depth in range(len(chain) - 1, -1, -1):
            said = decide(chain[depth], names[depth:], folder)
            if said is not None:
                return said
        return False

    def _file(self, fd: int, name: str, path: str, info: os.stat_result) -> None:
        if self.stamps is not None and self.stamps.get(path) == stamp(info):
            return
        if stat.S_ISLNK(info.st_mode):
            try:
                self.changes[path] = Content(LINK, os.fsencode(os.readlink(name, dir_fd=fd)))
            except OSError:
                pass
            return
        if info.st_size > LARGEST:
            self.too_large.append(path)
            return
        data = _read(fd, name)
        if data is not None:
            self.changes[path] = Content(EXECUTABLE if info.st_mode & 0o100 else FILE, data)


def stamp(info: os.stat_result) -> Stamp:
    return Stamp(info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, info.st_mode)


def stamps_of(folder: Path) -> dict[str, Stamp]:
    """The stamps of all files of a fresh full copy, by path."""
    found: dict[str, Stamp] = {}
    root = str(folder)
    for where, folders, files in os.walk(root):
        if where == root and ".git" in folders:
            folders.remove(".git")
        for name in (*files, *(inner for inner in folders if os.path.islink(os.path.join(where, inner)))):
            path = os.path.join(where, name)
            found[os.path.relpath(path, root)] = stamp(os.lstat(path))
    return found


def _opaque(fd: int) -> bool:
    try:
        return os.getxattr(fd, "user.overlay.opaque") == b"y"
    except OSError:
        return False


def _read(fd: int, name: str) -> bytes | None:
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        chunks = []
        left = LARGEST
        while left > 0 and (chunk := os.read(file, min(left, 1 << 20))):
            chunks.append(chunk)
            left -= len(chunk)
        return b"".join(chunks)
    finally:
        os.close(file)


def _entries(tree: pygit2.Tree | None) -> dict[str, pygit2.Object]:
    return {os.fsdecode(entry.raw_name or b""): entry for entry in tree} if tree is not None else {}


# --- trees -----------------------------------------------------------------------------------------------------


def apply(repo: pygit2.Repository, tree: pygit2.Tree, changes: Changes, attributes: str) -> pygit2.Oid:
    """Write the tree that `changes` make of `tree`; only folders on the way to a change are written anew.

    `attributes` is the commit whose `.gitattributes` say which line endings are normalised, as `git add` does.
    """
    nested: dict[str, Changes] = {}
    here: Changes = {}
    for path, content in changes.items():
        name, _, rest = path.partition("/")
        if rest:
            nested.setdefault(name, {})[rest] = content
        else:
            here[name] = content
    return _apply(repo, tree, here, nested, attributes, "")


def _apply(
    repo: pygit2.Repository,
    tree: pygit2.Tree | None,
    here: Changes,
    nested: dict[str, Changes],
    attributes: str,
    prefix: str,
) -> pygit2.Oid:
    known = _entries(tree)
    entries = {name: (int(entry.filemode), entry.id) for name, entry in known.items()}
    for name, content in here.items():
        entries.pop(name, None)
        if content is not None:
            data = _normalised(repo, content, prefix + name, attributes, known.get(name))
            entries[name] = (content.mode, repo.create_blob(data))
    for name, inner in nested.items():
        old = known.get(name)
        below = old if isinstance(old, pygit2.Tree) and name not in here else None
        deeper: dict[str, Changes] = {}
        direct: Changes = {}
        for path, content in inner.items():
            first, _, rest = path.partition("/")
            if rest:
                deeper.setdefault(first, {})[rest] = content
            else:
                direct[first] = content
        oid = _apply(repo, below, direct, deeper, attributes, f"{prefix}{name}/")
        if oid != EMPTY_TREE:
            entries[name] = (FOLDER, oid)
        elif name not in here:
            entries.pop(name, None)
    return _write_tree(repo, entries)


def _write_tree(repo: pygit2.Repository, entries: Mapping[str, tuple[int, pygit2.Oid]]) -> pygit2.Oid:
    """Written by hand: the library's builder knows no names that are not UTF-8."""
    rows = []
    for name, (mode, oid) in entries.items():
        raw = os.fsencode(name)
        rows.append((raw + b"/" if mode == FOLDER else raw, b"%o %s\0" % (mode, raw) + oid.raw))
    return repo.write(pygit2.GIT_OBJECT_TREE, b"".join(row for _, row in sorted(rows)))


def _normalised(
    repo: pygit2.Repository, content: Content, path: str, attributes: str, old: pygit2.Object | None
) -> bytes:
    data = content.data
    if content.mode == LINK or b"\r\n" not in data:
        return data
    text = _attribute(repo, path, "text", attributes)
    if text is None and _attribute(repo, path, "eol", attributes) is not None:
        text = True
    if text is False or text is None:
        return data
    if text == "auto":
        if b"\0" in data[:8000]:
            return data
        if isinstance(old, pygit2.Blob) and b"\r\n" in old.data:
            return data  # git leaves a file alone that was committed with them
    return data.replace(b"\r\n", b"\n")


def _attribute(repo: pygit2.Repository, path: str, name: str, commit: str) -> bool | str | None:
    try:
        path.encode()
    except UnicodeEncodeError:
        return None  # the library looks up UTF-8 names only
    flags = pygit2.enums.AttrCheck.INDEX_ONLY | pygit2.enums.AttrCheck.INCLUDE_COMMIT | pygit2.enums.AttrCheck.NO_SYSTEM
    value: bool | str | None = repo.get_attr(path, name, flags, commit)
    return value


def deltas(repo: pygit2.Repository, old: pygit2.Tree, new: pygit2.Tree) -> Iterator[tuple[str, pygit2.DiffDelta]]:
    """Path by path, renames not looked for."""
    for delta in old.diff_to_tree(new).deltas:
        raw = delta.new_file.raw_path if delta.status != pygit2.GIT_DELTA_DELETED else delta.old_file.raw_path
        yield os.fsdecode(raw), delta
