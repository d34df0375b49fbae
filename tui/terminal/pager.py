"""Shows a text through the person's pager: $PAGER, or else less or more; unpaged without a terminal."""

import os
import shutil
import signal
import subprocess
import sys

NOT_FOUND = 127
"""The exit status of a shell that could not find the command."""


def page(content: bytes) -> None:
    """Returns when the person has left the pager. Raises OSError when stdout cannot be written."""
    command = _pager()
    if not (command and _paged(command, content)):
        sys.stdout.flush()
        sys.stdout.buffer.write(content)


def _pager() -> str:
    """The pager's command line; empty for none."""
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return ""
    found = next((command for command in ("less -R", "more") if shutil.which(command.split()[0])), "")
    return os.environ.get("PAGER", found)


def _paged(command: str, content: bytes) -> bool:
    """False when there is no such pager."""
    # As git does: leave at once if it fits on the screen, show colours, and keep the text there afterwards.
    environ = {"LESS": "FRX", **os.environ}
    with subprocess.Popen(["sh", "-c", command], stdin=subprocess.PIPE, env=environ) as process:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pager's
        try:
            process.communicate(content)
        finally:
            signal.signal(signal.SIGINT, before)
    return process.returncode != NOT_FOUND
