"""A walk by keys through every pane, tab and screen, in a real tmux at its defaults, reading the screen back."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.tmux import TMUX, Tmux, in_tmux
from tui.bridge import list_runs

pytestmark = pytest.mark.skipif(TMUX is None, reason="tmux is not installed")

WALK: tuple[tuple[str, str], ...] = (
    # every pane, from each to the next
    ("2", r"enter open|\? help"),
    ("3", r"enter open +d diff"),
    ("4", r"f follow"),
    ("5", r"r time range"),
    ("1", r"/ filter"),
    ("Tab", r"1 agents"),
    ("1", r"/ filter"),
    # the tree: a filter with an error in it, one that matches, none; folds, marks, orders
    ("/ state:sleeping", r"state: must be|state:.*sleeping"),
    ("Escape", r"1 agents · \d+ · running first"),
    ("/ role:planner Enter", r"/role:planner \d+ of \d+"),
    ("Escape", r"1 agents · \d+ · running first"),
    ("j h", r"1 agents"),
    ("- =", r"▾"),
    ("o", r"oldest first"),
    ("o", r"sorted: most tokens"),
    ("Space", r"1 marked"),
    ("Escape", r"1 agents · \d+ · most tokens │|1 agents · \d+ · most tokens ─"),
    # the detail of a worker, tab by tab
    ("/ role:worker Enter G", r"w-\d+"),
    ("2 ]", r"⋯ line \d+"),
    ("l h n N | w w", r"\+\d+"),
    ("]", r"submit_handoff|▶"),
    ("k k", r"▶"),
    ("]", r"[Gg]oal"),
    ("]", r"version \d+ of|No scratchpad yet"),
    ("]", r"handoff|agent done"),
    ("[", r"version \d+ of|No scratchpad yet"),
    ("+", r"1 agents.*2 detail.*3 handoffs"),
    ("_ 1", r"5 resources"),
    ("Escape", r"1 agents · \d+ · most tokens"),
    # handoffs: the list, the reader, and on to the task
    ("3 Enter", r"handoff 1 of \d+"),
    ("n", r"handoff 2 of \d+"),
    ("Escape", r"3 handoffs · \d+"),
    ("t", r"Acceptance|Goal"),
    ("3 d", r"2 detail"),
    # events: looking back, every kind, a filter, following again
    ("4 g", r"not following"),
    ("a", r"all kinds"),
    ("/ kind:task_ended Enter", r"/kind:task_ended \d+ of \d+"),
    ("Escape", r"4 events · all kinds"),
    ("f", r"following"),
    # resources
    ("5 r", r"5 resources · 1 h"),
    ("+ o", r"top users"),
    ("_", r"4 events"),
    # what lies over the panes: help, palette, themes, the intent with its versions, leaving
    ("?", r"this pane"),
    ("Escape", r"5 resources · 1 h"),
    ("C-p", r"Focus the agents"),
    ("Escape", r"5 resources · 1 h"),
    ("T", r"daylight"),
    ("Escape", r"theme: midnight"),
    ("F", r"SCREEN FROZEN"),
    ("F", r"screen live again"),
    ("!", r"nothing needs you|1 of \d+"),
    ("i", r"v1 +draft"),
)
"""Keys as tmux names them, one word each, and what the screen shows then."""


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    with in_tmux(tmp_path) as server:
        yield server


def test_every_pane_and_screen_is_reached_by_keys(tmux: Tmux) -> None:
    words = ["demo", "notes", "--speed", "0", "--headless", "--check", "", "--state-dir", str(tmux.state)]
    environ = {**os.environ, "SWARM_SANDBOX_LEVEL": "off"}
    subprocess.run([sys.executable, "-m", "tui", *words], env=environ, check=True, capture_output=True)
    [run] = list_runs(tmux.state)
    tmux.program(f"attach {run.run}")
    tmux.shows(r"1 agents · \d+")
    for keys, mark in WALK:
        tmux.walk(keys)
        tmux.shows(mark)
    tmux.keys("C-c")
    tmux.shows(r"to merge it: git merge")
