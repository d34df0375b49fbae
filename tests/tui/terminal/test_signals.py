"""Signals and terminals that close, stand still or send anything: the engine obeys, and the process ends."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import msgspec
import pytest

from tests.tui.command_line import PROGRAM, Person
from tests.tui.owners import until

SLOW = ("demo", "notes", "--speed", "0.2")
"""A run that takes a while."""


class Terminal:
    """The program in a pseudo-terminal of 120 by 40 cells."""

    def __init__(self, person: Person, *, controlling: bool = True, stderr: Path | None = None) -> None:
        self.person = person
        self.main, self.side = pty.openpty()
        self.resize(40)
        adopt = ["setsid", "--ctty"] if controlling else ["setsid"]
        with stderr.open("wb") if stderr is not None else os.fdopen(os.dup(self.side), "wb") as errors:
            self.process = subprocess.Popen(
                [*adopt, "--wait", PROGRAM, *SLOW],
                stdin=self.side,
                stdout=self.side,
                stderr=errors,
                env=person.environment({"TERM": "xterm-256color"}),
            )
        self.seen = b""

    def resize(self, rows: int) -> None:
        fcntl.ioctl(self.side, termios.TIOCSWINSZ, struct.pack("4H", rows, 120, 0, 0))

    def until(self, *texts: bytes) -> None:
        while not all(text in self.seen for text in texts):
            self.seen += os.read(self.main, 65536)

    def until_it_works(self) -> None:
        self.until(b"REHEARSAL", b"thinking")

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

    def read_for(self, seconds: float) -> None:
        if select.select([self.main], [], [], seconds)[0]:
            self.seen += os.read(self.main, 65536)

    def close(self) -> None:
        """As when a terminal's window is closed."""
        os.close(self.side)
        os.close(self.main)

    def status(self) -> int:
        return self.process.wait(60)

    def state(self) -> tuple[object, object]:
        """The only run's state, and whether a process owns it."""
        listed = subprocess.run([PROGRAM, "runs", "--json"], env=self.person.environ, capture_output=True, check=True)
        [run] = [msgspec.json.decode(line) for line in listed.stdout.splitlines()]
        return run["state"], run["live"]


@pytest.mark.parametrize("controlling", [True, False], ids=["signalled", "silent"])
def test_a_run_continues_to_its_end_after_its_terminal_closes(person: Person, controlling: bool) -> None:
    terminal = Terminal(person, controlling=controlling)
    terminal.until_it_works()
    terminal.close()
    assert terminal.process.wait() == 0
    assert terminal.state() == ("finished", False)


def test_the_app_paints_on_its_terminal_when_stderr_is_a_file(person: Person, tmp_path: Path) -> None:
    terminal = Terminal(person, stderr=tmp_path / "log")
    try:
        terminal.until_it_works()
        assert b"\x1b" not in (tmp_path / "log").read_bytes()
    finally:
        terminal.process.terminate()
        terminal.until(b"\x1b[?1049l")
        assert terminal.status() == 4
    assert b"swarm-tui resume" in (tmp_path / "log").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_stops_the_run_though_nobody_reads_the_terminal(person: Person, number: signal.Signals) -> None:
    terminal = Terminal(person)
    terminal.until_it_works()
    terminal.stand_still()
    terminal.process.send_signal(number)
    assert terminal.status() == 4
    assert terminal.state() == ("stopped", False)


def test_a_signal_stops_a_run_whose_terminal_has_closed(person: Person) -> None:
    terminal = Terminal(person)
    terminal.until_it_works()
    terminal.close()
    until(lambda: os.readlink(f"/proc/{terminal.process.pid}/fd/0") == os.devnull)
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.status() == 4
    assert terminal.state() == ("stopped", False)


def test_a_second_signal_ends_the_process_without_waiting_for_agents(person: Person) -> None:
    terminal = Terminal(person)
    terminal.until_it_works()
    terminal.stand_still()
    terminal.process.send_signal(signal.SIGTERM)
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.status() == 4
    assert terminal.state()[1] is False


def test_bytes_that_are_no_text_do_not_end_the_app(person: Person) -> None:
    terminal = Terminal(person)
    terminal.until_it_works()
    os.write(terminal.main, b"\xe9\xff\x80")
    while b"j k scroll" not in terminal.seen:
        os.write(terminal.main, b"?")  # one that arrives with these bytes is dropped with them
        terminal.read_for(1.0)
    terminal.process.terminate()
    terminal.until(b"\x1b[?1049l")
    assert terminal.status() == 4


def test_a_suspended_app_takes_its_terminal_again_and_gives_it_back(person: Person) -> None:
    """As when a debugger or a shell stops it: the shell changes the terminal's modes meanwhile."""
    terminal = Terminal(person)
    shell = termios.tcgetattr(terminal.side)
    terminal.until_it_works()
    app = termios.tcgetattr(terminal.side)
    os.kill(terminal.process.pid, signal.SIGSTOP)
    termios.tcsetattr(terminal.side, termios.TCSANOW, shell)
    terminal.seen = b""
    os.kill(terminal.process.pid, signal.SIGCONT)
    terminal.until(b"\x1b[?1049l", b"\x1b[?1049h", b"REHEARSAL")
    assert termios.tcgetattr(terminal.side) == app
    terminal.seen = b""
    terminal.process.terminate()
    terminal.until(b"\x1b[?1049l")
    assert terminal.status() == 4
    assert termios.tcgetattr(terminal.side) == shell


def test_an_exported_size_does_not_replace_the_terminals_own(person: Person) -> None:
    person.environ.update(COLUMNS="80", LINES="24")
    terminal = Terminal(person)
    terminal.until(b"\x1b[40;1H", ("─" * 100).encode())
    terminal.process.terminate()
    terminal.until(b"\x1b[?1049l")
    assert terminal.status() == 4
