"""Opens the app on a made-up swarm, to look at it: `python -m tests.tui [AGENTS] [THEME]`."""

import sys

from tests.tui.swarms import swarm
from tui.app import run_app
from tui.bridge import Settings, Start

if __name__ == "__main__":
    agents = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    theme = sys.argv[2] if len(sys.argv) > 2 else None
    start = None
    if agents == 0:
        start = Start(
            "/home/ada/src/mdconv",
            "main",
            "make test",
            {"planner": "anthropic:claude", "worker": "openai:gpt"},
            "namespaced",
            ("3 files are not committed: agents will not see them",),
        )
    sys.exit(run_app(lambda intent: swarm(agents or 8), settings=Settings(), start=start, theme=theme))
