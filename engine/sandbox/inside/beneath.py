"""Opens paths that cannot lead out of the copy: each step is opened relative to the descriptor of the one before."""

import os

from .frames import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

REGULAR, FOLDER, LINK = 0o100000, 0o040000, 0o120000
STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
INTO = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
HIDDEN = (b".git",)
MAX_LINKS = 40


def kind(mode: int) -> int:
    return mode & 0o170000


def parts_of(root: bytes, path: bytes) -> list[bytes]:
    """The components of a path that is relative to the copy, or absolute and below `root`. Raises Refused."""
    if b"\0" in path:
        raise Refused("has a zero byte in its name")
    if path.startswith(b"/"):
        if path != root and not path.startswith(root + b"/"):
            raise Refused("leads outside of the workspace")
        path = path[len(root) :]
    return [part for part in path.split(b"/") if part not in (b"", b".")]


def open_beneath(root: bytes, path: bytes, flags: int, *, make: bool = False) -> int:
    """A descriptor of `path` below `root`. `make` creates missing folders. Raises Refused or OSError."""
    folder, name = place_beneath(root, path, make=make)
    try:
        if name == b".":
            flags &= ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC)
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666, dir_fd=folder)
    finally:
        os.close(folder)


def place_beneath(root: bytes, path: bytes, *, make: bool = False) -> tuple[int, bytes]:
    """A descriptor of the folder in which `path` lies below `root`, and the name there; `.` if the path is the root, or
    ends in `..`. Links are followed only while they stay inside.

    No step is opened through a link, so concurrent changes cannot lead outside. `make` creates missing folders. Raises
    Refused or OSError.
    """
    stack = [os.open(root, os.O_PATH | os.O_DIRECTORY)]
    try:
        left = parts_of(root, path)
        links = 0
        while left:
            name = left.pop(0)
            if name == b"..":
                if len(stack) == 1:
                    raise Refused("leads outside of the workspace")
                os.close(stack.pop())
                continue
            try:
                target = os.readlink(name, dir_fd=stack[-1])
            except OSError:
                target = None
            if target is not None:
                links += 1
                if links > MAX_LINKS:
                    raise Refused("too many symbolic links")
                left = parts_of(root, target) + left
                while target.startswith(b"/") and len(stack) > 1:
                    os.close(stack.pop())
            elif left:
                stack.append(_step(name, stack[-1], make))
            else:
                return stack.pop(), name
        return stack.pop(), b"."
    finally:
        for step in stack:
            os.close(step)


def _step(name: bytes, above: int, make: bool) -> int:
    try:
        return os.open(name, STEP, dir_fd=above)
    except FileNotFoundError:
        if not make:
            raise
    os.mkdir(name, dir_fd=above)
    return os.open(name, STEP, dir_fd=above)


def walk(
    folder: int, prefix: bytes, depth: int, into: "set[bytes] | None" = None
) -> "Iterator[tuple[bytes, os.stat_result, int]]":
    """(path, status, parent's descriptor) of everything below, sorted, folders before contents; links stay links.

    `into`: the only folders to look into.
    """
    for name in sorted(os.fsencode(name) for name in os.listdir(folder)):
        if name in HIDDEN:
            continue
        try:
            info = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError:
            continue
        yield prefix + name, info, folder
        if kind(info.st_mode) == FOLDER and depth > 1 and (into is None or prefix + name in into):
            try:
                inner = os.open(name, INTO, dir_fd=folder)
            except OSError:
                continue
            try:
                yield from walk(inner, prefix + name + b"/", depth - 1, into)
            finally:
                os.close(inner)


def prefix_of(root: bytes, path: bytes) -> bytes:
    """The prefix of names in the folder `path`: empty for the root, else ending in `/`."""
    out: list[bytes] = []
    for part in parts_of(root, path):
        if part != b"..":
            out.append(part)
        elif out:
            out.pop()
    return b"".join(part + b"/" for part in out)
