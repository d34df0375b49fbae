"""Signals and closed streams: the program stops cleanly, says how to resume, and the run can be resumed."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from tests.faults.programs import LOAD, Case, Seen, until
from tests.tui.owners import until as wait_until

SLOW = "rehearsal:load?speed=5&planners=0&tasks=4&conflicts=0&shell=0&seed=3"
"""The model takes longer to answer than a stop waits."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_run_stopped_by_a_signal_can_be_resumed(tmp_path: Path, number: signal.Signals) -> None:
    case = Case(tmp_path, "load", LOAD)
    process = case.started()
    until(process, "landing_finished", 2)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == 4, case.said[-2000:]
    case.none_survive()
    assert f"hint: to continue: swarm-tui resume {case.run.run}" in case.said
    assert (case.run.state, case.run.exit_status, case.run.live) == ("stopped", 4, False)
    assert case.to_its_end() == 0, case.said[-2000:]
    case.examine()


@pytest.mark.parametrize("whole", [False, True], ids=["the program", "all that it has started"])
def test_a_suspended_run_continues_when_it_is_resumed(tmp_path: Path, whole: bool) -> None:
    """As with ctrl+z and `fg`, or on a machine that is suspended."""
    case = Case(tmp_path, "load", LOAD)
    process = case.started()
    until(process, "landing_finished")
    for _ in range(3):
        until(process, "tool_started", 4)
        stopped = [process.pid]
        process.send_signal(signal.SIGTSTP)
        if whole:
            for pid in case.processes():
                with suppress(ProcessLookupError):  # the command has just ended
                    os.kill(pid, signal.SIGSTOP)
                    stopped.append(pid)
        while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.01)
        time.sleep(0.3)  # during which none of its processes moves
        for pid in reversed(stopped):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    process.communicate()
    assert process.returncode == 0, case.said[-2000:]
    case.none_survive()
    assert case.ask("SELECT sum(losses), sum(failures) FROM tasks") == [(0, 0)]
    case.examine()


def test_a_second_signal_ends_the_program_at_once_without_loss(tmp_path: Path) -> None:
    case = Case(tmp_path, "load", SLOW)
    process = case.started()
    until(process, "task_started", 4)
    process.send_signal(signal.SIGINT)
    wait_until(lambda: "at the next safe points" in case.said)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 4, case.said[-2000:]
    assert "stopping immediately" in case.said
    assert "Traceback" not in case.said
    case.none_survive()
    assert case.run.unfinished
    assert case.ask("SELECT sum(failures) FROM tasks") == [(0,)]


def test_a_closed_output_pipe_does_not_stop_the_run(tmp_path: Path) -> None:
    case = Case(tmp_path, "load", LOAD)
    process = case.started()
    until(process, "landing_finished")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait() == 0, case.said[-2000:]
    case.examine()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_run_goes_on_while_nobody_reads_its_output_and_then_tells_all(tmp_path: Path, stream: str) -> None:
    case = Case(tmp_path, "load", LOAD)
    process, unread = _unread(case, stream)
    wait_until(lambda: case.runs() and case.run.state == "finished")
    said = b"".join(iter(lambda: os.read(unread, 65536), b""))
    assert process.wait() == 0
    if stream == "stdout":
        events = [msgspec.json.decode(line, type=Seen) for line in said.strip().splitlines()]
        assert [event.seq for event in events[:-1]] == list(range(1, case.run.last_seq + 1))
    else:
        assert b"finished" in said
    case.examine()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_signal_stops_a_run_whose_output_nobody_reads(tmp_path: Path, stream: str) -> None:
    case = Case(tmp_path, "load", SLOW)
    process, unread = _unread(case, stream)
    wait_until(lambda: case.runs() and case.run.last_seq > 20)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 4
    os.close(unread)
    case.none_survive()
    assert case.run.unfinished


def _unread(case: Case, stream: str) -> "tuple[subprocess.Popen[bytes], int]":
    """The program, whose run has begun and one of whose outputs is a full pipe, and that pipe's other end."""
    unread, written = os.pipe()
    other = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(
        case.command(), env=case.environ({}), cwd=case.home, stdin=subprocess.DEVNULL, **{**other, stream: written}
    )
    wait_until(lambda: case.runs() and case.run.last_seq)
    filler = os.open(f"/dev/fd/{written}", os.O_WRONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(filler, b"\n" * 4096)
    os.close(written)
    os.close(filler)
    return process, unread


def test_a_run_whose_terminal_is_gone_still_ends(tmp_path: Path) -> None:
    case = Case(tmp_path, "load", LOAD)
    read, write = os.pipe()
    process = subprocess.Popen(
        ["sh", "-c", 'exec "$0" "$@"', *case.command()],
        env={name: value for name, value in case.environ({}).items() if name != "PYTHONUNBUFFERED"},
        cwd=case.home,
        stdin=subprocess.DEVNULL,
        stdout=write,
        stderr=write,
    )
    os.close(write)
    os.read(read, 200)
    os.close(read)
    assert process.wait() == 0
    case.examine()
