"""One running command: its output, its limits, its end."""

import _signal  # type: ignore[import-not-found]  # `signal` takes longer to import than all else here
import os
import resource
import time

from .beneath import open_beneath
from .frames import Refused, send
from .jobs import BLOCK, Job, load, others
from .niceness import lower, lowered
from .system_v import remove as remove_system_v
from .usage import MemoryMeter, Use, counted, used

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

PER_USER = {"RLIMIT_MEMLOCK": 8 << 20, "RLIMIT_SIGPENDING": 1_024, "RLIMIT_MSGQUEUE": 64 << 10}
"""Limits on what Linux counts per user: agents share the user who runs the engine, whose tools need some, too."""
KEEP = 64 << 10
"""Bytes of output that the engine gets, from the beginning and from the end; it shortens them for the answer."""
TELL_S = 0.1
TELL_BYTES = 16 << 10
TOLD_MEMORY = 16 << 20
"""The engine is told again when a command's memory changes by this many bytes, or its threads by an eighth."""
SHELL = b"/bin/bash" if os.access("/bin/bash", os.X_OK) else b"/bin/sh"


class Command(Job):
    """`whole` is the file, below the copy, for the whole output if the engine does not get all of it."""

    def __init__(self, config: dict[bytes, bytes], number: bytes, command: bytes, seconds: bytes, whole: bytes) -> None:
        self.command = command
        self.whole = whole
        self.memory = int(config[b"memory"])
        self.processes = int(config[b"processes"])
        self.output = int(config[b"output"])
        self.cpu_s = float(config[b"cpu"])
        self.events, self.limited, self.forks, self.most, self.cpu_stat = (
            int(config[name]) if name in config else None
            for name in (b"events", b"limited", b"forks", b"most", b"cpu_stat")
        )
        self.kills_before, self.limited_before = self._group_kills()
        self.refusals_before = self._group_refusals()
        self.cpu_before = self._group_cpu_s()
        self.ended_cpu_s = 0.0
        self.told = (0, 0, 0, False)
        """The use last reported to the engine."""
        self.tmpfs = [folder for folder in config[b"tmpfs"].split(b"\0") if folder]
        self.meter = (
            None if self.events is not None else MemoryMeter(self.memory, self.tmpfs, private=b"guard" not in config)
        )
        self.head = bytearray()
        self.tail = bytearray()
        self.total = 0
        self.file: int | None = None
        """The descriptor of `whole`; -1 if it could not be created."""
        self.untold = bytearray()
        self.told_at = 0.0
        super().__init__(config, number, float(seconds))

    def become(self, out: int) -> "NoReturn":
        _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.closerange(3, max(64, int(self.config[b"passed"]) + 1))
        os.setpgid(0, 0)  # the session stays the sandbox's, because its niceness is set
        lower(int(self.config[b"nice"]))
        _lower(resource.RLIMIT_CORE, 0)
        if self.events is None:
            # The hard limit has a margin, so that exceeding the soft limit is noticed and reported as the cause.
            _lower(resource.RLIMIT_DATA, 2 * self.memory)
        _lower(resource.RLIMIT_FSIZE, int(self.config[b"file_size"]))
        _lower(resource.RLIMIT_NOFILE, int(self.config[b"open_files"]))
        for name, most in PER_USER.items():
            if hasattr(resource, name):
                _lower(getattr(resource, name), most)
        if os.getppid() == 1:
            # Counted per user namespace, so only the sandbox's own processes count.
            _lower(resource.RLIMIT_NPROC, int(self.config[b"hard_processes"]))
        if self.config.get(b"guard") == b"restricted":
            load("guard", "enclose")()
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
        if len(self.tail) > 2 * KEEP:
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
        """Send live output, a few times a second, at most one frame at a time."""
        if self.untold and now - self.told_at >= TELL_S:
            send(self.number, b"out", bytes(self.untold))
            self.untold.clear()
            self.told_at = now

    def watch(self, now: float) -> None:
        super().watch(now)
        if (session := int(self.config.get(b"session", b"-1"))) >= 0 and lowered(session):
            self.config[b"session"] = b"-1"
        if self.killed:
            return
        use = Use(others(os.getpid()))
        cpu_s = use.cpu_s + self.ended_cpu_s
        for pid in use.ended:
            self._take_notice(pid)
        if self.cpu_stat is not None:
            cpu_s = self._group_cpu_s() - self.cpu_before
        self.used_s = cpu_s
        memory = self.meter.measure(use.resident, now) if self.meter is not None else 0
        if use.threads > self.processes:
            self.kill(b"processes")
        elif cpu_s > self.cpu_s:
            self.kill(b"cpu")
        elif self.meter is None:
            self._look_at_group()  # limits on all commands together are enforced by the kernel, too
        elif memory > self.memory:
            self.kill(b"memory")
        if not self.killed:
            self._tell_use(memory, use.threads)

    def _tell_use(self, memory: int, threads: int) -> None:
        shared, opaque = (self.meter.shared, self.meter.opaque) if self.meter is not None else (0, False)
        told_memory, told_threads, told_shared, told_opaque = self.told
        moved = max(abs(memory - told_memory), abs(shared - told_shared))
        if moved > TOLD_MEMORY or abs(threads - told_threads) * 8 > told_threads or opaque != told_opaque:
            self.told = (memory, threads, shared, opaque)
            send(self.number, b"uses", *(b"%d" % number for number in self.told))

    def _take_notice(self, pid: int) -> None:
        """Reap an ended process whose parent has ended before; else it would count until the command ends."""
        if pid != self.pid:
            try:
                used = os.wait4(pid, os.WNOHANG)[2]
                self.ended_cpu_s += used.ru_utime + used.ru_stime
                self.written += used.ru_oublock * BLOCK
            except OSError:
                pass

    def _look_at_group(self) -> None:
        """Whether the kernel enforced a limit of the control group.

        It kills what exceeds the group's memory, or the largest group when all together exceed theirs, and refuses
        processes beyond the group's number or the number of all groups.
        """
        kills, limited = self._group_kills()
        if kills > self.kills_before:
            self.kill(b"memory" if limited > self.limited_before else b"swarm memory")
        elif self._group_refusals() > self.refusals_before:
            own = self.most is None or counted(self.most, b"") > self.processes
            self.kill(b"processes" if own else b"swarm processes")

    def _group_refusals(self) -> int:
        return counted(self.forks, b"max") if self.forks is not None else 0

    def _group_kills(self) -> tuple[int, int]:
        """How often the kernel killed for lack of memory, and how often the group's own limit was hit."""
        if self.events is None or self.limited is None:
            return 0, 0
        return counted(self.events, b"oom_kill"), counted(self.limited, b"oom")

    def _group_cpu_s(self) -> float:
        return counted(self.cpu_stat, b"usage_usec") / 1e6 if self.cpu_stat is not None else 0.0

    def answer(self, status: int | None, largest: int, cpu_s: float) -> None:
        if b"guard" not in self.config:
            remove_system_v()
        if not self.killed and status != 0:
            if self.events is not None:
                self._look_at_group()
            elif largest >= self.memory:
                self.killed = b"memory"
        if self.killed == b"memory" and sum(map(used, self.tmpfs)) > self.memory // 2:
            for folder in self.tmpfs:  # otherwise what lies there would get the next command killed, too
                load("files", "empty")(folder)
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
        cpu_s = cpu_s + self.ended_cpu_s if self.cpu_stat is None else self._group_cpu_s() - self.cpu_before
        cpu = b"%.6f" % max(0.0, cpu_s)
        times = (wall, cpu, b"%.3f" % self.cpu_wait.ready_s, b"%.3f" % self.cpu_wait.lost_s)
        written = b"%d" % self.written
        send(self.number, b"ok", code, self.killed, bytes(self.head), tail, b"%d" % cut, whole, written, *times)


def _lower(what: int, value: int) -> None:
    """Set a limit, at most the hard one."""
    hard = resource.getrlimit(what)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (value, value))


def _exit_code(status: int) -> int:
    """The exit status as a shell reports it: 128 plus the signal number for a killed process."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code
