"""One running command: its output as it comes, its limits, its end."""

import _signal  # type: ignore[import-not-found]  # `signal` takes longer to import than all else here
import os
import resource
import time

from .beneath import open_beneath
from .frames import Refused, send
from .jobs import Job, others

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

KEEP = 8 << 10
"""Bytes of output that are answered from its beginning, and from its end."""
TELL_S = 0.1
TELL_BYTES = 16 << 10
PAGE = os.sysconf("SC_PAGE_SIZE")
SHELL = b"/bin/bash" if os.access("/bin/bash", os.X_OK) else b"/bin/sh"


class Command(Job):
    """`whole` is the file, below the copy, where all output goes when it is too much for the answer."""

    def __init__(self, config: dict[bytes, bytes], number: bytes, command: bytes, seconds: bytes, whole: bytes) -> None:
        self.config = config
        self.command = command
        self.whole = whole
        self.memory = int(config[b"memory"])
        self.processes = int(config[b"processes"])
        self.output = int(config[b"output"])
        self.tmpfs = [folder for folder in config[b"tmpfs"].split(b"\0") if folder]
        self.head = bytearray()
        self.tail = bytearray()
        self.total = 0
        self.file: int | None = None
        """Open on `whole`; -1 when it could not be written."""
        self.untold = bytearray()
        self.told_at = 0.0
        super().__init__(number, float(seconds))

    def become(self, out: int) -> "NoReturn":
        _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.closerange(3, 64)
        os.setsid()
        os.nice(10)
        _lower(resource.RLIMIT_CORE, 0)
        _lower(resource.RLIMIT_DATA, self.memory)
        _lower(resource.RLIMIT_FSIZE, max(self.output, 1 << 32))
        if os.getppid() == 1:
            # Counted per user namespace, so that only the sandbox's own processes count.
            _lower(resource.RLIMIT_NPROC, self.processes)
        os.chdir(self.config[b"root"])
        env = {key[4:]: value for key, value in self.config.items() if key.startswith(b"env.")}
        os.execve(SHELL, [SHELL, b"-c", self.command], env)  # noqa: S606 - it is a shell

    def take(self, data: bytes) -> None:
        self.total += len(data)
        if self.total > self.output and not self.killed:
            self.kill(b"output")
        if self.total > 2 * KEEP and self.file is None:
            self._open_whole()
        if self.file is not None and self.file >= 0 and self.total <= self.output + (1 << 20):
            try:
                os.write(self.file, data)
            except OSError:
                os.close(self.file)
                self.file = -1
        room = KEEP - len(self.head)
        self.head += data[:room]
        self.tail += data[room:] if room > 0 else data
        if len(self.tail) > 4 * KEEP:
            del self.tail[:-KEEP]
        self.untold += data
        if len(self.untold) > TELL_BYTES:
            del self.untold[:-TELL_BYTES]

    def _open_whole(self) -> None:
        try:
            self.file = open_beneath(self.config[b"root"], self.whole, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, make=True)
            os.write(self.file, bytes(self.head + self.tail))
        except (OSError, Refused):
            self.file = -1

    def tell(self, now: float) -> None:
        """A few times a second, and never more than one frame's worth."""
        if self.untold and now - self.told_at >= TELL_S:
            send(self.number, b"out", bytes(self.untold))
            self.untold.clear()
            self.told_at = now

    def watch(self, now: float) -> None:
        super().watch(now)
        if self.killed:
            return
        pids = others(os.getpid())
        if len(pids) > self.processes + 8:
            self.kill(b"processes")
        elif memory_of(pids, self.memory, self.tmpfs) > self.memory:
            self.kill(b"memory")

    def answer(self, status: int | None) -> None:
        self.told_at = 0.0
        self.tell(time.monotonic())
        kept = self.file is not None and self.file >= 0
        if self.file is not None and self.file >= 0:
            os.close(self.file)
        code = b"" if status is None or self.killed else b"%d" % _exit_code(status)
        cut = max(0, self.total - len(self.head) - KEEP) if self.total > 2 * KEEP else 0
        tail = bytes(self.tail[-KEEP:] if cut else self.tail)
        wall = b"%.6f" % (time.monotonic() - self.started)
        whole = self.whole if cut and kept else b""
        send(self.number, b"ok", code, self.killed, bytes(self.head), tail, b"%d" % cut, whole, wall)


def memory_of(pids: list[int], limit: int, tmpfs: list[bytes]) -> int:
    """Bytes in use: resident sizes, and where their sum passes `limit` the exact shared-out ones."""
    held = 0
    for folder in tmpfs:
        try:
            info = os.statvfs(folder)
        except OSError:
            continue
        held += (info.f_blocks - info.f_bfree) * info.f_frsize
    resident = held + sum(_resident(pid) for pid in pids)
    return resident if resident <= limit else held + sum(_shared_out(pid) for pid in pids)


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, ValueError, IndexError):
        return 0


def _shared_out(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith(b"Pss:"))
    except (OSError, ValueError, IndexError):
        return 0


def _lower(what: int, value: int) -> None:
    """Set a limit, never above the hard one."""
    hard = resource.getrlimit(what)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (value, value))


def _exit_code(status: int) -> int:
    """As a shell tells it: 128 and the signal for what was killed by one."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code
