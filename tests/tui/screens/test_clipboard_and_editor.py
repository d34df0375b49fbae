"""The clipboard, the editor and detaching, with the program in a real terminal: a private tmux server."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.git import git
from tests.tui.owners import until
from tests.tui.tmux import TMUX, Tmux, in_tmux
from tui.bridge import list_runs

pytestmark = pytest.mark.skipif(TMUX is None, reason="tmux is not installed")


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    with in_tmux(tmp_path) as server:
        yield server


def test_a_person_detaches_attaches_again_and_quits(tmux: Tmux, tmp_path: Path) -> None:
    tmux.program("demo notes --speed 2")
    tmux.shows("[1-9]\\d* working")
    tmux.keys("y")
    until(lambda: tmux("list-buffers"))
    assert tmux("show-buffer").startswith("root")
    tmux.keys("e")
    until((tmp_path / "text.md").exists)
    assert "planner" in (tmp_path / "text.md").read_text()
    tmux.shows("[1-9]\\d* working")
    tmux.keys("q")
    tmux.shows("continues without this screen")
    tmux.keys("d")
    tmux.shows("continues in process [0-9]+")
    [run] = list_runs(tmux.state)
    assert run.live
    tmux.program(f"attach {run.run}")
    tmux.shows("ATTACHED")
    tmux.shows("[1-9]\\d* working")
    tmux.keys("q")
    tmux.shows("continues without this screen")
    tmux.keys("s")
    tmux.shows(f"swarm-tui resume {run.run}")
    [run] = list_runs(tmux.state)
    assert not run.live
    assert run.unfinished


def test_a_first_run_starts_with_one_key_and_a_draft_survives_a_kill(tmux: Tmux, tmp_path: Path) -> None:
    repo = tmp_path / "project"
    repo.mkdir()
    (repo / "Makefile").write_text("test:\n\ttrue\n")
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "first"]):
        git(repo, *words)
    words = f"{repo} --model rehearsal:notes"
    tmux.program(words)
    for mark in (
        "what should the swarm build",
        "make test +\\(found in the project",
        "rehearsal:notes",
        "off, workspaces by",
    ):
        tmux.shows(mark)
    tmux("send-keys", "-l", "Five commands.")
    until(lambda: any(file.read_text() == "Five commands." for file in tmux.state.glob("*/draft.md")))
    [pid] = tmux("list-panes", "-F", "#{pane_pid}").split()
    [app] = subprocess.run(["pgrep", "-P", pid], capture_output=True, text=True, check=True).stdout.split()
    os.kill(int(app), 9)
    tmux.shows("[Kk]illed")
    tmux("send-keys", "-l", "\n stty sane; reset\n")
    tmux.program(words)
    tmux.shows("Five commands\\.")
    tmux.keys("F2")
    tmux.shows("1 agents|[1-9]\\d* working")
    until(lambda: not list(tmux.state.glob("*/draft.md")))
    tmux.keys("q", "s")
    tmux.shows("swarm-tui resume")
