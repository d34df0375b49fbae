"""A client's end of a run's Unix socket, for `send`, `attach` and the app that shows another process's run."""

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
    """One connection. `connect` makes one; each method raises SwarmError, with what the server said if it said it."""

    def __init__(self, path: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.path = path
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    @classmethod
    async def connect(cls, path: Path) -> "ControlClient":
        """Raises SwarmError (not_found) when no process listens there."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(path), limit=wire.MAX_ANSWER)
        except OSError as error:
            raise SwarmError(ErrorKind.NOT_FOUND, "the run is not live", "resume it: swarm-tui resume") from error
        return cls(path, reader, writer)

    async def send(self, command: Command) -> None:
        """Have a command done; returns when the engine has taken it."""
        await self._ask(command)

    async def status(self) -> Status:
        status = (await self._ask(AskStatus())).status
        return status if status is not None else _no_sense()

    async def diff(self, agent: AgentId) -> str:
        """A unified patch."""
        patch = (await self._ask(AskDiff(agent))).patch
        return patch if patch is not None else _no_sense()

    async def subscribe(self, after: int = 0) -> tuple[int, AsyncGenerator[Event, None]]:
        """Where the live feed begins, and the events after it, on a connection of its own.

        The iteration ends when the run's process ends, or when this client read too slowly and was dropped: read
        the journal from there and subscribe again. Close the iterator (`aclose`) to unsubscribe.
        """
        other = await ControlClient.connect(self.path)
        try:
            seq = (await other._ask(Subscribe(after))).seq
        except BaseException:
            await other.close()
            raise
        return (seq if seq is not None else _no_sense()), other._follow()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _ask(self, request: Request) -> Reply:
        async with self._turn:
            try:
                self._writer.write(wire.line(request))
                await self._writer.drain()
                line = await self._reader.readline()
            except (OSError, ValueError) as error:
                raise _hung_up() from error
        if not line.endswith(b"\n"):
            raise _hung_up()
        try:
            reply = wire.replies.decode(line)
        except msgspec.MsgspecError:
            _no_sense()
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


def _hung_up() -> SwarmError:
    return SwarmError(ErrorKind.STATE, "the run's process hung up", "see its state: swarm-tui runs")


def _no_sense() -> NoReturn:
    raise SwarmError(ErrorKind.STATE, "the run's answer makes no sense", "is it another version of swarm-tui?")
