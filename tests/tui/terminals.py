"""The program in a pseudo-terminal of its own, as the shell's foreground process."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.tui.command_line import PROGRAM, Person
from tests.tui.owners import WAIT_S

LEFT = b"\x1b[?1049l"
"""What leaves the alternate screen."""


class Terminal:
    """A terminal of 120 by 40 cells, and everything that it was sent so far."""

    def __init__(self, person: Person, words: tuple[str, ...], controlling: bool, stderr: Path | None) -> None:
        self._main, self.side = pty.openpty()
        self.resize(40)
        adopt = ["setsid", "--ctty"] if controlling else ["setsid"]
        with stderr.open("wb") if stderr is not None else os.fdopen(os.dup(self.side), "wb") as errors:
            self.process = subprocess.Popen(
                [*adopt, "--wait", PROGRAM, *words],
                stdin=self.side,
                stdout=self.side,
                stderr=errors,
                env=person.environment({"TERM": "xterm-256color"}),
            )
        self.seen = b""
        self._open = True

    def resize(self, rows: int) -> None:
        fcntl.ioctl(self.side, termios.TIOCSWINSZ, struct.pack("4H", rows, 120, 0, 0))

    def types(self, keys: bytes) -> None:
        os.write(self._main, keys)

    def read_for(self, seconds: float) -> None:
        """Read what the program writes within this time, or what it has written already."""
        if select.select([self._main], [], [], seconds)[0]:
            self.seen += os.read(self._main, 65536)

    def until(self, true: Callable[[], bool]) -> None:
        """Read until something is true."""
        end = time.monotonic() + WAIT_S
        while not true():
            assert time.monotonic() < end, self.seen[-2000:]
            self.read_for(0.05)

    def shows(self, *texts: bytes) -> None:
        """Read until all these texts were written."""
        self.until(lambda: all(text in self.seen for text in texts))

    def stand_still(self) -> None:
        """Read no more, and wait until the program cannot write any more."""
        rows = 40
        poll = select.poll()
        poll.register(self.side, select.POLLOUT)
        while poll.poll(50):
            assert self.process.poll() is None
            rows = 20 + (rows + 1) % 40
            self.resize(rows)  # which makes it paint everything
            os.kill(self.process.pid, signal.SIGWINCH)
            time.sleep(0.05)  # a flood of signals would interrupt its own handler

    def terminate(self) -> int:
        """Ask the program to end, and wait until it has restored the terminal; returns its exit status."""
        self.process.terminate()
        self.shows(LEFT)
        return self.process.wait(WAIT_S)

    def close(self) -> None:
        """As when a terminal's window is closed."""
        if self._open:
            os.close(self.side)
            os.close(self._main)
        self._open = False


@contextmanager
def terminal_with(
    person: Person, *words: str, controlling: bool = True, stderr: Path | None = None
) -> Iterator[Terminal]:
    """The program with these arguments in a terminal; at the end it is killed, unless it has left the terminal."""
    terminal = Terminal(person, words, controlling, stderr)
    try:
        yield terminal
    finally:
        with suppress(ProcessLookupError):  # both have ended
            os.killpg(terminal.process.pid, signal.SIGKILL)
        terminal.process.wait()
        terminal.close()
