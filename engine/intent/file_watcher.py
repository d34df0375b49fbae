"""Watches the intent's file in the person's work tree, when the settings say so: an edit becomes a version."""

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from engine.domain.commands import SubmitIntent
from engine.domain.errors import SwarmError
from engine.domain.types import Intent, Micros
from engine.intent.text import without_comments
from engine.ports.protocols import Clock

LOOK_S = 2.0
"""Seconds between two looks; a text has to stand still from one to the next."""
MOST = 256 * 1024
"""Bytes of an intent's file at most."""


class FileState(NamedTuple):
    """The file as it stands: when it was written or put there, and what agents would be told, or why it is no good."""

    written: Micros = 0
    text: str = ""
    problem: str = ""


class IntentFileWatcher:
    """`running` gives the newest version, `submit` takes another, `warn` tells why a file is not taken."""

    def __init__(
        self,
        file: Path,
        clock: Clock,
        running: Callable[[], Intent | None],
        submit: Callable[[SubmitIntent], Awaitable[None]],
        warn: Callable[[str], None],
    ) -> None:
        self._file = file
        self._clock = clock
        self._running = running
        self._submit = submit
        self._warn = warn

    async def run(self) -> None:
        """Until cancelled. An edit made while no process owned the run counts, too: the file is newer then."""
        before, told = FileState(), ""
        while True:
            now = await asyncio.to_thread(self._look)
            if now == before and now.problem not in ("", told):
                self._warn(f"{self._file.name} {now.problem}: the intent stays as it is")
            elif now == before and not now.problem and self._is_new(now):
                try:
                    await self._submit(SubmitIntent(now.text, author=f"file {self._file.name}"))
                except SwarmError as error:
                    self._warn(f"{self._file.name} was not taken: {error.message}")
            told = now.problem if now == before else told
            before = now
            await self._clock.sleep(LOOK_S)

    def _is_new(self, now: FileState) -> bool:
        intent = self._running()
        return intent is not None and now.written > intent.at and now.text.strip() != intent.text.strip()

    def _look(self) -> FileState:
        """Follows no link, not on the way either: a repo's settings may name the file."""
        if os.path.realpath(self._file.parent) != str(self._file.parent):
            return FileState(problem="is a link or cannot be read")
        try:
            fd = os.open(self._file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return FileState(problem="is not there")
        except OSError:
            return FileState(problem="is a link or cannot be read")
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(file.fileno())
            written = max(status.st_mtime_ns, status.st_ctime_ns) // 1_000  # a file that is moved here keeps the former
            if not stat.S_ISREG(status.st_mode):
                return FileState(problem="is no regular file")
            if status.st_size > MOST:
                return FileState(problem=f"is larger than {MOST >> 10} KiB")
            try:
                text = without_comments(file.read(MOST + 1).decode("utf-8"))
            except UnicodeDecodeError:
                return FileState(problem="is not UTF-8 text")
            return FileState(written, text) if text.strip() else FileState(problem="is empty")
