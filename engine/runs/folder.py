"""The folder of a run: the paths in it, and the names of the folders of runs and of repositories."""

import errno
import hashlib
import os
import re
import shutil
from pathlib import Path

from msgspec import Struct

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.os_text import path_text
from engine.domain.types import RunId

RUN_NAME = re.compile(r"\d{8}-\d{6}-[0-9a-z]{4}")
"""The format of run ids."""
SOCKET_LIMIT = 107
"""The most bytes of a Unix socket's path (108 with the final NUL)."""


class RunFolder(Struct, frozen=True):
    """The folder of one run, and the paths in it."""

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
    def base_surveys(self) -> Path:
        """What all runs of the repository know about commits that they started from."""
        return self.path.parent / "surveys.json"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def socket(self) -> Path:
        """The socket of the run's process: in this folder, or, if that path is too long for a socket, in
        `/tmp/swarm-tui-UID` under a name derived from this folder's path.

        Raises SwarmError (state) if that folder belongs to someone else.
        """
        usual = self.path / "swarm.sock"
        if len(os.fsencode(usual)) <= SOCKET_LIMIT:
            return usual
        return _short_folder() / (_hash(os.path.realpath(self.path)) + ".sock")

    def loss(self, begun: bool) -> SwarmError | None:
        """The error for a part of a live run that somebody deleted or moved; None if all parts are there."""
        parts = (self.path, self.journal, self.trunk, self.workspaces)
        missing = next((each for each in parts if not each.exists()), None)
        if missing is None:
            return None
        hint = f"start a new run; what was published is on the branches swarm/{self.run}/… of the repository"
        if not begun:
            hint = "start the run again"
        elif missing == self.workspaces:
            hint = f"to continue: swarm-tui resume {self.run}"
        return SwarmError(ErrorKind.STATE, f"{path_text(missing)} was deleted or moved during the run", hint)

    def discard(self) -> None:
        """Remove the folder of a run that never began."""
        trash = self.path.with_name(f".discarded-{self.path.name}")
        try:
            self.path.rename(trash)
        except OSError:
            trash = self.path
        shutil.rmtree(trash, ignore_errors=True)
        if len(os.fsencode(self.path / "swarm.sock")) > SOCKET_LIMIT:
            self.socket.unlink(missing_ok=True)


def repo_id(git_dir: Path) -> str:
    """A readable, unique name for a repo: its folder's name, and a hash of the real path of its common git folder."""
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
            f"{path_text(folder)} is not yours alone, and the socket of a run with a long path has to be there",
            "choose a state folder with a shorter path: --state-dir DIR",
        )
    return folder


def prepare_socket(folder: RunFolder) -> None:
    """Create the folder of a socket that cannot be in the run's own folder, and a link to the socket in that one."""
    socket, link = folder.socket, folder.path / "swarm.sock"
    try:
        remove_link(folder)  # the folder may have moved
        if socket == link:
            return
        socket.parent.mkdir(mode=0o700, exist_ok=True)
        _short_folder()
        link.symlink_to(socket)
    except OSError as error:
        raise cannot_write(socket.parent, error) from error


def remove_link(folder: RunFolder) -> None:
    """Remove what `prepare_socket` left in the run's folder."""
    link = folder.path / "swarm.sock"
    if link.is_symlink():
        link.unlink()


def cannot_write(folder: Path, error: OSError) -> SwarmError:
    """The error for a state folder that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SwarmError(
            ErrorKind.STATE,
            f"no space left on the disk of the state folder {path_text(folder)}",
            "free some disk space, or choose a folder on another disk: --state-dir DIR",
        )
    return SwarmError(
        ErrorKind.STATE,
        f"cannot write to the state folder {path_text(folder)}: {error.strerror or error}",
        "choose another folder with --state-dir DIR, or set XDG_STATE_HOME",
    )


def _hash(text: str) -> str:
    return hashlib.blake2b(os.fsencode(text), digest_size=10).hexdigest()
