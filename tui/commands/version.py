"""`swarm-tui --version`: the version that is installed."""

import sys
from importlib.metadata import version


def show_version() -> int:
    """Print the version; returns the exit status."""
    sys.stdout.write(f"swarm-tui {version('swarm-tui')}\n")
    return 0
