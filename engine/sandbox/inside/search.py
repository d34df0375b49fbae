"""Searches the copy's texts for a regular expression, in a child process, as a pattern may take forever."""

import os
import re
import select
import time
from fnmatch import fnmatchcase

from .beneath import FOLDER, REGULAR, kind, open_beneath, prefix_of, walk
from .files import MAX_DEPTH, OURS, read
from .frames import Refused, pack, say, send, unpack, write_all
from .jobs import SIGKILL, Job, load
from .niceness import lower

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

LARGEST = 4 << 20
LONGEST_LINE = 400
BINARY_LOOK = 8 << 10
MOST_COUNTED = 20
"""Files whose further matches are counted."""
GIT_S = 5.0
"""How long git may take to say what it ignores: pipes in place of its files would make it wait forever."""
MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


class Search(Job):
    """Answers four fields for each line: path, line number, `:` or for a line of context `-`, and the line.

    With `limit` lines found, it counts the others: path, 0, an empty field, number.
    """

    def __init__(
        self,
        config: dict[bytes, bytes],
        number: bytes,
        pattern: bytes,
        path: bytes,
        limit: bytes,
        globs: bytes,
        context: bytes,
        seconds: bytes,
    ) -> None:
        self.root = config[b"root"]
        self.pattern = pattern
        self.path = path
        self.limit = int(limit)
        self.globs = [glob for glob in globs.split(b"\n") if glob]
        self.context = int(context)
        self.frame = bytearray()
        super().__init__(config, number, float(seconds))

    def become(self, out: int) -> "NoReturn":
        lower()
        if self.config.get(b"guard") == b"restricted":
            load("guard", "enclose")()  # git reads what commands may have put into its folder
        env = {key[4:]: value for key, value in self.config.items() if key.startswith(b"env.")}
        try:
            texts = _texts(self.root, self.path, self.globs, env)
            frame = pack(b"ok", *find(texts, self.pattern, self.limit, self.context))
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


def find(texts: "Iterator[tuple[bytes, bytes]]", pattern: bytes, limit: int, context: int) -> list[bytes]:
    """Compile the pattern and search. Raises Refused or OSError."""
    text = pattern.decode("utf-8", "replace")
    try:
        line_by_line = re.compile(text)
        whole = re.compile(text, re.MULTILINE)
    except (re.error, RecursionError, OverflowError) as error:
        raise Refused(f"is not a regular expression: {error}") from None
    anchored = "\\A" in text or "\\Z" in text
    fields: list[bytes] = []
    found = counted = 0
    for name, data in texts:
        content = _decode(data)
        if not anchored and not whole.search(content):
            continue
        lines = content.removesuffix("\n").split("\n")
        matches = [number for number, line in enumerate(lines) if line_by_line.search(line)]
        shown = matches[: limit - found]
        found += len(shown)
        near = {at for number in shown for at in range(max(0, number - context), min(len(lines), number + context + 1))}
        marks = set(shown)
        for at in sorted(near):
            line = lines[at][:LONGEST_LINE].encode("utf-8", "surrogateescape")
            fields += [name, b"%d" % (at + 1), b":" if at in marks else b"-", line]
        if len(matches) > len(shown):
            fields += [name, b"0", b"", b"%d" % (len(matches) - len(shown))]
            counted += 1
            if counted >= MOST_COUNTED:
                break
    return fields


def _decode(data: bytes) -> str:
    """A text whose lines end in LF, as `read_file` counts them; empty for a binary file."""
    mark, encoding = next((each for each in MARKS if data.startswith(each[0])), (b"", "utf-8"))
    if not mark and b"\0" in data[:BINARY_LOOK]:
        return ""
    text = data[len(mark) :].decode(encoding, "replace" if mark else "surrogateescape")
    return text.replace("\r\n", "\n") if "\n" in text else text.replace("\r", "\n")


def _texts(root: bytes, path: bytes, globs: "list[bytes]", env: dict[bytes, bytes]) -> "Iterator[tuple[bytes, bytes]]":
    """The names and contents of the file at `path`, or of all below that git does not ignore."""
    folder = open_beneath(root, path, os.O_RDONLY)
    try:
        if kind(os.fstat(folder).st_mode) != FOLDER:
            yield prefix_of(root, path)[:-1], read(root, path, b"%d" % LARGEST)[0]
            return
        prefix = prefix_of(root, path)
        known = _not_ignored(root, prefix, env)
        for name, info, parent in walk(folder, prefix, MAX_DEPTH, _folders(known)):
            if kind(info.st_mode) != REGULAR or info.st_size > LARGEST or name.startswith(OURS + b"/"):
                continue
            if (known is not None and name not in known) or (globs and not any(_fits(name, glob) for glob in globs)):
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


def _not_ignored(root: bytes, prefix: bytes, env: dict[bytes, bytes]) -> "set[bytes] | None":
    """The files below a folder that git tracks or does not ignore; None if it ignores all, or does not know.

    The agent may have written anything into its git folder: this git starts no program and lists no other folder.
    """
    command = [b"git", b"--literal-pathspecs", b"--git-dir=.git", b"--work-tree=.", b"-c", b"core.fsmonitor=false"]
    command += [b"ls-files", b"-z", b"--cached", b"--others", b"--exclude-standard", b"--", prefix or b"."]
    # Otherwise it may fetch missing objects.
    listed = _output(command, root, env | {b"GIT_ALLOW_PROTOCOL": b"none"}, GIT_S)
    return {name for name in listed.split(b"\0") if name} or None if listed is not None else None


def _output(command: "list[bytes]", folder: bytes, env: "dict[bytes, bytes]", seconds: float) -> bytes | None:
    """What a program writes; None if it fails or takes longer. Without the module `subprocess`, which would take more
    memory in each sandbox than everything else here."""
    out, inner = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            nothing = os.open("/dev/null", os.O_RDWR)
            for at, fd in enumerate((nothing, inner, nothing)):
                os.dup2(fd, at)
            os.chdir(folder)
            os.execvpe(command[0], command, env)  # noqa: S606 - no shell
        finally:
            os._exit(127)
    os.close(inner)
    handle = os.pidfd_open(pid)
    end = time.monotonic() + seconds
    said = bytearray()
    while select.select([out], (), (), max(0.0, end - time.monotonic()))[0] and (chunk := os.read(out, 1 << 20)):
        said += chunk
    if not select.select([handle], (), (), max(0.0, end - time.monotonic()))[0]:
        os.kill(pid, SIGKILL)
    for fd in (out, handle):
        os.close(fd)
    return bytes(said) if os.waitpid(pid, 0)[1] == 0 else None


def _folders(known: "set[bytes] | None") -> "set[bytes] | None":
    """All folders of some files."""
    if known is None:
        return None
    folders: set[bytes] = set()
    for name in known:
        while (name := name.rpartition(b"/")[0]) and name not in folders:
            folders.add(name)
    return folders


def _fits(name: bytes, glob: bytes) -> bool:
    return fnmatchcase(name if b"/" in glob else name.rpartition(b"/")[2], glob)
