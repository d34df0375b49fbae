"""Jobs beside the loop: a child process with a pipe, and how all processes of a sandbox are found and killed."""

import os
import sys
import time

from .frames import say, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

SIGKILL, SIGCONT, SIGSTOP = 9, 18, 19
BLOCK = 512
TOLD_S = 2.0
"""Seconds that a job could have run, after which the engine is told again."""


def load(module: str, name: str) -> "Any":
    """Import another module of this folder on first use; nothing else here imports lazily."""
    path = f"{__package__}.{module}"
    return getattr(sys.modules.get(path) or __import__(path, fromlist=(name,)), name)


class Job:
    """A child process that writes into `pipe`, with a deadline. `handle` becomes readable when it has ended."""

    def __init__(self, config: dict[bytes, bytes], number: bytes, seconds: float) -> None:
        self.config = config
        self.number = number
        self.started = time.monotonic()
        self.deadline = self.started + seconds
        self.spare = (int(config[b"patience"]) - 1) * seconds
        """How far time without a CPU may still move the deadline."""
        self.cpu_wait = load("cpu_wait", "CpuWait")(self.started)
        self.used_s = 0.0
        """CPU seconds of all its processes, if known."""
        self.told_ready_s = 0.0
        self.written = 0
        """Bytes that ended processes have written to disk."""
        self.killed = b""
        self.frozen_at = 0.0
        """When it was frozen; 0 while it runs."""
        self.open = True
        """Whether any process can still write into the pipe."""
        self.pipe, inner = os.pipe()
        os.set_blocking(self.pipe, False)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for group in config.get(b"enter", b"").split():
                    os.write(int(group), b"0")
                self.become(inner)
            except BaseException as error:
                os.write(2, b"this cannot be started: " + say(error) + b"\n")
            finally:
                os._exit(127)
        os.close(inner)
        self.handle = os.pidfd_open(self.pid)

    def become(self, out: int) -> "NoReturn":
        """The child's code, with its end of the pipe."""
        raise NotImplementedError

    def take(self, data: bytes) -> None:
        """Handle a piece of the child's output."""
        raise NotImplementedError

    def answer(self, status: int | None, largest: int, cpu_s: float) -> None:
        """Send the result. `status` is the child's, if known; `largest` is the peak memory, in bytes, of the largest of
        its processes that were waited for; `cpu_s` is the CPU time of the child, of those and of what was left."""
        raise NotImplementedError

    def tell(self, now: float) -> None:
        """Report live output while the child runs."""

    def watch(self, now: float) -> None:
        """Kill the child if it exceeds a limit. Time without a CPU does not count towards its deadline."""
        if now >= min(self.cpu_wait.next, self.deadline) and not self.frozen_at:
            late = min(self.spare, self.cpu_wait.look(others(os.getpid()), self.used_s, now))
            self.spare -= late
            self.deadline += late
            if self.cpu_wait.ready_s - self.told_ready_s >= TOLD_S:
                self.told_ready_s = self.cpu_wait.ready_s
                send(self.number, b"cpu", b"%.3f" % self.cpu_wait.ready_s, b"%.3f" % self.cpu_wait.lost_s)
        if now >= self.deadline and not self.killed and not self.frozen_at:
            self.kill(b"timeout")

    def freeze(self) -> None:
        """Suspend its process tree and its deadline."""
        if not self.frozen_at:
            self.frozen_at = time.monotonic()
            signal_others(SIGSTOP)

    def thaw(self) -> None:
        if self.frozen_at:
            stood = time.monotonic() - self.frozen_at
            self.started += stood
            self.deadline += stood
            self.frozen_at = 0.0
            signal_others(SIGCONT)

    def pump(self) -> bool:
        """Read some output; False at the end of the pipe."""
        for _ in range(16):
            try:
                data = os.read(self.pipe, 65536)
            except BlockingIOError:
                return True
            if not data:
                return False
            self.take(data)
        return True

    def kill(self, why: bytes) -> None:
        if not self.killed:
            self.killed = why
        try:
            os.kill(self.pid, SIGKILL)
        except OSError:
            pass

    def finish(self) -> None:
        """The child has ended: end its remaining processes, read the last output, answer."""
        status, largest, cpu_s = None, 0, 0.0
        try:
            _, status, used = os.wait4(self.pid, 0)
            largest, cpu_s = used.ru_maxrss * 1024, used.ru_utime + used.ru_stime
            self.written += used.ru_oublock * BLOCK
        except ChildProcessError:
            pass
        self.pump()
        for used in kill_others():
            cpu_s += used.ru_utime + used.ru_stime
            self.written += used.ru_oublock * BLOCK
        self.pump()
        os.close(self.handle)
        os.close(self.pipe)
        self.answer(status, largest, cpu_s)


def others(own: int) -> list[int]:
    """Every process of the sandbox except the loop's: all of the namespace, or all descendants.

    None escapes the search while it runs: a process whose parent ends becomes this process's child.
    """
    if own == 1:
        return [pid for pid in _all_pids() if pid != 1]
    children = _children if os.path.exists(f"/proc/{own}/task/{own}/children") else _found_children()
    found = []
    queue = children(own)
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children(pid)
    return found


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _children(pid: int) -> list[int]:
    """The children of a process from the kernel's lists, thread by thread."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += [int(child) for child in file.read().split()]
    except OSError:
        pass
    return found


def _found_children() -> "Callable[[int], list[int]]":
    """The descendants from one pass over all processes, for kernels that keep no lists of children."""
    children: dict[int, list[int]] = {}
    for pid in _all_pids():
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        children.setdefault(parent, []).append(pid)
    return lambda pid: children.get(pid, [])


def signal_others(signal: int) -> None:
    """Signal every process, including those that start meanwhile."""
    own = os.getpid()
    told: set[int] = set()
    while new := {-1} - told if own == 1 else set(others(own)) - told:
        told |= new
        for pid in new:
            try:
                os.kill(pid, signal)
            except OSError:
                pass


def kill_others() -> "list[Any]":
    """Kill and reap everything that is left, daemons included. Returns what each had used, as wait4 does."""
    own = os.getpid()
    used = []
    for _ in range(200):
        for pid in (-1,) if own == 1 else others(own):
            try:
                os.kill(pid, SIGKILL)
            except OSError:
                pass
        try:
            while (ended := os.wait4(-1, os.WNOHANG))[0]:
                used.append(ended[2])
        except ChildProcessError:
            pass
        if not others(own):
            break
        time.sleep(0.002)
    return used
