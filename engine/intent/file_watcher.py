"""Watches a file with the intent in the person's work tree: saving it adds a version of the intent."""

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from engine.domain.commands import SubmitIntent
from engine.domain.errors import SwarmError
from engine.domain.notes import answers_in
from engine.domain.types import Intent, Micros
from engine.intent.text import without_comments
from engine.ports.protocols import Clock

LOOK_S = 2.0
"""Seconds between two reads. A text counts once it is the same in two reads in a row."""
MOST = 256 * 1024
"""The most bytes of the file."""


class FileState(NamedTuple):
    """When the file was written or moved to its place, and its text without comments, or what is wrong with it."""

    written: Micros = 0
    text: str = ""
    problem: str = ""


@dataclass(frozen=True)
class IntentFileWatcher:
    """`running` returns the newest version, `submit` adds one, `warn` reports why a file was not used."""

    file: Path
    clock: Clock
    running: Callable[[], Intent | None]
    submit: Callable[[SubmitIntent], Awaitable[None]]
    warn: Callable[[str], None]

    async def run(self) -> None:
        """Run until cancelled. An edit from before the process started counts, too, if it is newer than the intent."""
        before, told = FileState(), ""
        while True:
            now = await asyncio.to_thread(self._look)
            if now == before and now.problem not in ("", told):
                self.warn(f"{self.file.name} {now.problem}: the intent is unchanged")
            elif now == before and not now.problem and self._is_new(now):
                try:
                    await self.submit(SubmitIntent(self._with_answers(now.text), author=f"file {self.file.name}"))
                except SwarmError as error:
                    self.warn(f"{self.file.name} was not used: {error.message}")
            told = now.problem if now == before else told
            before = now
            await self.clock.sleep(LOOK_S)

    def _is_new(self, now: FileState) -> bool:
        intent = self.running()
        if intent is None or now.written <= intent.at:
            return False
        return intent.text.strip() not in (now.text.strip(), self._with_answers(now.text).strip())

    def _with_answers(self, text: str) -> str:
        """The file's text with the answers to questions about the intent, unless it has some itself."""
        intent = self.running()
        answers = answers_in(intent.text) if intent is not None else ""
        return f"{text.rstrip()}\n\n{answers}\n" if answers and not answers_in(text) else text

    def _look(self) -> FileState:
        """Read the file. Follows no link, not even in its path, because a repository's settings may name the file."""
        if os.path.realpath(self.file.parent) != str(self.file.parent):
            return FileState(problem="is a link or cannot be read")
        try:
            fd = os.open(self.file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return FileState(problem="does not exist")
        except OSError:
            return FileState(problem="is a link or cannot be read")
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(file.fileno())
            written = max(status.st_mtime_ns, status.st_ctime_ns) // 1_000  # a file that was moved here keeps its mtime
            if not stat.S_ISREG(status.st_mode):
                return FileState(problem="is not a regular file")
            if status.st_size > MOST:
                return FileState(problem=f"is larger than {MOST >> 10} KiB")
            try:
                text = without_comments(file.read(MOST + 1).decode("utf-8"))
            except UnicodeDecodeError:
                return FileState(problem="is not UTF-8 text")
            return FileState(written, text) if text.strip() else FileState(problem="is empty")
