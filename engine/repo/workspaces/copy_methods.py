"""Makes the files of a workspace from shared layers: as an overlay, as reflinks or as a plain copy.

A full copy that an agent has left is restored for the next one. It keeps only files that the kernel shows to be
untouched: any write, link or change of mode since they were made moves their ctime, which nobody can set.
"""

import errno
import fcntl
import os
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from engine.domain.errors import ErrorKind, SwarmError
from engine.repo.changes.scan import Stamp, stamp
from engine.repo.workspaces.checkout import overlay_entries
from engine.repo.workspaces.layers import LayerStack
from engine.sandbox.guarantees import CopyMethod
from engine.sandbox.mounts import Mount
from engine.sandbox.removal import delete_tree

FICLONE = 0x40049409
"""The ioctl that shares a file's blocks with another file; from linux/fs.h."""


class Copy(Struct, frozen=True):
    """A workspace's files in its engine-owned `folder`. The engine scans `changed` for changes.

    For an overlay that is its upper folder, and `stamps` is None. Otherwise it has all files: `stamps` are their first
    stats, `sources` the inodes of the files in the layers that they are copies of.
    """

    folder: Path
    mount: Mount
    changed: Path
    stamps: Mapping[str, Stamp] | None
    sources: Mapping[str, int] = {}


class SpareCopy(Struct, frozen=True):
    """A full copy as its agent left it. Nothing runs in it any more."""

    files: Path
    stamps: Mapping[str, Stamp]
    sources: Mapping[str, int]


def make_copy(method: CopyMethod, folder: Path, stack: LayerStack, spare: SpareCopy | None = None) -> Copy:
    """Make a copy of a layer stack, from a spare one if given. Raises SwarmError (state) when the disk fails."""
    try:
        folder.mkdir()
        if method is CopyMethod.OVERLAY:
            mount = overlay_mount(folder, stack.folders, stack.caches)
            for part in overlay_parts(folder):
                part.mkdir()
            return Copy(folder, mount, folder / "upper", None)
        files = folder / "files"
        if spare is not None:
            spare.files.rename(files)
        else:
            copy_tree(stack.folders[0], files, method)
            spare = _spare_of(files, stack.folders[0])
        stamps, sources = _restore(files, spare, stack, method)
        return Copy(folder, Mount(bind=str(files)), files, stamps, sources)
    except (OSError, subprocess.CalledProcessError) as error:
        raise no_room(error) from error


def overlay_parts(folder: Path) -> list[Path]:
    """The folders that the overlays of the workspace and of its home need in a copy's folder."""
    return [folder / name for name in ("upper", "work", "home", "home-work")]


def overlay_mount(folder: Path, layers: Sequence[Path], caches: Sequence[Path]) -> Mount:
    """The overlays of a copy: of its layers, and in its home of the layers of caches."""
    upper, work, home, home_work = map(str, overlay_parts(folder))
    return Mount(tuple(map(str, layers)), upper, work, home=Mount(tuple(map(str, caches)), home, home_work))


def no_room(error: Exception) -> SwarmError:
    """The error for a workspace that cannot be made."""
    hint = "check the free disk space of the state folder"
    return SwarmError(ErrorKind.STATE, f"cannot create a workspace: {error}", hint)


def copy_tree(source: Path, target: Path, method: CopyMethod) -> None:
    """Copy a folder with its times. Raises OSError, CalledProcessError."""
    # -a keeps the times, so that the index in `.git` still matches the files.
    reflink = "always" if method is CopyMethod.REFLINK else "auto"
    subprocess.run(
        ["cp", "-a", f"--reflink={reflink}", "--", str(source), str(target)],
        capture_output=True,
        env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
        check=True,
    )


def _spare_of(files: Path, source: Path) -> SpareCopy:
    """Describe a fresh copy of one folder."""
    entries = overlay_entries([str(source)])
    sources = {path: entry.inode() for path, entry in entries if not entry.is_dir(follow_symlinks=False)}
    return SpareCopy(files, {path: stamp(os.lstat(files / path)) for path in sources}, sources)


def _restore(
    files: Path, spare: SpareCopy, stack: LayerStack, method: CopyMethod
) -> tuple[dict[str, Stamp], dict[str, int]]:
    """Make `files` show exactly what the layers show. Returns the stamps and sources of the files.

    Raises OSError when a file of the previous agent cannot be removed.
    """
    wanted = dict(overlay_entries([str(folder) for folder in stack.folders]))
    stamps: dict[str, Stamp] = {}
    _remove_differences(str(files), "", os.stat(stack.folders[0]).st_mode, wanted, spare, stamps)
    for path, entry in wanted.items():
        target = files / path
        if entry.is_dir(follow_symlinks=False):
            target.mkdir(exist_ok=True)
        elif path not in stamps:
            _copy_file(entry, str(target), method)
            stamps[path] = stamp(os.lstat(target))
    return stamps, {path: wanted[path].inode() for path in stamps}


def _remove_differences(
    folder: str,
    prefix: str,
    mode: int,
    wanted: Mapping[str, "os.DirEntry[str]"],
    spare: SpareCopy,
    stamps: dict[str, Stamp],
) -> None:
    """Remove everything that differs from `wanted`, and add the stamps of the files that stay to `stamps`."""
    os.chmod(folder, stat.S_IMODE(mode))
    for name in os.listxattr(folder):
        if name.startswith("user.") or "posix_acl" in name:
            os.removexattr(folder, name)
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        path = prefix + entry.name
        want = wanted.get(path)
        wants_folder = want is not None and want.is_dir(follow_symlinks=False)
        if entry.is_dir(follow_symlinks=False):
            if want is not None and wants_folder:
                want_mode = want.stat(follow_symlinks=False).st_mode
                _remove_differences(entry.path, path + "/", want_mode, wanted, spare, stamps)
                continue
        elif want is not None and not wants_folder and spare.sources.get(path) == want.inode():
            known = spare.stamps.get(path)
            if known is not None and known == stamp(entry.stat(follow_symlinks=False)):
                stamps[path] = known
                continue
        delete_tree(Path(entry.path))
        if os.path.lexists(entry.path):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), entry.path)


def _copy_file(source: "os.DirEntry[str]", target: str, method: CopyMethod) -> None:
    """Copy one file with its mode and times; its blocks are shared if the method says so."""
    if method is not CopyMethod.REFLINK or source.is_symlink():
        shutil.copy2(source.path, target, follow_symlinks=False)
        return
    with open(source.path, "rb") as old, open(target, "xb") as new:
        fcntl.ioctl(new.fileno(), FICLONE, old.fileno())
    shutil.copystat(source.path, target)
