"""The command line: `swarm-tui`."""


def main() -> int:
    """Run the command line; returns its exit status."""
    return 0
