"""The client's end of a run's Unix socket: for `send`, `attach`, and a screen that shows another process's run."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import NoReturn

import msgspec

from engine.control import protocol as wire
from engine.control.protocol import AskDiff, AskStatus, Reply, Request, Status, Subscribe
from engine.domain.commands import Command
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.events import Event
from engine.domain.types import AgentId


class ControlClient:
    """One connection, made by `connect`. Each method raises SwarmError, with the server's message if there is one."""

    def __init__(self, path: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.path = path
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    @classmethod
    async def connect(cls, path: Path) -> "ControlClient":
        """Raises SwarmError (not_found) if no process listens there."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(path), limit=wire.MAX_ANSWER)
        except OSError as error:
            raise SwarmError(ErrorKind.NOT_FOUND, "no process runs this run", "resume it: swarm-tui resume") from error
        return cls(path, reader, writer)

    async def send(self, command: Command) -> None:
        """Send a command; returns once the engine has accepted it."""
        await self._ask(command)

    async def status(self) -> Status:
        status = (await self._ask(AskStatus())).status
        return status if status is not None else _unexpected()

    async def diff(self, agent: AgentId) -> str:
        """A unified patch."""
        patch = (await self._ask(AskDiff(agent))).patch
        return patch if patch is not None else _unexpected()

    async def subscribe(self, after: int = 0) -> tuple[int, AsyncGenerator[Event, None]]:
        """The sequence number after which live events begin, and these events, on another connection.

        The iteration ends when the run's process ends, or when it disconnects this client for reading too slowly. To
        go on, read the journal from the last event on and subscribe again. Close the iterator (`aclose`) to
        unsubscribe.
        """
        other = await ControlClient.connect(self.path)
        try:
            seq = (await other._ask(Subscribe(after))).seq
        except BaseException:
            await other.close()
            raise
        return (seq if seq is not None else _unexpected()), other._follow()

    async def close(self) -> None:
        self._writer.transport.abort()  # `close` would wait for a process that does not read
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _ask(self, request: Request) -> Reply:
        async with self._turn:
            try:
                self._writer.write(wire.line(request))
                await self._writer.drain()
                line = await self._reader.readline()
            except (OSError, ValueError) as error:
                raise _closed() from error
        if not line.endswith(b"\n"):
            raise _closed()
        try:
            reply = wire.replies.decode(line)
        except msgspec.MsgspecError:
            _unexpected()
        if reply.error is not None:
            raise SwarmError(reply.error.kind, reply.error.message, reply.error.hint)
        return reply

    async def _follow(self) -> AsyncGenerator[Event, None]:
        try:
            while (line := await self._reader.readline()).endswith(b"\n"):
                yield wire.events.decode(line)
        except (OSError, ValueError, msgspec.MsgspecError):
            return
        finally:
            await self.close()


def _closed() -> SwarmError:
    return SwarmError(ErrorKind.STATE, "the run's process closed the connection", "see the run's state: swarm-tui runs")


def _unexpected() -> NoReturn:
    raise SwarmError(
        ErrorKind.STATE, "unexpected response from the run", "check whether the run uses another version of swarm-tui"
    )
