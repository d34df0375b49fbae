"""Opens the app on a made-up swarm, to look at it: `python -m tests.tui [AGENTS|start|hostile] [THEME]`."""

import os
import sys

from tests.tui.fake_session import FakeSession
from tests.tui.hostile import hostile_session
from tests.tui.swarms import swarm
from tui.app import run_app
from tui.bridge import Settings
from tui.sessions.launch import Launch, NewRun, RunPlan
from tui.style.theme import choose_theme

PLAN = RunPlan(
    "/home/me/src/mdconv",
    "main",
    "make test",
    {"planner": "anthropic:large", "worker": "openai:small"},
    "namespaced",
    ("3 changed files are not committed: agents will not see the changes",),
)


def open_session(what: str) -> FakeSession:
    if what == "hostile":
        return hostile_session()
    return swarm(int(what) if what.isdigit() else 60)


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else "60"
    themes = choose_theme(sys.argv[2] if len(sys.argv) > 2 else "midnight", None, os.environ)
    new_run = NewRun(PLAN, lambda: PLAN.sandbox_level, lambda check: None) if what == "start" else None
    sys.exit(run_app(Launch(lambda intent: open_session(what), Settings(), new_run), themes))
