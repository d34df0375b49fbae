"""Builds commits in a process of its own while there are many, because all threads share one interpreter lock."""

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
from engine.repo.changes.commit_builder import BuilderSetup, BuildRequest, BuiltCommit, encode_frame
from engine.repo.git.ignores import Rules

START_AT = 16
"""Concurrent builds from which on the process is worth starting."""
BATCH = 64
TIMEOUT_S = 60.0
"""After this long without an answer, the process is killed and everything is built without it."""
_ANSWERS = msgpack.Decoder(list[BuiltCommit | None])
_FAILURES = (OSError, EOFError, TimeoutError, ValueError, msgspec.MsgspecError)
_TOP = Path(__file__).parents[3]


class BuilderProcess:
    """Builds commits for one event loop. Before the process starts and after it fails, commits are built in threads."""

    def __init__(self, git_dir: Path, *, usable: bool) -> None:
        self._git_dir = git_dir
        self._usable = usable
        self._active = 0
        self._queue: list[tuple[BuildRequest, asyncio.Future[BuiltCommit | None]]] = []
        self._process: asyncio.subprocess.Process | None = None
        self._starting: asyncio.Task[None] | None = None
        self._answering: asyncio.Task[None] | None = None

    async def build(
        self,
        request: BuildRequest,
        excludes: Rules,
        accept: Callable[[BuiltCommit], CommitId],
        build_here: Callable[[], CommitId],
    ) -> CommitId:
        """Build in the process and call `accept`, or run `build_here` in a thread. Raises what they raise."""
        self._active += 1
        try:
            if self._process is not None:
                if (built := await self._request(request)) is not None:
                    return accept(built)
            elif self._usable and self._active >= START_AT:
                self._usable = False  # it is started only once
                self._starting = asyncio.create_task(self._start(excludes), name="start commit builder")
            return await asyncio.to_thread(build_here)
        finally:
            self._active -= 1

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
            process.stdin.write(encode_frame(BuilderSetup(os.fsencode(self._git_dir), excludes)))
            await _exchange(process, [])
            self._process, process = process, None
        except _FAILURES:
            pass
        finally:
            if process is not None:
                await _kill(process)

    async def _request(self, request: BuildRequest) -> BuiltCommit | None:
        answer: asyncio.Future[BuiltCommit | None] = asyncio.get_running_loop().create_future()
        self._queue.append((request, answer))
        if self._answering is None or self._answering.done():
            self._answering = asyncio.create_task(self._answer_queue(), name="build commits")
        return await answer

    async def _answer_queue(self) -> None:
        batch: list[tuple[BuildRequest, asyncio.Future[BuiltCommit | None]]] = []
        try:
            while self._queue and self._process is not None:
                batch, self._queue = self._queue[:BATCH], self._queue[BATCH:]
                built = await _exchange(self._process, [request for request, _ in batch])
                for (_, answer), commit in zip(batch, built, strict=True):
                    if not answer.done():
                        answer.set_result(commit)
        except _FAILURES:
            await self._stop()
        finally:
            for _, answer in (*batch, *self._queue):
                if not answer.done():
                    answer.set_result(None)
            self._queue = []

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await _kill(process)

    async def close(self) -> None:
        """Stop the process; what it was building is built in threads."""
        self._usable = False
        for task in (self._starting, self._answering):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await self._stop()


async def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def _exchange(process: asyncio.subprocess.Process, requests: list[BuildRequest]) -> list[BuiltCommit | None]:
    """Send requests and wait for their answers."""
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(TIMEOUT_S):
        process.stdin.write(encode_frame(requests))
        await process.stdin.drain()
        [length] = struct.unpack(">I", await process.stdout.readexactly(4))
        answers = _ANSWERS.decode(await process.stdout.readexactly(length))
    if len(answers) != len(requests):
        raise ValueError("an answer is missing")
    return answers
