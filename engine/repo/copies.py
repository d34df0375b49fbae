"""How an agent's own copy comes to be: an overlay over shared layers, reflinks of them, or plain files."""

import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from engine.errors import ErrorKind, SwarmError
from engine.repo.changes import Stamp, stamps_of
from engine.repo.layers import Layer
from engine.sandbox.bubblewrap import Mount
from engine.sandbox.levels import CopyMethod


class Copy(Struct, frozen=True):
    """A copy in its engine-owned `folder`. `changed` is what the engine walks to see what was changed:

    an overlay's upper (then `stamps` is None), or all files with the stamps they had at first.
    """

    folder: Path
    mount: Mount
    changed: Path
    stamps: Mapping[str, Stamp] | None


def make_copy(method: CopyMethod, folder: Path, layer: Layer) -> Copy:
    """Raises SwarmError (state) when the disk refuses."""
    try:
        folder.mkdir(parents=True)
        if method is CopyMethod.OVERLAY:
            upper, work = folder / "upper", folder / "work"
            upper.mkdir()
            work.mkdir()
            layers = tuple(str(path) for path in layer.folders)
            return Copy(folder, Mount(layers, str(upper), str(work)), upper, None)
        files = folder / "files"
        for index, source in enumerate(layer.folders):
            if index:
                _lay_over(source, files, "always" if method is CopyMethod.REFLINK else "auto")
            else:
                _duplicate(source, files, "always" if method is CopyMethod.REFLINK else "auto")
        return Copy(folder, Mount(bind=str(files)), files, stamps_of(files))
    except (OSError, subprocess.CalledProcessError) as error:
        raise SwarmError(
            ErrorKind.STATE, f"a workspace cannot be made: {error}", "check the free disk space of the state folder"
        ) from error


def _cp(*args: str) -> "subprocess.CompletedProcess[bytes]":
    env = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
    return subprocess.run(["cp", *args], capture_output=True, env=env, check=False)


def _duplicate(source: Path, target: Path, reflink: str) -> None:
    # Times are kept: the index that lies ready in `.git` then still fits.
    _cp("-a", f"--reflink={reflink}", "--", str(source), str(target)).check_returncode()


def _lay_over(layer: Path, target: Path, reflink: str) -> None:
    """What an overlay would show: whiteouts remove, files and folders of other kinds replace."""
    for entry in sorted(os.scandir(layer), key=lambda entry: entry.name):
        info = entry.stat(follow_symlinks=False)
        there = target / entry.name
        plain_folder = there.is_dir() and not there.is_symlink()
        if stat.S_ISDIR(info.st_mode) and plain_folder:
            _lay_over(Path(entry.path), there, reflink)
            continue
        if plain_folder:
            shutil.rmtree(there)
        else:
            there.unlink(missing_ok=True)
        if not stat.S_ISCHR(info.st_mode):
            _duplicate(Path(entry.path), there, reflink)
