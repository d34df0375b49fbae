"""The process that a shell waits for. The app runs in a child of it, so that detaching moves no run between processes.

When the user detaches, this process ends, the shell shows its prompt, and the child continues without a terminal.
"""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

from tui.terminal.output import drop_output

DETACHED = signal.SIGUSR1
"""What the child sends when it no longer needs the terminal."""
_PR_SET_PDEATHSIG = 1
FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGCONT)


class Foreground:
    """The shell's process and its child, which both have this object after `enter`."""

    def __init__(self) -> None:
        self._shells = os.getpid()
        self._child = 0

    def enter(self) -> bool:
        """Start the child. Returns whether this process is the child."""
        before = signal.signal(DETACHED, _leave)
        self._child = os.fork()
        if not self._child:
            signal.signal(DETACHED, before)
            _signal_at_parents_end(signal.SIGHUP)  # otherwise two programs would share the terminal
        return not self._child

    def wait(self) -> int:
        """In the shell's process: wait for the child, and return its exit status. Does not return if it detaches."""
        for number in FORWARDED:
            signal.signal(number, self._forward)
        while True:
            _, status = os.waitpid(self._child, os.WUNTRACED)
            if os.WIFSTOPPED(status):  # the user suspends the app: to the shell, that is this process
                os.kill(os.getpid(), signal.SIGSTOP)
                continue
            ended = os.waitstatus_to_exitcode(status)
            if ended < 0:
                signal.signal(-ended, signal.SIG_DFL)
                os.kill(os.getpid(), -ended)
            return ended

    def release(self, log: Path) -> None:
        """In the child: give the terminal back, and continue in a session of its own. `log` gets the output."""
        _signal_at_parents_end(0)
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for number, target in ((0, nowhere), (1, output), (2, output)):
            os.dup2(target, number)
        for fd in [int(name) for name in os.listdir("/proc/self/fd")]:
            if os.isatty(fd):  # the screen has opened the terminal once more
                os.dup2(nowhere, fd, inheritable=False)
        os.chdir("/")  # keeps no folder busy
        if os.getppid() == self._shells:
            os.kill(self._shells, DETACHED)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            drop_output((0, 1, 2))
        with suppress(ProcessLookupError):
            os.kill(self._child, number)


def _signal_at_parents_end(number: int) -> None:
    """Let the kernel send this signal when the parent ends, however that happens; 0: none. Only Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(0)
