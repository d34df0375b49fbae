"""File operations on the copy: each takes and returns fields of bytes, and raises Refused or OSError."""

import os

from .beneath import FOLDER, INTO, LINK, REGULAR, STEP, kind, open_beneath, parts_of, place_beneath, prefix_of, walk
from .frames import Refused, write_all

OURS = b".swarm"
REPLACEMENT = OURS + b"/replacement"
"""The new version of a file, until it takes the place of the old one."""
MAX_DEPTH = 64


def read(root: bytes, path: bytes, most: bytes) -> list[bytes]:
    """One field: the content of a regular file of at most `most` bytes."""
    cap = int(most)
    fd = open_beneath(root, path, os.O_RDONLY)
    try:
        info = os.fstat(fd)
        if kind(info.st_mode) == FOLDER:
            raise Refused("is a folder")
        if kind(info.st_mode) != REGULAR:
            raise Refused("is not a regular file")
        if info.st_size > cap:
            raise Refused(f"has {info.st_size} bytes, more than the {cap} that can be read at once")
        content = bytearray()
        while len(content) <= cap and (chunk := os.read(fd, min(cap + 1 - len(content), 1 << 20))):
            content += chunk
        if len(content) > cap:
            raise Refused(f"grew beyond the {cap} bytes that can be read at once")
        return [bytes(content)]
    finally:
        os.close(fd)


def write(root: bytes, path: bytes, content: bytes) -> list[bytes]:
    """Create a file, or replace an existing file's content and keep its mode. Missing folders are created."""
    if not parts_of(root, path):
        raise Refused("is a folder")
    folder, name = place_beneath(root, path, make=True)
    try:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666, dir_fd=folder)
        try:
            info = os.fstat(fd)
            if kind(info.st_mode) != REGULAR:
                raise Refused("is not a regular file")
            if not info.st_size or not _replace(root, folder, name, info.st_mode, content):
                os.ftruncate(fd, 0)
                write_all(fd, content)
        finally:
            os.close(fd)
    finally:
        os.close(folder)
    return []


def _replace(root: bytes, folder: int, name: bytes, mode: int, content: bytes) -> bool:
    """Replace a file at once: if this process ends meanwhile, or the disk is full, the old content stays. Returns
    whether the folders allow that; if not, nothing has changed. Raises OSError if the content cannot be written.
    """
    try:
        own, new = place_beneath(root, REPLACEMENT, make=True)
    except (Refused, OSError):
        return False
    try:
        try:
            _remove_at(own, new)
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=own)
        except OSError:
            return False
        try:
            write_all(fd, content)
            os.fchmod(fd, mode & 0o7777)
        except BaseException:
            _remove_at(own, new)
            raise
        finally:
            os.close(fd)
        try:
            os.rename(new, name, src_dir_fd=own, dst_dir_fd=folder)
        except OSError:
            _remove_at(own, new)
            return False
        return True
    finally:
        os.close(own)


def show(root: bytes, path: bytes, depth: bytes, limit: bytes) -> list[bytes]:
    """Pairs of fields, at most `limit`: path (folders end in `/`), size."""
    fd = open_beneath(root, path, os.O_RDONLY | os.O_DIRECTORY)
    fields: list[bytes] = []
    try:
        for name, info, _ in walk(fd, prefix_of(root, path), min(int(depth), MAX_DEPTH)):
            if len(fields) >= 2 * int(limit):
                break
            if name != OURS:
                folder = kind(info.st_mode) == FOLDER
                fields += [name + b"/" if folder else name, b"%d" % (0 if folder else info.st_size)]
    finally:
        os.close(fd)
    return fields


def put(root: bytes, path: bytes, mode: bytes, content: bytes) -> list[bytes]:
    """Make `path` exactly this, whatever was there: a regular file, an executable one or a symbolic link."""
    folder = _folder(root, path, make=True)
    name = path.rpartition(b"/")[2]
    try:
        _remove_at(folder, name)
        if int(mode) == LINK:
            os.symlink(content, name, dir_fd=folder)
            return []
        bits = 0o755 if int(mode) & 0o111 else 0o644
        new = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, bits, dir_fd=folder)
        try:
            write_all(new, content)
            os.fchmod(new, bits)
        finally:
            os.close(new)
    finally:
        os.close(folder)
    return []


def remove(root: bytes, path: bytes) -> list[bytes]:
    """Remove a file or a whole folder without following links, and as git does, the folders above that are empty then.

    A missing path is fine.
    """
    parts = parts_of(root, path)
    try:
        folder = _folder(root, path, make=False)
    except OSError:
        return []
    try:
        _remove_at(folder, parts[-1])
    finally:
        os.close(folder)
    try:
        while parts := parts[:-1]:
            folder = _folder(root, b"/".join(parts), make=False)
            try:
                os.rmdir(parts[-1], dir_fd=folder)
            finally:
                os.close(folder)
    except OSError:
        pass  # not empty
    return []


def empty(folder: bytes) -> None:
    """Remove everything in a folder, as far as that is possible."""
    inner = os.open(folder, INTO)
    try:
        for name in os.listdir(inner):
            _remove_at(inner, os.fsencode(name))
    except (OSError, RecursionError):
        pass
    finally:
        os.close(inner)


def _folder(root: bytes, path: bytes, *, make: bool) -> int:
    """The parent folder of `path`, without following links. `make` removes obstacles and creates missing folders."""
    parts = parts_of(root, path)
    if not parts or b".." in parts:
        raise Refused("names no file of the workspace")
    fd = os.open(root, STEP)
    try:
        for name in parts[:-1]:
            try:
                step = os.open(name, STEP, dir_fd=fd)
            except (FileNotFoundError, NotADirectoryError):
                if not make:
                    raise
                _remove_at(fd, name)
                os.mkdir(name, dir_fd=fd)
                step = os.open(name, STEP, dir_fd=fd)
            os.close(fd)
            fd = step
    except BaseException:
        os.close(fd)
        raise
    return fd


def _remove_at(folder: int, name: bytes) -> None:
    try:
        os.unlink(name, dir_fd=folder)
        return
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        pass
    inner = os.open(name, INTO, dir_fd=folder)
    try:
        for entry in os.listdir(inner):
            _remove_at(inner, os.fsencode(entry))
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=folder)
