"""Finds what an agent changed by scanning its workspace, at a cost proportional to the change, not to the project.

The workspace is untrusted: it is walked by file descriptor, no symlink is followed, and only regular files and
symlinks are read.
"""

import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from engine.domain.os_text import path_text, shell_word
from engine.ports.protocols import WorkspaceError
from engine.repo.changes import left_out
from engine.repo.git.conversion import ENCODING, FILTER
from engine.repo.git.forbidden_paths import refusal
from engine.repo.git.ignores import Rules, is_ignored, parse_rules
from engine.repo.git.objects import LINK_MODE, SUBMODULE_MODE, TREE_MODE, NewObjects, ObjectId, TreeEntry
from engine.repo.git.trees import EXECUTABLE, FILE, LINK, Content, FileChanges

MAX_FILE_BYTES = 64 << 20
MAX_TOTAL_BYTES = 256 << 20
"""Bytes of all files in one change, which is held in memory. A disk quota does not bound it: sparse files are free."""
FILE_OVERHEAD = 1 << 10
"""Bytes that a file counts in addition to its content."""
MAX_RULES = 4_000
"""The most ignore rules from all `.gitignore` files above a file; further rules are not read."""
MAX_MATCH_WORK = 10_000_000
"""The most matches of a name against a rule in one scan; deep paths count more. Takes half a minute at worst."""
PARSE_WORK = 30
"""What parsing one rule counts, in matches."""
MAX_DEPTH = 256
"""The deepest nesting of folders that is scanned; each level holds a file descriptor."""
GIT_FOLDER_NAMES = frozenset({".git", "git~1"})
OWN_FOLDER = ".swarm"
OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


class Stamp(Struct, frozen=True):
    """The stat of a file when its workspace was created; a file with a different stat has been changed."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int
    mode: int


class Scan:
    """One scan of a workspace that started as the tree `root`: with `stamps` of all its files, else of an upper.

    `extra_tracked` are paths that count as tracked although `root` lacks them. `excludes` are ignore rules that any
    `.gitignore` can override.
    """

    def __init__(
        self,
        objects: NewObjects,
        root: ObjectId,
        stamps: Mapping[str, Stamp] | None,
        extra_tracked: frozenset[str],
        excludes: Rules,
    ) -> None:
        self.objects = objects
        self.root = root
        self.stamps = stamps
        self.extra_tracked = extra_tracked
        self.excludes = excludes
        self.changes: FileChanges = {}
        self.rejected: list[str] = []
        """Why some files cannot land; one message each, for the agent."""
        self.has_converters = bool(objects.store.local_attributes)
        """Whether attributes of the project or local ones may name an encoding or a filter for a changed file."""
        self._size = 0
        self._too_large = False
        self._work = 0
        self._work_exhausted = False
        self.ignored: list[str] = []
        """Paths that git ignores, where a folder stands for everything below it; in an upper also deleted ones."""
        self.left_out: dict[str, str] = {}
        """Paths that no commit will hold although the change has no fault, and why. A folder's path ends in `/`."""

    def run(self, folder: Path) -> FileChanges:
        """Scan `folder` and return what changed. Raises WorkspaceError when it cannot be read."""
        try:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            raise WorkspaceError(f"cannot read the workspace: {error.strerror}") from error
        try:
            self._scan_folder(fd, "", self.root, self.stamps is not None, (), False)
        finally:
            os.close(fd)
        self.left_out = {path_text(path): why for path, why in self.left_out.items()}
        return self.changes

    def _scan_folder(
        self, fd: int, prefix: str, tree: ObjectId | None, complete: bool, chain: tuple[Rules, ...], in_ignored: bool
    ) -> None:
        """Scan one folder. `complete`: a missing path is deleted. `chain` has the rules of each folder above it."""
        with os.scandir(fd) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        tracked = self.objects.tree(tree).entries if tree is not None else {}
        here = {entry.name for entry in entries}
        rules = parse_rules(self._text_of(".gitignore", fd, here, tracked, complete))
        attributes = self._text_of(".gitattributes", fd, here, tracked, complete)
        self.has_converters = self.has_converters or ENCODING in attributes or FILTER in attributes
        chain = (*chain, rules[: MAX_RULES - sum(map(len, chain))])
        self._work += PARSE_WORK * len(chain[-1])
        seen = set()
        for entry in entries:
            name = entry.name
            path = prefix + name
            if name.lower() in GIT_FOLDER_NAMES or path == OWN_FOLDER:
                self._note_own(fd, path, name, in_ignored)
                continue
            known = tracked.get(os.fsencode(name))
            if known is not None and known[0] == SUBMODULE_MODE:
                seen.add(name)  # submodules cannot be changed
                if left_out.is_used(fd, name):
                    self.left_out[path] = left_out.SUBMODULE
                continue
            try:
                info = None if entry.is_dir(follow_symlinks=False) else entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if info is None:
                self._scan_subfolder(fd, path, known, complete, chain, in_ignored, seen)
                continue
            if stat.S_ISCHR(info.st_mode) and info.st_rdev == 0 and self.stamps is None:
                if known is not None:
                    self.changes[path] = None
                else:
                    self.ignored.append(path)
                continue
            if not stat.S_ISREG(info.st_mode) and not stat.S_ISLNK(info.st_mode):
                self.left_out[path] = left_out.SPECIAL
                if known is not None:
                    self.changes[path] = None  # nothing that git keeps has its name any more
                continue
            seen.add(name)
            untracked = known is None and path not in self.extra_tracked
            if untracked and (in_ignored or self._ignored(chain, path, False)):
                self.ignored.append(path)
                self.left_out[path] = left_out.IGNORED
                continue
            self._scan_file(fd, name, path, info, known)
        if not entries and prefix and tree is None and not in_ignored:
            self.left_out[prefix] = left_out.EMPTY
        if complete:
            for raw, known in tracked.items():
                if (name := os.fsdecode(raw)) not in seen and known[0] != SUBMODULE_MODE:
                    self.changes.setdefault(prefix + name, None)

    def _scan_subfolder(
        self,
        fd: int,
        path: str,
        known: TreeEntry | None,
        complete: bool,
        chain: tuple[Rules, ...],
        in_ignored: bool,
        seen: set[str],
    ) -> None:
        below = known[1] if known is not None and known[0] == TREE_MODE else None
        in_ignored = in_ignored or self._ignored(chain, path, True, tracked=known is not None)
        if known is not None and below is None:
            self.changes[path] = None  # a file became a folder
        name = path.rpartition("/")[2]
        seen.add(name)
        if in_ignored and below is None and not any(extra.startswith(path + "/") for extra in self.extra_tracked):
            self.ignored.append(path)
            if not left_out.is_cache(fd, name):
                self.left_out[path + "/"] = left_out.IGNORED
            return
        if below is None and left_out.is_cache(fd, name):
            return
        if path.count("/") >= MAX_DEPTH:
            self.rejected.append(f"{path_text(path)[:80]}…: nested too deeply to land; remove it")
            return
        try:
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
        except OSError:
            self.rejected.append(f"{path_text(path)}: folder not readable; fix its mode or remove it")
            return
        try:
            replaced = complete or below is None or (self.stamps is None and _opaque(inner))
            self._scan_folder(inner, path + "/", below, replaced, chain, in_ignored)
        finally:
            os.close(inner)

    def _text_of(self, name: str, fd: int, here: set[str], tracked: Mapping[bytes, TreeEntry], complete: bool) -> bytes:
        """The content of a file of git's in this folder as the agent sees it; empty if there is none."""
        if name in here:
            return _read(fd, name) or b""
        known = tracked.get(os.fsencode(name))
        if not complete and known is not None and known[0] not in (TREE_MODE, LINK_MODE, SUBMODULE_MODE):
            return self.objects.read(known[1])
        return b""

    def _ignored(self, chain: tuple[Rules, ...], path: str, folder: bool, *, tracked: bool = False) -> bool:
        """Whether git ignores a path. Once matching has taken too much work, nothing is ignored and the change is
        rejected. Tracked folders don't count as work: the agent cannot add any."""
        if not tracked:
            self._work += (sum(map(len, chain)) + len(self.excludes)) * (1 + path.count("/") // 4)
        if self._work <= MAX_MATCH_WORK:
            return is_ignored(chain, self.excludes, path, folder)
        if not self._work_exhausted:
            self._work_exhausted = True
            self.rejected.append(f"{path_text(path)}: too many files and ignore rules; remove some of either")
        return False

    def _note_own(self, fd: int, path: str, name: str, in_ignored: bool) -> None:
        """Note what an agent has put into git's own folder, the engine's, or a repository inside of the project."""
        if path == ".git":
            found = left_out.in_git_folder(fd, name)
        elif path == OWN_FOLDER:
            found = left_out.in_own_folder(fd, name)
        else:
            found = iter(() if in_ignored else (path,))
        why = left_out.OWN if path == OWN_FOLDER else left_out.GIT_FOLDER
        self.left_out |= {each: why for each in found if self.stamps is None or each not in self.stamps}

    def _scan_file(self, fd: int, name: str, path: str, info: os.stat_result, known: TreeEntry | None) -> None:
        if self.stamps is not None and self.stamps.get(path) == stamp(info):
            return
        if info.st_size > MAX_FILE_BYTES:
            limit = f"its {info.st_size >> 20} MiB are too large to land"
            if known is None or path in self.extra_tracked:
                advice = "; if you moved it, move it back; else remove it or add it to .gitignore"
                self.rejected.append(f"{path_text(path)}: {limit}{advice}")
            elif not self._is_same(fd, name, info, known):
                advice = f" a change of it; restore it: git checkout -- {shell_word(path)}"
                self.rejected.append(f"{path_text(path)}: {limit}{advice}")
            return
        link = stat.S_ISLNK(info.st_mode)
        data = None
        if self._size + info.st_size + FILE_OVERHEAD <= MAX_TOTAL_BYTES:
            data = _target(fd, name) if link else _read(fd, name)
        elif not self._too_large:
            self._too_large = True
            limit = f"one change can have at most {MAX_TOTAL_BYTES >> 20} MiB"
            self.rejected.append(f"{path_text(path)}: {limit}; remove new files or add them to .gitignore")
        if data is None:
            if self._size + info.st_size + FILE_OVERHEAD <= MAX_TOTAL_BYTES and _is_there(fd, name):
                self.rejected.append(f"{path_text(path)}: file not readable; fix its mode or remove it")
            return
        self._size += len(data) + FILE_OVERHEAD
        if reason := refusal(path, data, link=link):
            self.rejected.append(reason)
        else:
            mode = LINK if link else EXECUTABLE if info.st_mode & 0o100 else FILE
            self.changes[path] = Content(mode, data)
            if link and left_out.leads_out(path, data):
                self.left_out[path] = left_out.LINK_OUT
            elif not link and left_out.permissions_changed(info.st_mode) and self._is_stored(known, mode, data):
                self.left_out[path] = left_out.MODE

    def _is_same(self, fd: int, name: str, info: os.stat_result, known: TreeEntry) -> bool:
        """Whether a file that is too large to read into memory is what the tree has."""
        mode = EXECUTABLE if info.st_mode & 0o100 else FILE
        if known[0] != b"%o" % mode or self.objects.store.size(known[1]) != info.st_size:
            return False
        digest = self.objects.store.new_hash(b"blob %d\0" % info.st_size)
        with contextlib.suppress(OSError), open(os.open(name, OPEN_FILE, dir_fd=fd), "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        return digest.digest() == known[1]

    def _is_stored(self, known: TreeEntry | None, mode: int, data: bytes) -> bool:
        """Whether a file is what the tree has, as far as git can tell."""
        try:
            return known is not None and known == (b"%o" % mode, self.objects.id_of(b"blob", data))
        except ValueError:
            return False


def stamp(info: os.stat_result) -> Stamp:
    return Stamp(info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, info.st_mode)


def _opaque(fd: int) -> bool:
    try:
        return os.getxattr(fd, "user.overlay.opaque") == b"y"
    except OSError:
        return False


def _is_there(fd: int, name: str) -> bool:
    try:
        return bool(os.stat(name, dir_fd=fd, follow_symlinks=False))
    except OSError:
        return False


def _target(fd: int, name: str) -> bytes | None:
    try:
        return os.fsencode(os.readlink(name, dir_fd=fd))
    except OSError:
        return None


def _read(fd: int, name: str) -> bytes | None:
    try:
        file = os.open(name, OPEN_FILE, dir_fd=fd)
    except OSError:
        return None
    try:
        info = os.fstat(file)
        if not stat.S_ISREG(info.st_mode):
            return None
        at_once = min(info.st_size + 1, 1 << 20)
        chunks = []
        left = MAX_FILE_BYTES
        while left > 0 and (chunk := os.read(file, min(left, at_once))):
            chunks.append(chunk)
            left -= len(chunk)
        return b"".join(chunks)
    finally:
        os.close(file)
