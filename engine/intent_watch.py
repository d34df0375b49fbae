"""Watches the intent's file in the person's work tree, when the settings say so: an edit becomes a version."""

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

from engine.commands import SubmitIntent
from engine.errors import SwarmError
from engine.intent_text import without_comments
from engine.protocols import Clock
from engine.types import Intent, Micros

LOOK_S = 2.0
"""Seconds between two looks; a text has to stand still from one to the next."""
MOST = 256 * 1024
"""Bytes of an intent's file at most."""


class IntentWatch:
    """`running` gives the newest version, `submit` takes another."""

    def __init__(
        self,
        file: Path,
        clock: Clock,
        running: Callable[[], Intent | None],
        submit: Callable[[SubmitIntent], Awaitable[None]],
    ) -> None:
        self._file = file
        self._clock = clock
        self._running = running
        self._submit = submit

    async def run(self) -> None:
        """Until cancelled. An edit made while no process owned the run counts, too: the file is newer then."""
        before: tuple[Micros, str] | None = None
        while True:
            now = await asyncio.to_thread(self._read)
            if now is not None and now == before and self._is_new(*now):
                try:
                    await self._submit(SubmitIntent(now[1], author=f"file {self._file.name}"))
                except SwarmError:
                    pass  # what it says is no intent: an empty file, half an edit
            before = now
            await self._clock.sleep(LOOK_S)

    def _is_new(self, written: Micros, text: str) -> bool:
        intent = self._running()
        return bool(text.strip()) and intent is not None and written > intent.at and text.strip() != intent.text.strip()

    def _read(self) -> tuple[Micros, str] | None:
        """When the file was written and what agents would be told; None when it cannot be read. Follows no link."""
        try:
            fd = os.open(self._file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > MOST:
                return None
            return status.st_mtime_ns // 1_000, without_comments(file.read().decode("utf-8", "replace"))
