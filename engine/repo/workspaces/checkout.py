"""Makes the folders that copies stand on: a whole checkout, a thin layer of what changed since, many layers in one.

Only git that the engine owns writes here: no config, filter or hook of the person's or of an agent's is in reach.
"""

import hashlib
import os
import shutil
import stat
import subprocess
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pygit2
from msgspec import Struct

from engine.domain.types import CommitId
from engine.repo.git.alternates import object_folders, write_alternates
from engine.repo.git.index import Index, IndexEntries, IndexEntry, RawEntries, decode_index, encode_entry, encode_index
from engine.repo.git.line_endings import convert_to_work_tree
from engine.repo.git.trees import EXECUTABLE, LINK

CONFIG = """[core]
\trepositoryformatversion = 0
\tbare = false
\tfilemode = true
\tcheckStat = minimal
\ttrustctime = false
\thooksPath = /dev/null
[user]
\tname = agent
\temail = agent@localhost
[commit]
\tgpgSign = false
[gc]
\tauto = 0
[advice]
\tdetachedHead = false
"""
HEAD = "ref: refs/heads/work\n"
RECEIVED = "The project as you received it"
PAST_S = 10
"""A base's files are dated back: git's index and what is built from them are younger."""
OPAQUE = "user.overlay.opaque"


class Origin(Struct, frozen=True):
    """What all checkouts of a run share: the trunk, the commit that the run started from, what git ignores."""

    trunk: Path
    commit: CommitId
    excludes: bytes


class Head(Struct, frozen=True):
    """The commit that an agent's HEAD shows: the tree it received, on the commit that the run started from."""

    oid: str
    content: bytes


def received(origin: Origin, repo: pygit2.Repository, commit: CommitId) -> Head:
    """Raises KeyError, pygit2.GitError for what is no commit."""
    original = repo[origin.commit].peel(pygit2.Commit)
    who = f"swarm <swarm@localhost> {original.commit_time} +0000"
    text = f"tree {_tree(repo, commit).id}\nparent {origin.commit}\nauthor {who}\ncommitter {who}\n\n{RECEIVED}\n"
    content = b"commit %d\0" % len(text) + text.encode()
    return Head(hashlib.sha1(content, usedforsecurity=False).hexdigest(), content)


def check_out(origin: Origin, folder: Path, commit: CommitId, head: Head) -> Index:
    """Make `folder` a whole checkout with a git folder of its own. Returns its index.

    Raises CalledProcessError, OSError, ValueError.
    """
    _make_git(origin, folder / ".git", head)
    _run_git(folder, "read-tree", commit)
    _run_git(folder, "checkout-index", "--all", "--force")
    file = folder / ".git" / "index"
    index = decode_index(file.read_bytes())
    dated = encode_index(index, _dated(folder, index, time.time_ns() - PAST_S * 1_000_000_000))
    file.write_bytes(dated)
    return decode_index(dated)


def _dated(folder: Path, index: Index, modified_ns: int) -> RawEntries:
    """Date all files to one moment, and the index with them: nothing needs to be read again to know it unchanged."""
    root = os.fsencode(folder)
    found: RawEntries = {}
    for path, mode, oid in index.entries():
        if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            where = os.path.join(root, path)
            os.utime(where, ns=(modified_ns, modified_ns), follow_symlinks=False)
            found[path] = encode_entry(path, mode, oid, os.lstat(where).st_size, modified_ns)
    return found


def _make_git(origin: Origin, git: Path, head: Head) -> None:
    for name in ("objects/pack", "refs/tags", "info"):
        (git / name).mkdir(parents=True)
    (git / "info" / "exclude").write_bytes(origin.excludes)
    write_alternates(git, object_folders(origin.trunk / "objects"))
    (git / "config").write_text(CONFIG)
    (git / "HEAD").write_text(HEAD)
    _point(git, head)


def _point(git: Path, head: Head) -> None:
    """The agent's branch and the commit it names, which is nowhere else: it goes with the layer."""
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "refs" / "heads" / "work").write_text(f"{head.oid}\n")
    loose = git / "objects" / head.oid[:2] / head.oid[2:]
    loose.parent.mkdir(parents=True)
    loose.write_bytes(zlib.compress(head.content))


def _run_git(folder: Path, *args: str) -> None:
    subprocess.run(
        ["git", f"--git-dir={folder / '.git'}", f"--work-tree={folder}", "-c", "index.version=2", *args],
        capture_output=True,
        check=True,
        cwd=folder,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": "/nonexistent",
            "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_ATTR_NOSYSTEM": "1",
        },
    )


class Delta(Struct, frozen=True):
    """What a layer holds: its entries of the index, and how many bytes its files have."""

    entries: RawEntries
    size: int


def lay_delta(repo: pygit2.Repository, folder: Path, commit: CommitId, marks: IndexEntries) -> Delta:
    """Make `folder` a layer that shows these files of `commit`, each with its time, and hides what is None.

    Raises OSError, pygit2.GitError, KeyError.
    """
    folder.mkdir(parents=True)
    entries: RawEntries = {}
    size = 0
    for name, mark in marks.items():
        if mark is None:
            entries[name] = None
            continue
        entries[name] = _write(repo, folder, os.fsdecode(name), mark, commit)
        size += 0 if mark.mode == pygit2.GIT_FILEMODE_COMMIT else repo[pygit2.Oid(raw=mark.oid)].peel(pygit2.Blob).size
    tree = _tree(repo, commit)
    for name, kept in entries.items():
        if kept is None:
            _whiteout(folder, name, tree)
    return Delta(entries, size)


def finish_delta(folder: Path, head: Head, index: Index, changed: RawEntries) -> None:
    """The agent's own git as it is to be on this layer. `changed`: since the checkout with `index`."""
    _point(folder / ".git", head)
    (folder / ".git" / "index").write_bytes(encode_index(index, changed))


def agents_git(layer: Path) -> list[tuple[str, bytes]]:
    """The files below `.git` in which a layer's git differs from those of others, in the order to write them in."""
    git = layer / ".git"
    oid = (git / "refs" / "heads" / "work").read_text().strip()
    names = (f"objects/{oid[:2]}/{oid[2:]}", "index", "refs/heads/work")
    return [(name, (git / name).read_bytes()) for name in names]


def _tree(repo: pygit2.Repository, commit: CommitId) -> pygit2.Tree:
    return repo[commit].peel(pygit2.Commit).tree


def _write(repo: pygit2.Repository, folder: Path, path: str, mark: IndexEntry, commit: CommitId) -> bytes:
    """Write one file of a commit as a checkout would. Returns its entry of the index."""
    where, name, mode = folder / path, os.fsencode(path), mark.mode
    where.parent.mkdir(parents=True, exist_ok=True)
    if mode == pygit2.GIT_FILEMODE_COMMIT:
        where.mkdir(exist_ok=True)
        return encode_entry(name, mode, mark.oid, 0, 0)
    data = repo[pygit2.Oid(raw=mark.oid)].peel(pygit2.Blob).data
    if mode == LINK:
        os.symlink(data, os.fsencode(where))
    else:
        bits = 0o777 if mode == EXECUTABLE else 0o666
        with os.fdopen(os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL, bits), "wb") as file:
            file.write(convert_to_work_tree(repo, data, path, commit))
    os.utime(where, ns=(mark.modified_ns, mark.modified_ns), follow_symlinks=False)
    return encode_entry(name, mode, mark.oid, os.lstat(where).st_size, mark.modified_ns)


def _whiteout(layer: Path, path: bytes, tree: pygit2.Tree) -> None:
    """Hide `path`, or the whole folder that went with it, in what lies below the layer."""
    parts = path.split(b"/")
    here: pygit2.Object = tree
    where = os.fsencode(layer)
    for part in parts:
        where = os.path.join(where, part)
        inside = _inside(here, part)
        if inside is None:
            if not os.path.lexists(where):
                os.mknod(where, stat.S_IFCHR, os.makedev(0, 0))
            return
        if not isinstance(inside, pygit2.Tree):
            return  # a file stands in the way of the old folder and hides it
        os.makedirs(where, exist_ok=True)
        here = inside


def _inside(tree: pygit2.Object, name: bytes) -> pygit2.Object | None:
    if not isinstance(tree, pygit2.Tree):
        return None
    return next((found for found in tree if found.raw_name == name), None)


def shown(folders: Sequence[str], prefix: str = "") -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """What an overlay of `folders` (the lowest first) would show, by path, folders before what is in them."""
    names: dict[str, list[os.DirEntry[str]]] = {}
    for folder in reversed(folders):
        with os.scandir(folder) as found:
            for each in found:
                names.setdefault(each.name, []).append(each)
    for name, stack in names.items():
        top = stack[0]
        if top.is_dir(follow_symlinks=False):
            yield prefix + name, top
            yield from shown(_merged(stack), f"{prefix}{name}/")
        elif top.is_symlink() or top.is_file(follow_symlinks=False):  # anything else is a whiteout
            yield prefix + name, top


def _merged(stack: list["os.DirEntry[str]"]) -> list[str]:
    """Of entries of one name, the uppermost first, the folders that show as one; the lowest first."""
    folders: list[str] = []
    for each in stack:
        if not each.is_dir(follow_symlinks=False):
            break
        folders.insert(0, each.path)
        if len(stack) > 1 and is_opaque(each.path):
            break
    return folders


def merge_layers(origin: Origin, folders: tuple[Path, ...], target: Path, head: Head, index: Index) -> None:
    """One checkout that shows what an overlay of `folders` would. `head` and `index` are what its git is to show.

    Raises OSError.
    """
    link_shown(folders, target)
    _make_git(origin, target / ".git", head)
    (target / ".git" / "index").write_bytes(encode_index(index, {}))


def link_shown(folders: Sequence[Path], target: Path) -> None:
    """Make `target` what an overlay of `folders` would show, but for `.git`, its files linked, not copied.

    Linking is safe because nobody ever writes to a layer. Folders keep their modes and times, too.
    Raises OSError; RecursionError for a hostile depth.
    """
    target.mkdir()
    made: list[tuple[Path, os.stat_result]] = []
    for path, found in shown([str(folder) for folder in folders]):
        if path == ".git" or path.startswith(".git/"):
            continue
        if found.is_dir(follow_symlinks=False):
            (target / path).mkdir()
            made.append((target / path, found.stat(follow_symlinks=False)))
        else:
            link(found.path, str(target / path))
    for folder, info in reversed(made):
        folder.chmod(stat.S_IMODE(info.st_mode))
        os.utime(folder, ns=(info.st_atime_ns, info.st_mtime_ns))


def is_opaque(folder: str) -> bool:
    """Whether an overlay shows nothing of what lies below a layer's folder."""
    try:
        return os.getxattr(folder, OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False


def link(source: str, target: str) -> None:
    """The same file under a second name; a copy with the same times where the filesystem knows no second names."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
