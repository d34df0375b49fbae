"""The server's end of a run's Unix socket: passes commands to the engine, and its events to subscribers."""

import asyncio
import contextlib
import os
import socket
import stat
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from engine.control import protocol as wire
from engine.control.protocol import AskDiff, AskStatus, Failure, Reply, Status, Subscribe
from engine.domain.commands import Command
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.events import Event
from engine.domain.os_text import path_text
from engine.domain.types import AgentId

MAX_BEHIND = 16 * 2**20
"""Bytes of events that may wait for a subscriber before it is disconnected."""
MAX_CLIENTS = 64


class _Subscriber:
    """A connection that gets events, and a limited queue of encoded events for it."""

    def __init__(self, after: int, transport: asyncio.Transport) -> None:
        self.after = after
        self.lines: deque[bytes] = deque()
        self.size = 0
        self.grew = asyncio.Event()
        self.transport = transport

    def offer(self, line: bytes) -> bool:
        """Queue a line; False if too many bytes are waiting."""
        self.lines.append(line)
        self.size += len(line)
        self.grew.set()
        return self.size <= MAX_BEHIND

    def drop(self) -> None:
        """Close the connection without sending what is queued."""
        self.transport.abort()
        self.grew.set()

    def take(self) -> bytes:
        """Take all queued lines, as one piece."""
        piece = b"".join(self.lines)
        self.lines.clear()
        self.size = 0
        self.grew.clear()
        return piece


class ControlServer:
    """Serves one run on its socket, in the engine's event loop, where it also calls all its callables.

    `submit` and `diff` may raise SwarmError; `durable(seq)` returns once all events up to `seq` are in the journal.
    Every event has to be passed to `publish`. A client cannot delay the engine: one that reads too slowly is
    disconnected.
    """

    def __init__(
        self,
        path: Path,
        submit: Callable[[Command], Awaitable[None]],
        status: Callable[[], Status],
        diff: Callable[[AgentId], Awaitable[str]],
        durable: Callable[[int], Awaitable[None]],
    ) -> None:
        self.path = path
        self._submit = submit
        self._status = status
        self._diff = diff
        self._durable = durable
        self._server: asyncio.Server | None = None
        self._inode: int | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._subscribers: set[_Subscriber] = set()

    async def start(self) -> None:
        """Listen. Replaces the socket of a dead process.

        Raises SwarmError: busy if a live process listens there, state if the path cannot be used.
        """
        await _clear_stale(self.path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # On Linux the file is created with this mode, so that others can never connect.
            os.fchmod(listener.fileno(), 0o600)
            listener.bind(str(self.path))
            os.chmod(self.path, 0o600)
        except OSError as error:
            listener.close()
            raise _unusable(self.path, error) from error
        self._inode = os.stat(self.path).st_ino
        self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=wire.MAX_REQUEST)

    def publish(self, event: Event) -> None:
        """Queue an event for all subscribers."""
        if not self._subscribers:
            return
        line = wire.line(event)
        for subscriber in tuple(self._subscribers):
            if event.seq > subscriber.after and not subscriber.offer(line):
                self._subscribers.discard(subscriber)
                subscriber.drop()

    async def close(self) -> None:
        """Disconnect all clients and remove the socket."""
        if self._server is not None:
            self._server.close()
        clients = tuple(self._clients)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        with contextlib.suppress(OSError):
            if os.stat(self.path).st_ino == self._inode:
                os.unlink(self.path)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= MAX_CLIENTS or not _is_same_user(writer.get_extra_info("socket")):
            writer.transport.abort()
            return
        client = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                try:
                    line = await reader.readline()
                except ValueError:  # longer than the limit: the start of the next request is unknown
                    await _answer(
                        writer, _failed(ErrorKind.USAGE, f"the request is longer than {wire.MAX_REQUEST} bytes")
                    )
                    return
                if not line.endswith(b"\n"):
                    return
                try:
                    request = wire.requests.decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                    reason = " ".join(str(error).split())[:300]
                    await _answer(writer, _failed(ErrorKind.USAGE, f"invalid request: {reason}"))
                    continue
                if isinstance(request, Subscribe):
                    await self._stream(request, reader, writer)
                    return
                await _answer(writer, await self._reply(request))
        except OSError:
            return  # the client has disconnected
        finally:
            writer.close()

    async def _reply(self, request: Command | AskStatus | AskDiff) -> Reply:
        try:
            if isinstance(request, AskStatus):
                return Reply(True, status=self._status())
            if isinstance(request, AskDiff):
                patch = await self._diff(request.agent)
                if len(patch) > wire.MAX_PATCH:
                    return _failed(
                        ErrorKind.STATE, "the patch is too large to send", "read it in trunk.git in the run's folder"
                    )
                return Reply(True, patch=patch)
            await self._submit(request)
            return Reply(True)
        except SwarmError as error:
            return Reply(False, error=Failure(error.kind, error.message, error.hint))
        except Exception as error:
            return _failed(ErrorKind.STATE, f"the run failed to do this: {type(error).__name__}: {error}"[:500])

    async def _stream(self, request: Subscribe, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seq = self._status().seq
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        subscriber = _Subscriber(max(seq, request.after), transport)
        self._subscribers.add(subscriber)  # before the wait, so that it misses no event
        gone = asyncio.ensure_future(_until_hung_up(reader, subscriber))
        try:
            await self._durable(seq)
            await _answer(writer, Reply(True, seq=seq))
            while not transport.is_closing():
                await subscriber.grew.wait()
                writer.write(subscriber.take())
                await writer.drain()
        except SwarmError as error:
            await _answer(writer, Reply(False, error=Failure(error.kind, error.message, error.hint)))
        finally:
            gone.cancel()
            self._subscribers.discard(subscriber)


async def _answer(writer: asyncio.StreamWriter, reply: Reply) -> None:
    writer.write(wire.line(reply))
    await writer.drain()


async def _until_hung_up(reader: asyncio.StreamReader, subscriber: _Subscriber) -> None:
    """Wait until the subscriber disconnects, then end its stream. Subscribers send no more requests."""
    with contextlib.suppress(OSError):
        while await reader.read(2**16):
            pass
    subscriber.drop()


def _is_same_user(connection: socket.socket) -> bool:
    """Whether the client runs as the same user. If the system does not tell, only the socket's mode protects it."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return bool(uid == os.getuid())


async def _clear_stale(path: Path) -> None:
    """Remove the socket of a dead process. Raises SwarmError if the path is in use or not a socket."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise SwarmError(ErrorKind.STATE, f"{path_text(path)} is not a socket", "move that file away")
    except FileNotFoundError:
        return
    try:
        _, writer = await asyncio.open_unix_connection(str(path))
    except (ConnectionRefusedError, FileNotFoundError):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    except OSError as error:
        raise _unusable(path, error) from error
    writer.close()
    raise SwarmError(ErrorKind.BUSY, "another process runs this run", "watch it: swarm-tui attach")


def _unusable(path: Path, error: OSError) -> SwarmError:
    return SwarmError(
        ErrorKind.STATE,
        f"cannot listen on {path_text(path)}: {error.strerror or error}",
        "choose another folder: --state-dir DIR",
    )


def _failed(kind: ErrorKind, message: str, hint: str = "see `swarm-tui send --help`") -> Reply:
    return Reply(False, error=Failure(kind, message, hint))
