"""Signals and terminals that close, stand still or send anything: the engine obeys, and the process ends."""

import os
import signal
import termios
from pathlib import Path

import pytest

from tests.tui.command_line import Person
from tests.tui.owners import WAIT_S, until
from tests.tui.terminals import LEFT, Terminal, terminal_with
from tui.bridge import RunListing, RunState, list_runs

SLOW = ("demo", "notes", "--speed", "0.2")
"""A run that takes a while."""


def works(terminal: Terminal) -> None:
    terminal.shows(b"REHEARSAL", b"thinking")


def the_run(person: Person) -> RunListing:
    [run] = list_runs(person.state)
    return run


@pytest.mark.parametrize("controlling", [True, False], ids=["signalled", "silent"])
def test_a_run_continues_to_its_end_after_its_terminal_closes(person: Person, controlling: bool) -> None:
    with terminal_with(person, *SLOW, controlling=controlling) as terminal:
        works(terminal)
        terminal.close()
        assert terminal.process.wait() == 0
        assert (the_run(person).state, the_run(person).live) == (RunState.FINISHED, False)


def test_the_app_paints_on_its_terminal_when_stderr_is_a_file(person: Person, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with terminal_with(person, *SLOW, stderr=log) as terminal:
        works(terminal)
        assert b"\x1b" not in log.read_bytes()
        assert terminal.terminate() == 4
    assert b"swarm-tui resume" in log.read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_stops_the_run_though_nobody_reads_the_terminal(person: Person, number: signal.Signals) -> None:
    with terminal_with(person, *SLOW) as terminal:
        works(terminal)
        terminal.stand_still()
        terminal.process.send_signal(number)
        assert terminal.process.wait(WAIT_S) == 4
        assert (the_run(person).state, the_run(person).live) == (RunState.STOPPED, False)


def test_a_signal_stops_a_run_whose_terminal_has_closed(person: Person) -> None:
    with terminal_with(person, *SLOW) as terminal:
        works(terminal)
        terminal.close()
        until(lambda: os.readlink(f"/proc/{terminal.process.pid}/fd/0") == os.devnull)
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(WAIT_S) == 4
        assert (the_run(person).state, the_run(person).live) == (RunState.STOPPED, False)


def test_a_second_signal_ends_the_process_without_waiting_for_agents(person: Person) -> None:
    with terminal_with(person, *SLOW) as terminal:
        works(terminal)
        terminal.stand_still()
        terminal.process.send_signal(signal.SIGTERM)
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(WAIT_S) == 4
        assert not the_run(person).live


def test_bytes_that_are_no_text_do_not_end_the_app(person: Person) -> None:
    with terminal_with(person, *SLOW) as terminal:
        works(terminal)
        terminal.types(b"\xe9\xff\x80")
        while b"j k scroll" not in terminal.seen:
            terminal.types(b"?")  # one that arrives with these bytes is dropped with them
            terminal.read_for(1.0)
        assert terminal.terminate() == 4


def test_a_suspended_app_takes_its_terminal_again_and_gives_it_back(person: Person) -> None:
    """As when a debugger or a shell stops it: the shell changes the terminal's modes meanwhile."""
    with terminal_with(person, *SLOW) as terminal:
        shell = termios.tcgetattr(terminal.side)
        works(terminal)
        app = termios.tcgetattr(terminal.side)
        os.kill(terminal.process.pid, signal.SIGSTOP)
        termios.tcsetattr(terminal.side, termios.TCSANOW, shell)
        terminal.seen = b""
        os.kill(terminal.process.pid, signal.SIGCONT)
        terminal.shows(LEFT, b"\x1b[?1049h", b"REHEARSAL")
        assert termios.tcgetattr(terminal.side) == app
        terminal.seen = b""
        assert terminal.terminate() == 4
        assert termios.tcgetattr(terminal.side) == shell


def test_an_exported_size_does_not_replace_the_terminals_own(person: Person) -> None:
    person.environ.update(COLUMNS="80", LINES="24")
    with terminal_with(person, *SLOW) as terminal:
        terminal.shows(b"\x1b[40;1H", ("─" * 100).encode())
        assert terminal.terminate() == 4
