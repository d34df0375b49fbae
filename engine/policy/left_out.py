"""Says what of an agent's work does not land, and why, in a few lines whatever the number of files."""

from collections import defaultdict
from collections.abc import Mapping

REASONS = 8
PATHS = 6
"""The most reasons that are named, and the most paths for each of them."""
WIDTH = 100
"""The most characters of a path that are shown."""


def left_out_lines(left_out: Mapping[str, str]) -> list[str]:
    """One line for each reason, with its paths, those nearest to the top first."""
    paths: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(left_out, key=lambda path: (path.rstrip("/").count("/"), path)):
        paths[left_out[path]].append(path if len(path) <= WIDTH else f"{path[:WIDTH]}…")
    lines = [f"{_few(named)} ({why})" for why, named in list(paths.items())[:REASONS]]
    return [*lines, f"and for {len(paths) - REASONS} more reasons"] if len(paths) > REASONS else lines


def _few(paths: list[str]) -> str:
    more = [f"{len(paths) - PATHS} more"] if len(paths) > PATHS else []
    return ", ".join(paths[:PATHS] + more)


def concerns(left_out: str, written: str) -> bool:
    """Whether a path that is left out is the written file, or a folder that it is in."""
    return written == left_out or written.startswith(f"{left_out.rstrip('/')}/")
