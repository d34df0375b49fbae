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

from engine.repo.ignores import Rules
from engine.repo.making import Made, Order, Setting, frame
from engine.types import CommitId

MANY = 16
"""Changes at once from which on the process is worth its start."""
TOGETHER = 64
LONGEST_S = 60.0
"""Seconds for one answer; then all is done without the process."""
_ANSWERS = msgpack.Decoder(list[Made | None])
_TOP = Path(__file__).parent.parent.parent


class Maker:
    """Use from one event loop. Without a process, or when it fails, whoever asks makes the change in a thread."""

    def __init__(self, git_dir: Path, *, usable: bool) -> None:
        self._git_dir = git_dir
        self._usable = usable
        self._at_once = 0
        self._waiting: list[tuple[Order, asyncio.Future[Made | None]]] = []
        self._process: asyncio.subprocess.Process | None = None
        self._asking: asyncio.Task[None] | None = None

    async def make(
        self, order: Order, excludes: Rules, keep: Callable[[Made], CommitId], here: Callable[[], CommitId]
    ) -> CommitId:
        """`keep` takes what the process made; `here` makes it in this one, in a thread. Raises what they raise."""
        self._at_once += 1
        try:
            if self._usable and (self._process is not None or self._at_once >= MANY):
                made = await self._ask(order, excludes)
                if made is not None:
                    return keep(made)
            return await asyncio.to_thread(here)
        finally:
            self._at_once -= 1

    async def _ask(self, order: Order, excludes: Rules) -> Made | None:
        told: asyncio.Future[Made | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((order, told))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._answer(excludes), name="making changes")
        return await told

    async def _answer(self, excludes: Rules) -> None:
        asked: list[tuple[Order, asyncio.Future[Made | None]]] = []
        try:
            while self._waiting:
                process = self._process or await self._start(excludes)
                asked, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
                async with asyncio.timeout(LONGEST_S):
                    answers = await _asked(process, [order for order, _ in asked])
                for (_, told), answer in zip(asked, answers, strict=True):
                    if not told.done():
                        told.set_result(answer)
        except (OSError, EOFError, TimeoutError, ValueError, msgspec.MsgspecError):
            self._usable = False
            await self._end()
        finally:
            for _, told in (*asked, *self._waiting):
                if not told.done():
                    told.set_result(None)
            self._waiting = []

    async def _start(self, excludes: Rules) -> asyncio.subprocess.Process:
        self._process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "engine.repo.making"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(_TOP)},
            start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write(frame(Setting(os.fsencode(self._git_dir), excludes)))
        return process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def close(self) -> None:
        """End the process; what it was making is made here."""
        self._usable = False
        if self._asking is not None:
            self._asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._asking
        await self._end()


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
