"""Has changes made in a process of their own while there are many: the program has one interpreter lock for all."""

import asyncio
import contextlib
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import msgpack

from engine.domain.types import CommitId
from engine.repo.changes.commit_builder import Made, Order, Setting, frame
from engine.repo.git.ignores import Rules

MANY = 16
"""FileChanges at once from which on the process is worth its start."""
TOGETHER = 64
LONGEST_S = 60.0
"""Seconds for one answer; then all is done without the process."""
_ANSWERS = msgpack.Decoder(list[Made | None])
TROUBLE = (OSError, EOFError, TimeoutError, ValueError, msgspec.MsgspecError)
_TOP = Path(__file__).parents[3]


class Maker:
    """Use from one event loop. Without the process, at first and once it has failed, changes are made in threads."""

    def __init__(self, git_dir: Path, *, usable: bool) -> None:
        self._git_dir = git_dir
        self._usable = usable
        self._at_once = 0
        self._waiting: list[tuple[Order, asyncio.Future[Made | None]]] = []
        self._process: asyncio.subprocess.Process | None = None
        self._starting: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None

    async def make(
        self, order: Order, excludes: Rules, keep: Callable[[Made], CommitId], here: Callable[[], CommitId]
    ) -> CommitId:
        """`keep` takes what the process made; `here` makes it in this one, in a thread. Raises what they raise."""
        self._at_once += 1
        try:
            if self._process is not None:
                if (made := await self._ask(order)) is not None:
                    return keep(made)
            elif self._usable and self._at_once >= MANY:
                self._usable = False  # it is started once
                self._starting = asyncio.create_task(self._start(excludes), name="making changes")
            return await asyncio.to_thread(here)
        finally:
            self._at_once -= 1

    async def _start(self, excludes: Rules) -> None:
        process = None
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "engine.repo.changes.commit_builder"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(_TOP)},
                start_new_session=True,
            )
            assert process.stdin is not None
            process.stdin.write(frame(Setting(os.fsencode(self._git_dir), excludes)))
            await _asked(process, [])
            self._process, process = process, None
        except TROUBLE:
            pass
        finally:
            if process is not None:
                await _killed(process)

    async def _ask(self, order: Order) -> Made | None:
        told: asyncio.Future[Made | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((order, told))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._answer(), name="making changes")
        return await told

    async def _answer(self) -> None:
        asked: list[tuple[Order, asyncio.Future[Made | None]]] = []
        try:
            while self._waiting and self._process is not None:
                asked, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
                answers = await _asked(self._process, [order for order, _ in asked])
                for (_, told), answer in zip(asked, answers, strict=True):
                    if not told.done():
                        told.set_result(answer)
        except TROUBLE:
            await self._end()
        finally:
            for _, told in (*asked, *self._waiting):
                if not told.done():
                    told.set_result(None)
            self._waiting = []

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await _killed(process)

    async def close(self) -> None:
        """End the process; what it was making is made here."""
        self._usable = False
        for task in (self._starting, self._asking):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await self._end()


async def _killed(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def _asked(process: asyncio.subprocess.Process, orders: list[Order]) -> list[Made | None]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(frame(orders))
    await process.stdin.drain()
    [length] = struct.unpack(">I", await process.stdout.readexactly(4))
    answers = _ANSWERS.decode(await process.stdout.readexactly(length))
    if len(answers) != len(orders):
        raise ValueError("an answer is missing")
    return answers
