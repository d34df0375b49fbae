"""Writes the folders under workspaces: a full checkout, a layer with later changes, and a merge of several layers.

Only the engine's own git runs here: no config, filter or hook of the user or of an agent can take effect.
"""

import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pygit2
from msgspec import Struct

from engine.domain.types import CommitId
from engine.repo.git.alternates import alternates
from engine.repo.git.conversion import Conversion, copy_local_attributes
from engine.repo.git.git import Git
from engine.repo.git.index import Index, IndexEntries, IndexEntry, RawEntries, decode_index, encode_entry, encode_index
from engine.repo.git.trees import EXECUTABLE, LINK, tree_of

GIT_CONFIG = """[core]
\trepositoryformatversion = 0
\tbare = false
\tfilemode = true
\tcheckStat = minimal
\ttrustctime = false
\thooksPath = /dev/null
[commit]
\tgpgSign = false
[gc]
\tauto = 0
[advice]
\tdetachedHead = false
"""
HEAD_REF = "ref: refs/heads/work\n"
BACKDATE_S = 10
"""The files of a checkout are dated this far back, so that git's index and build output are newer."""
OPAQUE_XATTR = "user.overlay.opaque"


class CheckoutSource(Struct, frozen=True):
    """What all checkouts of a run share: the trunk, the text of `info/exclude`, how files are converted, and the
    content of `shallow` (where a history without its beginning starts)."""

    trunk: Path
    excludes: bytes
    conversion: Conversion = Conversion()
    shallow: bytes = b""


def check_out(source: CheckoutSource, folder: Path, commit: CommitId) -> Index:
    """Check out `commit` into `folder`, with a git folder that still lacks its head. Returns its index.

    Raises CalledProcessError, OSError, ValueError.
    """
    _init_git(source, folder / ".git")
    _run_git(source, folder, "read-tree", commit)
    _run_git(source, folder, "checkout-index", "--all", "--force")
    file = folder / ".git" / "index"
    index = decode_index(file.read_bytes())
    dated = encode_index(index, _backdate(folder, index, time.time_ns() - BACKDATE_S * 1_000_000_000))
    file.write_bytes(dated)
    return decode_index(dated)


def _backdate(folder: Path, index: Index, modified_ns: int) -> RawEntries:
    """Set the times of all files; returns index entries that match, so that git need not read any file again."""
    root = os.fsencode(folder)
    found: RawEntries = {}
    for path, mode, oid in index.entries():
        if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            where = os.path.join(root, path)
            os.utime(where, ns=(modified_ns, modified_ns), follow_symlinks=False)
            found[path] = encode_entry(path, mode, oid, os.lstat(where).st_size, modified_ns)
    return found


def _init_git(source: CheckoutSource, git: Path) -> None:
    for name in ("objects/pack", "refs/heads", "refs/tags", "info"):
        (git / name).mkdir(parents=True)
    (git / "info" / "exclude").write_bytes(source.excludes)
    copy_local_attributes(source.trunk, git)
    if source.shallow:
        (git / "shallow").write_bytes(source.shallow)
    settings = "".join("[{}]\n\t{} = {}\n".format(*re.split("[.=]", each)) for each in source.conversion.config)
    (git / "config").write_text(GIT_CONFIG + settings)
    (git / "HEAD").write_text(HEAD_REF)


def _run_git(source: CheckoutSource, folder: Path, *args: str) -> None:
    git = Git(
        folder,
        git_dir=folder / ".git",
        work_tree=folder,
        objects=source.trunk / "objects",
        config=("index.version=2", *source.conversion.config),
    )
    subprocess.run(git.command(*args), capture_output=True, check=True, cwd=folder, env=git.environment())


class LayerDelta(Struct, frozen=True):
    """The index entries of a layer and the size of its files in bytes."""

    entries: RawEntries
    size: int


def write_delta(
    repo: pygit2.Repository, folder: Path, commit: CommitId, files: IndexEntries, conversion: Conversion
) -> LayerDelta:
    """Make `folder` a layer that shows these files of `commit` with their times, and hides those that are None.

    Raises OSError, pygit2.GitError, KeyError.
    """
    folder.mkdir()
    entries: RawEntries = {}
    size = 0
    for path, file in files.items():
        if file is None:
            entries[path] = None
            continue
        entries[path] = _write(repo, folder, os.fsdecode(path), file, commit, conversion)
        size += 0 if file.mode == pygit2.GIT_FILEMODE_COMMIT else repo[pygit2.Oid(raw=file.oid)].peel(pygit2.Blob).size
    tree = tree_of(repo, commit)
    for path, entry in entries.items():
        if entry is None:
            _hide(folder, path, tree)
    return LayerDelta(entries, size)


def write_index(folder: Path, index: Index, changed: RawEntries) -> None:
    """Write a layer's part of the agent's git folder. `changed` are the index entries that differ from `index`."""
    (folder / ".git").mkdir()
    (folder / ".git" / "index").write_bytes(encode_index(index, changed))


def head_files(head: CommitId, objects: Sequence[Path]) -> dict[str, bytes]:
    """The files below `.git` that are a copy's own: where its history ends, and the object folders that have it."""
    return {"objects/info/alternates": alternates(objects), "refs/heads/work": f"{head}\n".encode()}


def write_head(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write `head_files` into a copy of layers, or its upper folder. Raises OSError."""
    for name, content in files.items():
        file = folder / ".git" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _write(
    repo: pygit2.Repository, folder: Path, path: str, entry: IndexEntry, commit: CommitId, conversion: Conversion
) -> bytes:
    """Write one file of a commit as a checkout would. Returns its encoded index entry."""
    where, name, mode = folder / path, os.fsencode(path), entry.mode
    where.parent.mkdir(parents=True, exist_ok=True)
    if mode == pygit2.GIT_FILEMODE_COMMIT:
        where.mkdir(exist_ok=True)
        return encode_entry(name, mode, entry.oid, 0, 0)
    data = repo[pygit2.Oid(raw=entry.oid)].peel(pygit2.Blob).data
    if mode == LINK:
        os.symlink(data, os.fsencode(where))
    else:
        bits = 0o777 if mode == EXECUTABLE else 0o666
        with os.fdopen(os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL, bits), "wb") as file:
            file.write(conversion.to_work_tree(repo, data, path, commit))
    os.utime(where, ns=(entry.modified_ns, entry.modified_ns), follow_symlinks=False)
    return encode_entry(name, mode, entry.oid, os.lstat(where).st_size, entry.modified_ns)


def _hide(layer: Path, path: bytes, tree: pygit2.Tree) -> None:
    """Hide a deleted path in the layers below; if its whole folder was deleted, hide the folder."""
    parts = path.split(b"/")
    here: pygit2.Object = tree
    where = os.fsencode(layer)
    for part in parts:
        where = os.path.join(where, part)
        inside = _child(here, part)
        if inside is None:
            if not os.path.lexists(where):
                write_whiteout(where)
            return
        if not isinstance(inside, pygit2.Tree):
            return  # a file has replaced the folder and hides it
        os.makedirs(where, exist_ok=True)
        here = inside


def write_whiteout(path: Path | bytes) -> None:
    """Write the file by which a layer of an overlay hides a path in the layers below. Raises OSError."""
    os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


def _child(tree: pygit2.Object, name: bytes) -> pygit2.Object | None:
    if not isinstance(tree, pygit2.Tree):
        return None
    return next((found for found in tree if found.raw_name == name), None)


def overlay_entries(folders: Sequence[str], prefix: str = "") -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """What an overlay of `folders` (from the lowest up) would show, by path; a folder comes before its entries."""
    names: dict[str, list[os.DirEntry[str]]] = {}
    for folder in reversed(folders):
        with os.scandir(folder) as found:
            for each in found:
                names.setdefault(each.name, []).append(each)
    for name, stack in names.items():
        top = stack[0]
        if top.is_dir(follow_symlinks=False):
            yield prefix + name, top
            yield from overlay_entries(_merged_folders(stack), f"{prefix}{name}/")
        elif top.is_symlink() or top.is_file(follow_symlinks=False):  # anything else is a whiteout
            yield prefix + name, top


def _merged_folders(stack: list["os.DirEntry[str]"]) -> list[str]:
    """The folders among entries of one name (from the top down) that an overlay merges, from the lowest up."""
    folders: list[str] = []
    for each in stack:
        if not each.is_dir(follow_symlinks=False):
            break
        folders.insert(0, each.path)
        if len(stack) > 1 and is_opaque(each.path):
            break
    return folders


def merge_layers(source: CheckoutSource, folders: tuple[Path, ...], target: Path, index: Index) -> None:
    """Make `target` a checkout that shows what an overlay of `folders` would, with a git folder that has `index`.

    Raises OSError.
    """
    link_overlay(folders, target)
    _init_git(source, target / ".git")
    (target / ".git" / "index").write_bytes(encode_index(index, {}))


def link_overlay(folders: Sequence[Path], target: Path) -> None:
    """Make `target` show what an overlay of `folders` would, except for `.git`, with hard links instead of copies.

    Links are safe because layers are never written to. Folders keep their modes and times. Raises OSError, and
    RecursionError when folders are nested too deeply.
    """
    target.mkdir()
    folders_made: list[tuple[Path, os.stat_result]] = []
    for path, found in overlay_entries([str(folder) for folder in folders]):
        if path == ".git" or path.startswith(".git/"):
            continue
        if found.is_dir(follow_symlinks=False):
            (target / path).mkdir()
            folders_made.append((target / path, found.stat(follow_symlinks=False)))
        else:
            hard_link(found.path, str(target / path))
    for folder, info in reversed(folders_made):
        folder.chmod(stat.S_IMODE(info.st_mode))
        os.utime(folder, ns=(info.st_atime_ns, info.st_mtime_ns))


def is_opaque(folder: str) -> bool:
    """Whether a layer's folder hides the same folder in the layers below."""
    try:
        return os.getxattr(folder, OPAQUE_XATTR, follow_symlinks=False) == b"y"
    except OSError:
        return False


def hard_link(source: str, target: str) -> None:
    """Link a file; on a filesystem without hard links, copy it with its times."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
