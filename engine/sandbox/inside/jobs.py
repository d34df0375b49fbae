"""What runs beside the loop: a child process with a pipe, and how all that a sandbox runs is found and killed."""

import os
import time

from .frames import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

SIGKILL, SIGCONT, SIGSTOP = 9, 18, 19


def load(module: str, name: str) -> "Any":
    """The one place where the rest of this folder is imported, when it is first needed."""
    return getattr(__import__(f"{__package__}.{module}", fromlist=(name,)), name)


class Job:
    """A child process that writes into `pipe`, up to a deadline. `handle` is readable when it has ended."""

    def __init__(self, config: dict[bytes, bytes], number: bytes, seconds: float) -> None:
        self.config = config
        self.number = number
        self.started = time.monotonic()
        self.deadline = self.started + seconds
        self.killed = b""
        self.frozen_at = 0.0
        """When it was frozen; 0 while it runs."""
        self.open = True
        """Whether anything can still write into the pipe."""
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
        """What the child does, with its end of the pipe."""
        raise NotImplementedError

    def take(self, data: bytes) -> None:
        """What the child has written."""
        raise NotImplementedError

    def answer(self, status: int | None, largest: int) -> None:
        """Send what came of it. `status` is the child's, if it is known.

        `largest`: bytes that the largest of its processes took at most, of those that were waited for.
        """
        raise NotImplementedError

    def tell(self, now: float) -> None:
        """Pass on what is to be seen while it runs."""

    def watch(self, now: float) -> None:
        """Kill it when it passes a limit."""
        if now >= self.deadline and not self.killed and not self.frozen_at:
            self.kill(b"timeout")

    def freeze(self) -> None:
        """Stop its whole process tree, and its clock."""
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
        """Take some of what has been written; False at the end of the pipe."""
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
        """The child has ended: end what it left, take the last output, answer."""
        status, largest = None, 0
        try:
            _, status, used = os.wait4(self.pid, 0)
            largest = used.ru_maxrss * 1024
        except ChildProcessError:
            pass
        self.pump()
        kill_others()
        self.pump()
        os.close(self.handle)
        os.close(self.pipe)
        self.answer(status, largest)


def others(own: int) -> list[int]:
    """Every process of the sandbox but the loop's: all of the namespace, or all descendants.

    While anything runs, some is found: what loses its parent becomes this process's own child.
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
    """As the kernel lists them, of each thread."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += [int(child) for child in file.read().split()]
    except OSError:
        pass
    return found


def _found_children() -> "Callable[[int], list[int]]":
    """By one look at all processes of the machine, where the kernel keeps no lists."""
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
    """To every process, those too that are born meanwhile."""
    own = os.getpid()
    told: set[int] = set()
    while new := {-1} - told if own == 1 else set(others(own)) - told:
        told |= new
        for pid in new:
            try:
                os.kill(pid, signal)
            except OSError:
                pass


def kill_others() -> None:
    """Kill everything that was left running, daemons too, and reap it."""
    own = os.getpid()
    for _ in range(200):
        for pid in (-1,) if own == 1 else others(own):
            try:
                os.kill(pid, SIGKILL)
            except OSError:
                pass
        _reap()
        if not others(own):
            return
        time.sleep(0.002)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
