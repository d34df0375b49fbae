"""What of an agent's work no commit can hold, and why: reasons, and a look into the git folder of its workspace."""

import os
import stat
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from engine.sandbox.mounts import WS

IGNORED = "git ignores it"
SUBMODULE = "it belongs to a submodule"
GIT_FOLDER = "it belongs to git, which keeps nothing of its own folders"
SPECIAL = "it is a pipe, a socket or a device"
EMPTY = "git keeps no empty folders"
MODE = "only its permissions differ, and git keeps no more than whether a file is executable"
LINE_ENDS = "only its line ends or encoding differ, and git changes them back"
LINK_OUT = "the link leads out of the workspace, and what is there does not land"
OWN = "the folder belongs to swarm-tui"

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_CACHE_TAG = "CACHEDIR.TAG"
_OF_GIT = frozenset(
    {
        *("HEAD", "FETCH_HEAD", "ORIG_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "REBASE_HEAD"),
        *("AUTO_MERGE", "MERGE_MODE", "MERGE_MSG", "MERGE_RR", "SQUASH_MSG", "COMMIT_EDITMSG", "description"),
        *("config", "index", "index.lock", "packed-refs", "shallow", "gc.log", "gc.pid"),
        *("branches", "hooks", "info", "logs", "modules", "objects", "refs", "rr-cache", "sequencer", "worktrees"),
        *("rebase-apply", "rebase-merge", "BISECT_LOG", "BISECT_NAMES", "BISECT_START", "BISECT_TERMS", "lfs"),
    }
)
"""What git writes into its folder by itself."""
_WORK = ("refs/heads/work", "refs/heads/work.lock", "info/exclude", "info/refs")
"""What is in every workspace's git folder, in the folders that also hold what an agent made on purpose."""


def in_git_folder(above: int, name: str) -> Iterator[str]:
    """Files in a workspace's `.git` that an agent made on purpose: hooks, stashes, tags, branches, files of its own."""
    for found in _files(above, name):
        folder, _, below = found.removeprefix(".git/").partition("/")
        if folder not in _OF_GIT or (folder in ("hooks", "info", "refs") and f"{folder}/{below}" not in _WORK):
            yield found


def in_own_folder(above: int, name: str) -> Iterator[str]:
    """Files in a workspace's `.swarm` that the engine did not put there."""
    for found in _files(above, name):
        below = found.removeprefix(".swarm/")
        if not below.startswith(("output-", "yours/", "replacement")):
            yield found


def _files(above: int, path: str, depth: int = 8) -> Iterator[str]:
    """The files below a folder of an untrusted workspace, without the objects and logs of a git folder."""
    try:
        inner = os.open(path.rpartition("/")[2], _FOLDER, dir_fd=above)
    except OSError:
        return
    try:
        with os.scandir(inner) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                yield f"{path}/{entry.name}"
            elif depth and f"{path}/{entry.name}" not in (".git/objects", ".git/logs"):
                yield from _files(inner, f"{path}/{entry.name}", depth - 1)
    finally:
        os.close(inner)


def is_cache(above: int, name: str) -> bool:
    """Whether a folder holds only what programs make again by themselves, which nobody misses."""
    if name == "__pycache__":
        return True
    try:
        inner = os.open(name, _FOLDER, dir_fd=above)
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.stat(_CACHE_TAG, dir_fd=inner, follow_symlinks=False).st_mode)
    except OSError:
        return False
    finally:
        os.close(inner)


def is_used(above: int, name: str) -> bool:
    """Whether a folder that git leaves empty is none, or holds something."""
    try:
        inner = os.open(name, _FOLDER, dir_fd=above)
    except OSError:
        return True
    try:
        return bool(os.listdir(inner))
    finally:
        os.close(inner)


def leads_out(path: str, target: bytes) -> bool:
    """Whether a link at `path` leads out of its workspace, going by its text alone."""
    if target.startswith(b"/"):
        return not f"{os.fsdecode(target)}/".startswith(f"{WS}/")
    depth = path.count("/")
    for part in target.split(b"/"):
        depth += {b"": 0, b".": 0, b"..": -1}.get(part, 1)
        if depth < 0:
            return True
    return False


def permissions_changed(mode: int) -> bool:
    """Whether a checked out file has other permissions than those with which git writes it."""
    bits = 0o777 if mode & 0o100 else 0o666
    return stat.S_IMODE(mode) not in (bits & ~_umask(), bits & ~0o022)


@cache
def _umask() -> int:
    """This process's umask, read without changing it for a moment, which would be seen by other threads."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0o022
    return next((int(line.split()[1], 8) for line in status.splitlines() if line.startswith("Umask:")), 0o022)
