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

from tui.terminal.output import Output, drop_output
from tui.terminal.usual_modes import UsualModes

DETACHED = signal.SIGUSR1
"""What the child sends when it no longer needs the terminal."""
_PR_SET_PDEATHSIG = 1
FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGCONT)
AWAITED = {*FORWARDED, DETACHED, signal.SIGCHLD}
"""What the shell's process takes one by one: a handler would miss a signal that comes just before a wait."""
KILLED_HINT = "hint: nothing is lost; to list runs that you can resume: swarm-tui runs"


class Foreground:
    """The shell's process and its child, which both have this object after `enter`."""

    def __init__(self) -> None:
        self._shells = os.getpid()
        self._child = 0
        self._usual = UsualModes()

    def enter(self) -> bool:
        """Start the child. Returns whether this process is the child."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
        self._child = os.fork()
        if self._child:
            signal.signal(signal.SIGCHLD, _ignore)  # one whose default is to be ignored may never be pending
        else:
            _signal_at_parents_end(signal.SIGHUP)  # otherwise two programs would share the terminal
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return not self._child

    def wait(self) -> int:
        """In the shell's process: wait for the child, and return its exit status. Does not return if it detaches."""
        while True:
            number = signal.sigwait(AWAITED)
            if number == DETACHED:
                os._exit(0)
            if number != signal.SIGCHLD:
                self._forward(number)
                continue
            changed, status = os.waitpid(self._child, os.WUNTRACED | os.WNOHANG)
            if not changed:
                continue
            if os.WIFSTOPPED(status):  # the user suspends the app: to the shell, that is this process
                os.kill(os.getpid(), signal.SIGSTOP)
                continue
            ended = os.waitstatus_to_exitcode(status)
            if ended < 0:
                self._clean_up_after(signal.Signals(-ended))
            return ended

    def _clean_up_after(self, killed_by: signal.Signals) -> None:
        """Restore the terminal that a killed child has left, and end by the same signal."""
        screen, errors = Output(sys.stdout), Output(sys.stderr)
        self._usual.restore(screen.fileno())
        errors.hurry()
        errors.write(f"error: the program was killed by {killed_by.name}\n{KILLED_HINT}\n")
        if killed_by is not signal.SIGKILL:  # its handler cannot be set
            signal.signal(killed_by, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {killed_by})
        os.kill(os.getpid(), killed_by)

    def tell_if_alone(self) -> None:
        """In the child, after it has left the terminal: say why it ended, if the shell's process was killed."""
        if self._shells and os.getppid() != self._shells:
            errors = Output(sys.stderr)
            errors.hurry()
            errors.write(f"error: the process that the shell waited for was killed\n{KILLED_HINT}\n")

    def release(self, log: Path) -> None:
        """In the child: give the terminal back, and continue in a session of its own. `log` gets the output."""
        _signal_at_parents_end(0)
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for number, target in ((0, nowhere), (1, output), (2, output)):
            os.dup2(target, number)
        for fd in [int(name) for name in os.listdir("/dev/fd")]:
            if os.isatty(fd):  # the screen has opened the terminal once more
                os.dup2(nowhere, fd, inheritable=False)
        os.chdir("/")  # keeps no folder busy
        if os.getppid() == self._shells:
            os.kill(self._shells, DETACHED)
        self._shells = 0

    def _forward(self, number: int) -> None:
        if number == signal.SIGHUP:
            drop_output((0, 1, 2))
        with suppress(ProcessLookupError):
            os.kill(self._child, number)


def _signal_at_parents_end(number: int) -> None:
    """Let the kernel send this signal when the parent ends, however that happens; 0: none. Only Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def _ignore(number: int, frame: FrameType | None) -> None:
    pass
