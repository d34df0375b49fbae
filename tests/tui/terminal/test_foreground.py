"""Detaching gives the prompt back at once, and the engine does not notice: same process, nothing begun again."""

import os
import signal
import sqlite3
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.tui.command_line import Person
from tests.tui.owners import until
from tests.tui.terminals import LEFT, Terminal, terminal_with
from tests.tui.tmux import TMUX, in_tmux
from tui.bridge import RunListing, RunState, list_runs


@contextmanager
def detached(person: Person, *words: str) -> Iterator[tuple[RunListing, Terminal]]:
    """A run that its user detached from while its agents worked, and the terminal."""
    with terminal_with(person, "demo", "notes", *words) as terminal:
        terminal.shows(b"thinking")
        terminal.types(b"q")
        terminal.shows(b"the run continues without this screen")
        terminal.types(b"d")
        terminal.until(lambda: terminal.process.poll() is not None)
        [run] = list_runs(person.state)
        try:
            yield run, terminal
        finally:
            if run.live and run.pid is not None:
                os.kill(run.pid, signal.SIGKILL)


def test_a_detached_run_continues_in_the_same_process_without_a_terminal(person: Person) -> None:
    with detached(person, "--speed", "0.5") as (run, terminal):
        assert terminal.process.returncode == 0
        assert run.live
        assert run.state is RunState.RUNNING
        assert run.pid is not None
        assert os.getsid(run.pid) == run.pid
        assert os.readlink(f"/proc/{run.pid}/cwd") == "/"
        assert {os.readlink(f"/proc/{run.pid}/fd/{number}") for number in (0, 1, 2)} == {
            os.devnull,
            str(run.folder.log),
        }
        assert f"process {run.pid}".encode() in terminal.seen
        assert f"swarm-tui attach {run.run}".encode() in terminal.seen
        until(lambda: list_runs(person.state)[0].state is RunState.FINISHED)
        with sqlite3.connect(f"file:{run.folder.journal}?mode=ro", uri=True) as journal:
            assert journal.execute("SELECT DISTINCT epoch FROM events").fetchall() == [(1,)]
            assert journal.execute("SELECT path FROM agents WHERE state = 'failed'").fetchall() == []
            assert journal.execute("SELECT max(attempt) FROM tasks").fetchall() == [(1,)]


def test_a_detached_run_stops_at_a_signal(person: Person) -> None:
    with detached(person, "--speed", "3") as (run, _):
        assert run.pid is not None
        os.kill(run.pid, signal.SIGTERM)
        until(lambda: list_runs(person.state)[0].state is RunState.STOPPED)


def test_a_run_whose_shells_process_is_killed_stops_and_leaves_the_terminal(person: Person) -> None:
    with terminal_with(person, "demo", "notes", "--speed", "0.5") as terminal:
        terminal.shows(b"thinking")
        terminal.process.kill()
        terminal.shows(b"swarm-tui resume")
        assert terminal.seen.rindex(LEFT) < terminal.seen.rindex(b"swarm-tui resume")
        until(lambda: not list_runs(person.state)[0].live)
        assert list_runs(person.state)[0].state is RunState.STOPPED


@pytest.mark.skipif(TMUX is None, reason="tmux is not installed")
def test_a_shell_that_restores_no_terminal_is_usable_after_the_program_is_killed(tmp_path: Path) -> None:
    with in_tmux(tmp_path) as tmux:
        tmux.program("demo notes --speed 0.5")
        tmux.shows("thinking")
        [run] = list_runs(tmux.state)
        assert run.pid is not None
        os.kill(int(Path(f"/proc/{run.pid}/stat").read_text().split()[3]), signal.SIGKILL)
        tmux.shows("error: the process that the shell waited for was killed\n(.*\n)+.*swarm-tui resume")
        until(lambda: not list_runs(tmux.state)[0].live)
        tmux("send-keys", "-l", "echo $((6 * 7)) is shown")
        tmux.keys("Enter")
        tmux.shows("echo .*is shown\n42 is shown")


def test_a_killed_app_leaves_the_terminal_and_the_repository_as_they_were(person: Person) -> None:
    with terminal_with(person, "demo", "notes", "--speed", "0.5") as terminal:
        before = termios.tcgetattr(terminal.side)
        terminal.shows(b"thinking")
        [run] = list_runs(person.state)
        assert run.pid is not None
        os.kill(run.pid, signal.SIGKILL)
        terminal.until(lambda: terminal.process.poll() is not None)
        terminal.shows(b"error: the program was killed by SIGKILL")
        assert b"unexpected" not in terminal.seen
        assert terminal.seen.rindex(LEFT) < terminal.seen.rindex(b"to list runs that you can resume")
        assert termios.tcgetattr(terminal.side) == before
        [repo] = (person.state / "demo").iterdir()
        assert (repo / ".git").is_dir()


def test_the_shells_process_ends_as_its_child_does() -> None:
    assert _status_of("return 3") == 3
    assert _status_of("import os, signal; os.kill(os.getpid(), signal.SIGKILL)") == -signal.SIGKILL
    assert _status_of("import os, signal; os.kill(os.getpid(), signal.SIGTERM)") == -signal.SIGTERM


def test_a_signal_to_the_shells_process_reaches_its_child() -> None:
    assert (
        _status_of("import os, signal, time; os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)") == -signal.SIGTERM
    )


def _status_of(child: str) -> int:
    """The exit status of a shell's process whose child does this."""
    body = f"def child():\n    {child}\n"
    words = "import sys\nfrom tui.terminal.foreground import Foreground\n"
    ends = "foreground = Foreground()\nsys.exit(child() if foreground.enter() else foreground.wait())\n"
    return subprocess.run([sys.executable, "-c", words + body + ends], check=False).returncode
