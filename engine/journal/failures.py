"""The errors for what goes wrong with a journal's file, each with the file's name and a hint."""

import sqlite3
from pathlib import Path

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.os_text import path_text


class ResultTooLarge(SwarmError):  # noqa: N818 - a kind of SwarmError
    """A query's rows are larger than a reader takes at once; a caller that reads pages can ask for fewer."""

    def __init__(self, path: Path, found: str) -> None:
        error = damaged(path, found)
        super().__init__(error.kind, error.message, error.hint)


def damaged(path: Path, found: str) -> SwarmError:
    return SwarmError(
        ErrorKind.JOURNAL,
        f"{path_text(path)} is damaged: {found}",
        "nothing was changed; restore the file from a backup, or start a new run",
    )


def foreign(path: Path, found: str) -> SwarmError:
    """The error for a file, or a schema, that swarm-tui did not write."""
    return SwarmError(
        ErrorKind.JOURNAL,
        f"{path_text(path)} is not a journal as swarm-tui writes it: {found}",
        "nothing was read or changed; restore the run's folder from a source that you trust, or name another run",
    )


def cannot_open(path: Path, error: Exception, found: str = "") -> SwarmError:
    """The error for a journal that cannot be opened; `found` is the damage found in it, if any."""
    if found or is_damage(error):
        return damaged(path, found or str(error))
    if "interrupted" in str(error) or isinstance(error, MemoryError):
        return damaged(path, "its schema takes too long or too much memory to read")
    return SwarmError(
        ErrorKind.JOURNAL,
        f"{path_text(path)} cannot be opened: {error}",
        "check the folder's permissions and the free disk space",
    )


def cannot_write(path: Path, error: Exception) -> SwarmError:
    """The error while events cannot be written."""
    return SwarmError(
        ErrorKind.JOURNAL,
        f"{path_text(path)} cannot be written: {error}",
        "free some disk space and check the folder's permissions; the run continues once writing works",
    )


def cannot_read(path: Path, error: Exception) -> SwarmError:
    """The error for a failed query."""
    if is_damage(error):
        return damaged(path, str(error))
    if "interrupted" in str(error):
        return SwarmError(ErrorKind.JOURNAL, f"a query of {path_text(path)} timed out", "ask for less at a time")
    if isinstance(error, MemoryError):
        return damaged(path, "a query needs more memory than any run's does")
    if "no such table" in str(error) or "no such column" in str(error):
        message = f"{path_text(path)} was written by an older swarm-tui and lacks the data for this query"
        return SwarmError(ErrorKind.JOURNAL, message, "resume the run once: that migrates its journal")
    return SwarmError(ErrorKind.JOURNAL, f"{path_text(path)} cannot be read: {error}", "check the disk")


def is_damage(error: Exception) -> bool:
    """Whether SQLite reports with it that the file is damaged."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, (sqlite3.OperationalError, sqlite3.ProgrammingError, sqlite3.IntegrityError)
    )
