"""The program in a pseudo terminal: keys in, every byte that it paints, and what its process costs."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from engine.resources import proc

COLUMNS, ROWS = 120, 40
_TICKS = os.sysconf("SC_CLK_TCK")


class Terminal:
    """Starts `swarm-tui WORDS`; `environ` is added to this process's own."""

    def __init__(self, *words: str, environ: Mapping[str, str] | None = None) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.painted = 0
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tui", *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(environ or {})},
        )
        os.close(slave)
        self._keep_niceness()

    def _keep_niceness(self) -> None:
        """Where Linux schedules each session as a group, niceness counts within the session only: set the group's."""
        with suppress(OSError):
            Path(f"/proc/{self.process.pid}/autogroup").write_text(str(os.nice(0)))

    @property
    def _app(self) -> int:
        """The process that has the screen: the child of the one that the shell waits for, if there is one."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        names = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
        own = Path(f"/proc/{pid}/cmdline").read_bytes()
        return next((child for child, name in names.items() if name == own), pid)

    def read(self, seconds: float) -> bytes:
        """What is painted within that time, as soon as there is something; empty when nothing is."""
        ready, _, _ = select.select([self.master], [], [], max(0.0, seconds))
        if not ready:
            return b""
        try:
            piece = os.read(self.master, 1 << 16)
        except OSError as error:  # the program has ended
            raise SystemExit("the program ended too early") from error
        self.painted += len(piece)
        return piece

    def until(self, mark: bytes, seconds: float) -> bool:
        """Read until the mark is painted; False when it was not in time. A mark may come in two pieces."""
        end = time.perf_counter() + seconds
        seen = b""
        while (left := end - time.perf_counter()) > 0:
            seen = seen[-len(mark) :] + self.read(left)
            if mark in seen:
                return True
        return False

    def rest(self, seconds: float) -> None:
        """Read on for some time."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self.read(left)

    def press(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def age(self) -> float:
        """Seconds since the program was started."""
        return time.perf_counter() - self.started

    def cpu_s(self) -> float:
        """Processor time of the screen's thread, the first of the process; an engine in it has another."""
        stat = Path(f"/proc/{self._app}/task/{self._app}/stat").read_text()
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / _TICKS

    def waited_s(self) -> float:
        """Time that the screen's thread was ready to run and did not: what other load on the machine costs it."""
        return int(Path(f"/proc/{self._app}/task/{self._app}/schedstat").read_text().split()[1]) / 1e9

    def memory(self) -> int:
        """Bytes of memory of the process alone."""
        return proc.proportional_memory(self._app) or proc.own_memory(self._app)

    def end(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.master)
