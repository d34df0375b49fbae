"""Searches the copy's texts for a regular expression, in a child process, as a pattern may take forever."""

import os
import re

from .beneath import FOLDER, REGULAR, kind, open_beneath, prefix_of, walk
from .files import MAX_DEPTH, OURS, read
from .frames import Refused, pack, say, send, unpack, write_all
from .jobs import Job

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

LARGEST = 4 << 20
LONGEST_LINE = 400
BINARY_LOOK = 8 << 10
MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


class Search(Job):
    """Answers triples of fields: path, line number, line; at most `limit` triples."""

    def __init__(
        self, config: dict[bytes, bytes], number: bytes, pattern: bytes, path: bytes, limit: bytes, seconds: bytes
    ) -> None:
        self.root = config[b"root"]
        self.pattern = pattern
        self.path = path
        self.limit = int(limit)
        self.frame = bytearray()
        super().__init__(config, number, float(seconds))

    def become(self, out: int) -> "NoReturn":
        os.nice(10)
        try:
            frame = pack(b"ok", *find(self.root, self.pattern, self.path, self.limit))
        except (Refused, OSError, RecursionError, MemoryError) as error:
            frame = pack(b"err", say(error))
        write_all(out, frame)
        os._exit(0)

    def take(self, data: bytes) -> None:
        self.frame += data

    def answer(self, status: int | None, largest: int, cpu_s: float) -> None:
        if self.killed == b"timeout":
            send(self.number, b"err", b"took too long; search a smaller folder or use a simpler pattern")
        elif status != 0 or len(self.frame) < 4:
            send(self.number, b"err", b"failed: the search was killed")
        else:
            send(self.number, *unpack(bytes(self.frame[4:])))


def find(root: bytes, pattern: bytes, path: bytes, limit: int) -> list[bytes]:
    """Compile the pattern and search. Raises Refused or OSError."""
    text = pattern.decode("utf-8", "replace")
    try:
        line_by_line = re.compile(text)
        whole = re.compile(text, re.MULTILINE)
    except (re.error, RecursionError, OverflowError) as error:
        raise Refused(f"is not a regular expression: {error}") from None
    anchored = "\\A" in text or "\\Z" in text
    fields: list[bytes] = []
    for name, data in _texts(root, path):
        content = _decode(data)
        if not anchored and not whole.search(content):
            continue
        for number, line in enumerate(content.removesuffix("\n").split("\n"), 1):
            if line_by_line.search(line):
                fields += [name, b"%d" % number, line[:LONGEST_LINE].encode("utf-8", "surrogateescape")]
                if len(fields) >= 3 * limit:
                    return fields
    return fields


def _decode(data: bytes) -> str:
    """A text whose lines end in LF, as `read_file` counts them; empty for a binary file."""
    mark, encoding = next((each for each in MARKS if data.startswith(each[0])), (b"", "utf-8"))
    if not mark and b"\0" in data[:BINARY_LOOK]:
        return ""
    text = data[len(mark) :].decode(encoding, "replace" if mark else "surrogateescape")
    return text.replace("\r\n", "\n") if "\n" in text else text.replace("\r", "\n")


def _texts(root: bytes, path: bytes) -> "Iterator[tuple[bytes, bytes]]":
    folder = open_beneath(root, path, os.O_RDONLY)
    try:
        if kind(os.fstat(folder).st_mode) != FOLDER:
            yield prefix_of(root, path)[:-1], read(root, path, b"%d" % LARGEST)[0]
            return
        for name, info, parent in walk(folder, prefix_of(root, path), MAX_DEPTH):
            if kind(info.st_mode) != REGULAR or info.st_size > LARGEST or name.startswith(OURS + b"/"):
                continue
            try:
                fd = os.open(name.rpartition(b"/")[2], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
            except OSError:
                continue
            try:
                yield name, os.read(fd, LARGEST)
            finally:
                os.close(fd)
    finally:
        os.close(folder)
