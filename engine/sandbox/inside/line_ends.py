"""Finds the line end that the files beside a new file have, for projects whose `.gitattributes` name none."""

import os
from itertools import islice

from .beneath import FOLDER, kind, open_beneath, parts_of, walk
from .files import read
from .frames import Refused

MAX_LISTED = 500
MAX_READ = 5
"""Files to read per folder."""
MAX_BYTES = 256 << 10


def line_end_beside(root: bytes, path: bytes) -> list[bytes]:
    """One field: how most lines end in the files of the nearest folder that has some, with the same suffix or else any.

    LF if there are no such files. Scripts do not count, because their lines have to end in LF.
    """
    *folders, new = parts_of(root, path) or [b""]
    for depth in range(len(folders), -1, -1):
        prefix = b"".join(part + b"/" for part in folders[:depth])
        try:
            fd = open_beneath(root, prefix, os.O_RDONLY | os.O_DIRECTORY)
        except (Refused, OSError):
            continue  # the folder will be made with the file
        try:
            files = [
                name
                for name, info, _ in islice(walk(fd, b"", 1), MAX_LISTED)
                if kind(info.st_mode) != FOLDER and 0 < info.st_size <= MAX_BYTES
            ]
        finally:
            os.close(fd)
        alike = [name for name in files if _suffix(name) == _suffix(new) and name != new]
        for group in (alike, files):
            if found := _most_common(root, [prefix + name for name in group[:MAX_READ]]):
                return [found]
    return [b"\n"]


def _most_common(root: bytes, paths: list[bytes]) -> bytes:
    """The line end of most lines; empty if there are no lines."""
    lines = with_cr = 0
    for path in paths:
        try:
            [content] = read(root, path, b"%d" % MAX_BYTES)
        except (Refused, OSError):
            continue
        if b"\0" not in content and not content.startswith(b"#!"):
            lines += content.count(b"\n")
            with_cr += content.count(b"\r\n")
    return b"" if not lines else b"\r\n" if with_cr * 2 > lines else b"\n"


def _suffix(name: bytes) -> bytes:
    """The suffix with its dot; empty if the only dot is the first character, or if the name ends in a dot."""
    at = name.rfind(b".")
    return name[at:] if 0 < at < len(name) - 1 else b""
