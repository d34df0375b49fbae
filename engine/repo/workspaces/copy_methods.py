"""How an agent's own copy comes to be: an overlay over shared layers, reflinks of them, or plain files.

A full copy that an agent has left is refitted for the next one: of its files, only those stay that the kernel vouches
for (no write, link or change of mode since they were made: all of them move the time of change, which nobody can set).
"""

import errno
import fcntl
import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from engine.domain.errors import ErrorKind, SwarmError
from engine.repo.changes.scan import Stamp, stamp
from engine.repo.workspaces.checkout import shown
from engine.repo.workspaces.layers import Layer
from engine.sandbox.bubblewrap import Mount
from engine.sandbox.levels import CopyMethod
from engine.sandbox.removal import delete_tree

FICLONE = 0x40049409
"""Share a file's blocks with another; from linux/fs.h."""


class Copy(Struct, frozen=True):
    """A copy in its engine-owned `folder`. `changed` is what the engine walks to see what was changed:

    an overlay's upper (then `stamps` is None), or all files with the stamps they had at first. `sources` has the
    inode of the layer's file that each is a copy of.
    """

    folder: Path
    mount: Mount
    changed: Path
    stamps: Mapping[str, Stamp] | None
    sources: Mapping[str, int] = {}


class Spare(Struct, frozen=True):
    """A full copy without an agent, still as that left it. Nothing runs in it any more."""

    files: Path
    stamps: Mapping[str, Stamp]
    sources: Mapping[str, int]


def make_copy(method: CopyMethod, folder: Path, layer: Layer, spare: Spare | None = None) -> Copy:
    """A copy of a layer, from a spare one if there is one. Raises SwarmError (state) when the disk refuses."""
    try:
        folder.mkdir(parents=True)
        if method is CopyMethod.OVERLAY:
            upper, work = folder / "upper", folder / "work"
            upper.mkdir()
            work.mkdir()
            layers = tuple(str(path) for path in layer.folders)
            return Copy(folder, Mount(layers, str(upper), str(work)), upper, None)
        files = folder / "files"
        if spare is not None:
            spare.files.rename(files)
        else:
            _duplicate(layer.folders[0], files, method)
            spare = _fresh(files, layer.folders[0])
        stamps, sources = _refit(files, spare, layer, method)
        return Copy(folder, Mount(bind=str(files)), files, stamps, sources)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SwarmError(
            ErrorKind.STATE, f"a workspace cannot be made: {error}", "check the free disk space of the state folder"
        ) from error


def _duplicate(source: Path, target: Path, method: CopyMethod) -> None:
    # Times are kept: the index that lies ready in `.git` then still fits.
    reflink = "always" if method is CopyMethod.REFLINK else "auto"
    subprocess.run(
        ["cp", "-a", f"--reflink={reflink}", "--", str(source), str(target)],
        capture_output=True,
        env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
        check=True,
    )


def _fresh(files: Path, source: Path) -> Spare:
    """A copy that was made of one folder just now."""
    sources = {path: entry.inode() for path, entry in shown([str(source)]) if not entry.is_dir(follow_symlinks=False)}
    return Spare(files, {path: stamp(os.lstat(files / path)) for path in sources}, sources)


def _refit(files: Path, spare: Spare, layer: Layer, method: CopyMethod) -> tuple[dict[str, Stamp], dict[str, int]]:
    """Make `files` show exactly what the layer does. Returns its stamps and sources.

    Raises OSError when something of the former agent's cannot be removed.
    """
    wanted = dict(shown([str(folder) for folder in layer.folders]))
    stamps: dict[str, Stamp] = {}
    _clear(str(files), "", os.stat(layer.folders[0]).st_mode, wanted, spare, stamps)
    for path, entry in wanted.items():
        there = files / path
        if entry.is_dir(follow_symlinks=False):
            there.mkdir(exist_ok=True)
        elif path not in stamps:
            _clone(entry, str(there), method)
            stamps[path] = stamp(os.lstat(there))
    return stamps, {path: wanted[path].inode() for path in stamps}


def _clear(
    folder: str,
    prefix: str,
    mode: int,
    wanted: Mapping[str, "os.DirEntry[str]"],
    spare: Spare,
    stamps: dict[str, Stamp],
) -> None:
    """Remove whatever is not as the layer has it; put the stamps of what stays into `stamps`."""
    os.chmod(folder, stat.S_IMODE(mode))
    for name in os.listxattr(folder):
        if name.startswith("user.") or "posix_acl" in name:
            os.removexattr(folder, name)
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        path = prefix + entry.name
        want = wanted.get(path)
        a_folder = want is not None and want.is_dir(follow_symlinks=False)
        if entry.is_dir(follow_symlinks=False):
            if want is not None and a_folder:
                _clear(entry.path, path + "/", want.stat(follow_symlinks=False).st_mode, wanted, spare, stamps)
                continue
        elif want is not None and not a_folder and spare.sources.get(path) == want.inode():
            known = spare.stamps.get(path)
            if known is not None and known == stamp(entry.stat(follow_symlinks=False)):
                stamps[path] = known
                continue
        delete_tree(Path(entry.path))
        if os.path.lexists(entry.path):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), entry.path)


def _clone(source: "os.DirEntry[str]", target: str, method: CopyMethod) -> None:
    """One file with its mode and times; its blocks are shared where the method says so."""
    if method is not CopyMethod.REFLINK or source.is_symlink():
        shutil.copy2(source.path, target, follow_symlinks=False)
        return
    with open(source.path, "rb") as old, open(target, "xb") as new:
        fcntl.ioctl(new.fileno(), FICLONE, old.fileno())
    shutil.copystat(source.path, target)
