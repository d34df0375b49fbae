"""How the screen keeps up with a busy swarm: the real program in a terminal of its own, with keys sent to it.

A key is `j` or `k` in the agent tree; it is answered when the detail's title names the other agent, which nothing
but a moved selection paints. The same keys are sent again while the run is paused, to tell the screen's own time
from what a busy engine in the same process adds. The machine's other load is in both.
"""

import fcntl
import os
import pty
import select
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.report import Report, ratio

COLUMNS, ROWS = 120, 40
KEYS = 150
WATCH_S = 12.0
"""How long the screen is watched without touching it."""
LONGEST_S = 60.0
"""For anything that is waited for once."""
ANSWER_S = 5.0
"""A key that is not answered by then counts with this time."""
PAUSES_S = (0.031, 0.113, 0.067, 0.211)
"""Between two keys, in turn: no multiple of the screen's own rhythm."""
TITLE = b"2 detail"
WORKING = b"working"


class Terminal:
    """The program in a pseudo terminal, and every byte that it paints."""

    def __init__(self, words: list[str]) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.started = time.perf_counter()
        environ = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self.process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environ
        )
        os.close(slave)
        self.painted = 0

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

    def cpu_s(self) -> float:
        """Processor time of the screen's thread, the first of the process; the engine has another."""
        stat = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/stat").read_text()
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.master)


def run() -> Report:
    """Measure one busy swarm."""
    report = Report("screen", ("", "key p50 ms", "key p99 ms", "core share", "kB/s painted"))
    with _opened() as (terminal, first_paint):
        if not terminal.until(WORKING, LONGEST_S):
            raise SystemExit("the swarm did not begin to work")
        terminal.press(b"o")  # as spawned: rows stay where they are
        terminal.rest(3.0)
        busy_share, busy_bytes = _watch(terminal)
        busy = _keys(terminal)
        terminal.press(b"P")
        terminal.rest(3.0)
        idle_share, idle_bytes = _watch(terminal)
        idle = _keys(terminal)
    report.rows += [
        ("busy", *_spread(busy), busy_share, busy_bytes / 1000),
        ("paused", *_spread(idle), idle_share, idle_bytes / 1000),
    ]
    p50, p99 = _spread(busy)
    report.figures |= {
        "key_to_paint_p99_ms": round(p99, 1),
        "key_to_paint_p50_ms": round(p50, 1),
        "core_share": round(busy_share, 3),
        "bytes_per_s": round(busy_bytes),
        "first_paint_ms": round(first_paint * 1000),
        "keys_unanswered": sum(time >= ANSWER_S for time in (*busy, *idle)),
    }
    report.ratios |= {
        "key_to_paint_p50_busy_to_paused": ratio(p50, _spread(idle)[0]),
        "core_share_busy_to_paused": ratio(busy_share, idle_share),
    }
    report.notes.append("core share: processor time of the screen's thread; first paint: from the program's start")
    return report


@contextmanager
def _opened() -> Iterator[tuple[Terminal, float]]:
    """The program on the generated sample, and the seconds until it painted its first pane."""
    folder = tempfile.mkdtemp(prefix="bench-screen-")
    words = [sys.executable, "-m", "tui", "demo", "load", "--agents", "50", "--tasks", "150", "--state-dir", folder]
    terminal = Terminal(words)
    try:
        if not terminal.until(b"1 agents", LONGEST_S):
            raise SystemExit("nothing was painted")
        yield terminal, time.perf_counter() - terminal.started
    finally:
        terminal.end()
        shutil.rmtree(folder, ignore_errors=True)


def _watch(terminal: Terminal) -> tuple[float, float]:
    """The screen's share of a core and the bytes it paints a second, untouched."""
    cpu, painted, begun = terminal.cpu_s(), terminal.painted, time.perf_counter()
    terminal.rest(WATCH_S)
    passed = time.perf_counter() - begun
    return (terminal.cpu_s() - cpu) / passed, (terminal.painted - painted) / passed


def _keys(terminal: Terminal) -> list[float]:
    """Seconds from each key to its paint."""
    found: list[float] = []
    for number in range(KEYS):
        begun = time.perf_counter()
        terminal.press(b"k" if number % 2 else b"j")
        answered = terminal.until(TITLE, ANSWER_S)
        found.append(time.perf_counter() - begun if answered else ANSWER_S)
        terminal.rest(PAUSES_S[number % len(PAUSES_S)])
    return found


def _spread(seconds: list[float]) -> tuple[float, float]:
    """Median and 99th percentile, in milliseconds."""
    return statistics.median(seconds) * 1000, statistics.quantiles(seconds, n=100)[98] * 1000


if __name__ == "__main__":
    run().show()
