"""Detaching: the run continues in a process without a screen, or stops and can be resumed."""

import os
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.tui.embedded import beginning
from tests.tui.owners import SLOW, WAIT_S, until
from tui.bridge import RunState, SwarmError, find_run, list_runs
from tui.sessions.embedded import EmbeddedSession
from tui.sessions.hand_over import hand_over
from tui.sessions.session import CloseMode


def working(tmp_path: Path, *program: str) -> EmbeddedSession:
    """A session with working agents that hands its run over to `program`, or to the real one."""
    options = ["--state-dir", str(tmp_path / "state")]
    ways = partial(hand_over, options=options, program=program) if program else partial(hand_over, options=options)
    session = EmbeddedSession(beginning(tmp_path, SLOW), ways)
    session.start()
    until(lambda: session.latest()[1].tasks, session)
    return session


def test_a_detached_run_continues_in_a_process_of_its_own(tmp_path: Path) -> None:
    session = working(tmp_path)
    assert session.no_detach == ""
    session.close(CloseMode.DETACH).result(WAIT_S)
    assert session.failure() is None
    assert session.exit_status() == 0
    [run] = list_runs(tmp_path / "state")
    assert run.live
    assert run.pid is not None
    assert run.pid != os.getpid()
    try:
        assert os.getsid(run.pid) == run.pid
        assert os.readlink(f"/proc/{run.pid}/cwd") == "/"
        assert f"process {run.pid}" in session.exit_note
        assert f"swarm-tui attach {run.run}" in session.exit_note
        assert session.latest()[1].state is RunState.STOPPED
        until(lambda: find_run(tmp_path / "state", run.run).state is RunState.RUNNING)
    finally:
        os.kill(run.pid, 9)


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (("import sys; sys.exit('error: the disk is full')",), "the disk is full"),
        (("import sys; sys.exit(2)",), "it wrote no error"),
    ],
)
def test_a_failed_detach_gives_the_reason_and_the_run_can_be_resumed(
    tmp_path: Path, program: tuple[str], why: str
) -> None:
    session = working(tmp_path, sys.executable, "-c", *program)
    session.close(CloseMode.DETACH).result(WAIT_S)
    failure = session.failure()
    assert isinstance(failure, SwarmError)
    assert why in failure.message
    [run] = list_runs(tmp_path / "state")
    assert f"swarm-tui resume {run.run}" in failure.hint
    assert not run.live
    assert run.unfinished
    assert run.state is RunState.STOPPED
