"""The server's end of a run's Unix socket: takes commands for the engine and feeds its events to who listens."""

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
from engine.control.client import ControlClient
from engine.control.protocol import AskDiff, AskStatus, Failure, Reply, Status, Subscribe
from engine.domain.commands import Command
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.events import Event
from engine.domain.types import AgentId

__all__ = ["ControlClient", "ControlServer", "Status"]

MAX_BEHIND = 16 * 2**20
"""Bytes of events that a subscriber may be behind before it is dropped."""
MAX_CLIENTS = 64


class _Subscriber:
    """A connection that gets events: encoded lines that wait for it, bounded."""

    def __init__(self, after: int, transport: asyncio.Transport) -> None:
        self.after = after
        self.lines: deque[bytes] = deque()
        self.size = 0
        self.grew = asyncio.Event()
        self.transport = transport

    def offer(self, line: bytes) -> bool:
        """Queue a line; False when the reader is too far behind."""
        self.lines.append(line)
        self.size += len(line)
        self.grew.set()
        return self.size <= MAX_BEHIND

    def drop(self) -> None:
        """Hang up without sending what waits."""
        self.transport.abort()
        self.grew.set()

    def take(self) -> bytes:
        """All waiting lines as one piece."""
        piece = b"".join(self.lines)
        self.lines.clear()
        self.size = 0
        self.grew.clear()
        return piece


class ControlServer:
    """Serves one run on its socket. Lives on the engine's loop; all its callables are called there.

    `submit` and `diff` may raise SwarmError; `durable(seq)` returns once the journal holds all up to `seq`.
    Hand every event to `publish`. No client can delay or disturb the engine: whoever reads too slowly is dropped.
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

        Raises SwarmError: busy when a live process listens there, state when the path cannot be used.
        """
        await _clear_stale(self.path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(
                listener.fileno(), 0o600
            )  # on Linux the file is born with it: no moment in which others may connect
            listener.bind(str(self.path))
            os.chmod(self.path, 0o600)
        except OSError as error:
            listener.close()
            raise _unusable(self.path, error) from error
        self._inode = os.stat(self.path).st_ino
        self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=wire.MAX_REQUEST)

    def publish(self, event: Event) -> None:
        """Send an event to all subscribers, without waiting for any."""
        if not self._subscribers:
            return
        line = wire.line(event)
        for subscriber in tuple(self._subscribers):
            if event.seq > subscriber.after and not subscriber.offer(line):
                self._subscribers.discard(subscriber)
                subscriber.drop()

    async def close(self) -> None:
        """Hang up on all clients and remove the socket."""
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
                except ValueError:  # longer than the limit: where the next request starts is unknown
                    await _answer(writer, _failed(ErrorKind.USAGE, f"a request is at most {wire.MAX_REQUEST} bytes"))
                    return
                if not line.endswith(b"\n"):
                    return
                try:
                    request = wire.requests.decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                    reason = " ".join(str(error).split())[:300]
                    await _answer(writer, _failed(ErrorKind.USAGE, f"not a request: {reason}"))
                    continue
                if isinstance(request, Subscribe):
                    await self._stream(request, reader, writer)
                    return
                await _answer(writer, await self._reply(request))
        except OSError:
            return  # the client is gone
        finally:
            writer.close()

    async def _reply(self, request: Command | AskStatus | AskDiff) -> Reply:
        try:
            if isinstance(request, AskStatus):
                return Reply(True, status=self._status())
            if isinstance(request, AskDiff):
                patch = await self._diff(request.agent)
                if len(patch) > wire.MAX_PATCH:
                    return _failed(ErrorKind.STATE, "the patch is too large to be sent", "look at the run's trunk.git")
                return Reply(True, patch=patch)
            await self._submit(request)
            return Reply(True)
        except SwarmError as error:
            return Reply(False, error=Failure(error.kind, error.message, error.hint))
        except Exception as error:
            return _failed(ErrorKind.STATE, f"the run could not do it: {type(error).__name__}: {error}"[:500])

    async def _stream(self, request: Subscribe, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seq = self._status().seq
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        subscriber = _Subscriber(max(seq, request.after), transport)
        self._subscribers.add(subscriber)  # before the wait: what happens meanwhile is kept for it
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
    """A subscriber has nothing more to say; when it hangs up, the stream to it ends."""
    with contextlib.suppress(OSError):
        while await reader.read(2**16):
            pass
    subscriber.drop()


def _is_same_user(connection: socket.socket) -> bool:
    """Whether the peer runs as this process's user. Where it cannot be asked, the socket's mode guards alone."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return bool(uid == os.getuid())


async def _clear_stale(path: Path) -> None:
    """Remove what a dead process left. Raises SwarmError when the path is in use or is no socket."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise SwarmError(ErrorKind.STATE, f"{path} is not a socket", "move it away")
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
    raise SwarmError(ErrorKind.BUSY, "another process works on this run", "attach to it: swarm-tui attach")


def _unusable(path: Path, error: OSError) -> SwarmError:
    return SwarmError(
        ErrorKind.STATE, f"cannot listen on {path}: {error.strerror or error}", "choose another --state-dir"
    )


def _failed(kind: ErrorKind, message: str, hint: str = "see `swarm-tui send --help`") -> Reply:
    return Reply(False, error=Failure(kind, message, hint))
