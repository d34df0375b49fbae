"""Runs a command, and turns whatever goes wrong into an error line, a hint line and an exit status."""

import errno
import os
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tui.bridge import ExitStatus, Mask, SwarmError, log_text, path_text, secrets_of
from tui.commands.options import state_dir
from tui.format.text import one_line

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
BAD_PATH = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)
"""Errors of a path that a person names, which are not faults of this program."""
Performed = Callable[[Namespace], int]


def perform(load: Callable[[], Performed], arguments: Namespace) -> int:
    """Loads the command's function and calls it; returns the exit status. Never prints a traceback."""
    try:
        return _perform(load, arguments)
    finally:
        try:
            sys.stderr.flush()
        except (OSError, ValueError):
            # Nobody reads stderr. What is still buffered would fail again when Python exits, with a status of its own.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _perform(load: Callable[[], Performed], arguments: Namespace) -> int:
    try:
        status = load()(arguments)
        sys.stdout.flush()
        return status
    except SwarmError as error:
        return report(error.message, error.hint, error.status)
    except BrokenPipeError:
        # The reader of stdout closed it. What is still buffered must not fail again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitStatus.DONE)
    except KeyboardInterrupt:
        return report(
            "interrupted", "nothing is lost; to list runs that you can resume: swarm-tui runs", ExitStatus.STOPPED
        )
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            where = f": {path_text(os.fsdecode(error.filename))}" if error.filename else ""
            hint = "free some disk space, or use another disk with --state-dir"
            return report(f"no space left on the disk{where}", hint, ExitStatus.UNUSABLE)
        if isinstance(error, OSError) and error.errno in BAD_PATH and error.filename:
            message = f"{path_text(os.fsdecode(error.filename))[:200]}: {error.strerror}"
            return report(message, "use another path, or check its permissions", ExitStatus.UNUSABLE)
        return _unexpected(error, arguments)


def report(message: str, hint: str, status: ExitStatus) -> int:
    """Prints an error and its hint to stderr, with API keys masked; returns the status."""
    masked = Mask(secrets_of(os.environ)).text
    sys.stderr.write(f"error: {masked(one_line(message))}\nhint: {masked(one_line(hint))}\n")
    sys.stderr.flush()
    return int(status)


def _unexpected(error: Exception, arguments: Namespace) -> int:
    """A fault of this program: writes the traceback to the run's log, or to a general one if there is no run."""
    known: Path | None = getattr(arguments, "log", None)
    log = known or state_dir(arguments) / "errors.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(f"{datetime.now(UTC).isoformat()}\n")
            trace = Mask(secrets_of(os.environ)).text("".join(traceback.format_exception(error)))
            stream.write(log_text(trace))
        hint = f"details are in {path_text(log)}"
    except OSError as unwritable:
        hint = f"cannot write details to {path_text(log)}: {unwritable.strerror}"
    return report(f"unexpected error: {type(error).__name__}: {error}", hint, ExitStatus.NOT_GREEN)
