"""Shows a text through the person's pager: $PAGER, or else less or more; unpaged without a terminal."""

import os
import shutil
import signal
import subprocess
import sys

NOT_FOUND = 127
"""The exit status of a shell that could not find the command."""


def page(content: bytes) -> None:
    """Show the text; returns when the pager exits. Raises OSError if stdout cannot be written."""
    command = _pager()
    if not (command and _paged(command, content)):
        sys.stdout.flush()
        sys.stdout.buffer.write(content)


def _pager() -> str:
    """The pager's command line; empty if there is none."""
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return ""
    found = next((command for command in ("less -R", "more") if shutil.which(command.split()[0])), "")
    return os.environ.get("PAGER", found)


def _paged(command: str, content: bytes) -> bool:
    """Run the pager; returns False if its command does not exist."""
    # As git does: exit if the text fits on the screen, show colours, and leave the text on the screen.
    environ = {"LESS": "FRX", **os.environ}
    with subprocess.Popen(["sh", "-c", command], stdin=subprocess.PIPE, env=environ) as process:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl+c is for the pager
        try:
            process.communicate(content)
        finally:
            signal.signal(signal.SIGINT, before)
    return process.returncode != NOT_FOUND
