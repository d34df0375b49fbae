"""The folder of a run and the names in it, and how the folders of a repo's runs are called."""

import errno
import hashlib
import os
import re
import shutil
from pathlib import Path

from msgspec import Struct

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.types import RunId

RUN_NAME = re.compile(r"\d{8}-\d{6}-[0-9a-z]{4}")
"""What a run is called."""
SOCKET_LIMIT = 107
"""Bytes of a Unix socket's path that the system takes (108 with the final NUL)."""


class RunFolder(Struct, frozen=True):
    """The folder of one run and the names in it."""

    path: Path

    @property
    def run(self) -> RunId:
        return RunId(self.path.name)

    @property
    def journal(self) -> Path:
        return self.path / "journal.db"

    @property
    def trunk(self) -> Path:
        return self.path / "trunk.git"

    @property
    def workspaces(self) -> Path:
        return self.path / "workspaces"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def socket(self) -> Path:
        """Where the run's process listens: in this folder, or, where that path is too long for a socket, in
        `/tmp/swarm-tui-UID`, under a name made from this folder's path.

        Raises SwarmError (state) when that folder belongs to someone else.
        """
        usual = self.path / "swarm.sock"
        if len(os.fsencode(usual)) <= SOCKET_LIMIT:
            return usual
        return _short_folder() / (_hash(os.path.realpath(self.path)) + ".sock")

    def discard(self) -> None:
        """Remove a run that never began, so that nothing half made is left."""
        trash = self.path.with_name(f".discarded-{self.path.name}")
        try:
            self.path.rename(trash)
        except OSError:
            trash = self.path
        shutil.rmtree(trash, ignore_errors=True)
        if len(os.fsencode(self.path / "swarm.sock")) > SOCKET_LIMIT:
            self.socket.unlink(missing_ok=True)


def repo_id(git_dir: Path) -> str:
    """A readable, unique name for a repo: its folder's name and a hash of where its (common) git folder really is."""
    real = Path(os.path.realpath(git_dir))
    name = real.parent.name if real.name == ".git" else real.name.removesuffix(".git")
    readable = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")[:32] or "repo"
    return f"{readable}-{_hash(str(real))[:8]}"


def _short_folder() -> Path:
    folder = Path(f"/tmp/swarm-tui-{os.getuid()}")  # noqa: S108 - its owner and mode are checked before each use
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return folder
    if found.st_uid != os.getuid() or found.st_mode & 0o170077 != 0o040000:
        raise SwarmError(
            ErrorKind.STATE,
            f"{folder}, where the socket of a run with a long path belongs, is not yours alone",
            "name a shorter state folder with --state-dir",
        )
    return folder


def prepare_socket(folder: RunFolder) -> None:
    """Make the folder of a socket that cannot be in the run's own, and leave a link to it there."""
    socket, link = folder.socket, folder.path / "swarm.sock"
    if socket == link:
        return
    try:
        socket.parent.mkdir(mode=0o700, exist_ok=True)
        _short_folder()
        if not link.is_symlink():
            link.symlink_to(socket)
    except OSError as error:
        raise cannot_write(socket.parent, error) from error


def cannot_write(folder: Path, error: OSError) -> SwarmError:
    """What to say when the state folder cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SwarmError(
            ErrorKind.STATE,
            f"there is no space left for the state folder {folder}",
            "free some disk space, or name a folder on another disk with --state-dir",
        )
    return SwarmError(
        ErrorKind.STATE,
        f"the state folder {folder} cannot be written: {error.strerror or error}",
        "name a folder that can with --state-dir, or set XDG_STATE_HOME",
    )


def _hash(text: str) -> str:
    return hashlib.blake2b(os.fsencode(text), digest_size=10).hexdigest()
