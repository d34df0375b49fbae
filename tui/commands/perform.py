"""Runs a command and turns whatever goes wrong into two lines and an exit status."""

import errno
import os
import pkgutil
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tui.bridge import ExitStatus, Mask, SwarmError, secrets_of
from tui.commands.options import state_dir
from tui.format.text import one_line

FULL = (errno.ENOSPC, errno.EDQUOT)
BARRED = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)
"""What a path may be that a person names."""
Performed = Callable[[Namespace], int]


def perform(target: str, arguments: Namespace) -> int:
    """Call the command's function; returns the exit status. A person never sees a traceback."""
    try:
        return _perform(target, arguments)
    finally:
        try:
            sys.stderr.flush()
        except (OSError, ValueError):
            # Nobody reads it. What is still buffered would fail again when Python exits, which has a status for that.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _perform(target: str, arguments: Namespace) -> int:
    try:
        command: Performed = pkgutil.resolve_name(target)
        status = command(arguments)
        sys.stdout.flush()
        return int(status)
    except SwarmError as error:
        return report(error.message, error.hint, error.status)
    except BrokenPipeError:
        # The reader of stdout has seen enough. What is still buffered must not fail again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitStatus.DONE)
    except KeyboardInterrupt:
        return report("interrupted", "nothing is lost: `swarm-tui runs` lists what can be resumed", ExitStatus.STOPPED)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            where = f": {error.filename}" if error.filename else ""
            hint = "free some disk space, or keep runs on another disk with --state-dir"
            return report(f"there is no space left on the disk{where}", hint, ExitStatus.UNUSABLE)
        if isinstance(error, OSError) and error.errno in BARRED and error.filename:
            told = f"{str(error.filename)[:200]}: {error.strerror}"
            return report(told, "name another path, or see to its permissions", ExitStatus.UNUSABLE)
        return _unexpected(error, arguments)


def report(message: str, hint: str, status: ExitStatus) -> int:
    """The two lines of an error on stderr, without keys; returns the status."""
    masked = Mask(secrets_of(os.environ)).text
    sys.stderr.write(f"error: {masked(one_line(message))}\nhint: {masked(one_line(hint))}\n")
    sys.stderr.flush()
    return int(status)


def _unexpected(error: Exception, arguments: Namespace) -> int:
    """A fault of this program: the traceback goes to a log, of the run if one is known."""
    known: Path | None = getattr(arguments, "log", None)
    log = known or state_dir(arguments) / "errors.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(f"{datetime.now(UTC).isoformat()}\n")
            stream.write(Mask(secrets_of(os.environ)).text("".join(traceback.format_exception(error))))
        hint = f"the details are in {log}"
    except OSError as unwritable:
        hint = f"the details could not be written to {log}: {unwritable.strerror}"
    return report(f"unexpected: {type(error).__name__}: {error}", hint, ExitStatus.NOT_GREEN)
