"""A server on a real socket that answers each request with exactly the bytes that a test wants."""

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

STREAM = "text/event-stream"


@dataclass(frozen=True)
class Seen:
    """A request: its path, its headers with lower-case names, its decoded body."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Send:
    """Bytes, exactly."""

    data: bytes


@dataclass(frozen=True)
class Chunk:
    """Bytes as one piece of a chunked body."""

    data: bytes


@dataclass(frozen=True)
class Wait:
    """Send nothing for some seconds."""

    seconds: float


class Stall:
    """Send nothing more until the client disconnects."""


class Abort:
    """Reset the connection."""


class Reset:
    """End the connection without ending the body."""


@dataclass(frozen=True)
class Flood:
    """The same bytes for as long as the client reads."""

    data: bytes


Step = Send | Chunk | Wait | Stall | Abort | Reset | Flood
Script = Callable[[Seen], list[Step]]
END = Send(b"0\r\n\r\n")


def head(status: int = 200, kind: str = STREAM, **headers: str) -> Send:
    """The head of a chunked answer; `retry_after="3"` becomes `retry-after: 3`."""
    lines = [f"HTTP/1.1 {status} Said", f"content-type: {kind}", "transfer-encoding: chunked"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return Send(("\r\n".join(lines) + "\r\n\r\n").encode())


def stream(events: list[bytes], *last: Step) -> list[Step]:
    """A streamed answer with one chunk per event; `last` may replace its regular end."""
    return [head(), *(Chunk(event) for event in events), *(last or (END,))]


def refusal(status: int, body: object, **headers: str) -> list[Step]:
    """An error answer with a JSON body."""
    return [head(status, "application/json", **headers), Chunk(json.dumps(body).encode()), END]


@dataclass
class RawServer:
    """A running server. `gone` counts connections that the client closed during an answer."""

    script: Script
    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    gone: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    stalled: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (seen := await _request(reader)) is not None:
                self.seen.append(seen)
                for step in self.script(seen):
                    if not await self._play(step, reader, writer):
                        return
        except (ConnectionError, asyncio.IncompleteReadError):
            self.gone.release()
        finally:
            writer.close()

    async def _play(self, step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        match step:
            case Send():
                writer.write(step.data)
            case Chunk():
                writer.write(b"%x\r\n%s\r\n" % (len(step.data), step.data))
            case Wait():
                await asyncio.sleep(step.seconds)
            case Flood():
                while True:
                    writer.write(b"%x\r\n%s\r\n" % (len(step.data), step.data))
                    await writer.drain()
            case Stall():
                await writer.drain()
                self.stalled.release()
                while await reader.read(1024):
                    pass
                self.gone.release()
                return False
            case Abort():
                await writer.drain()
                writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return False
            case Reset():
                await writer.drain()
                return False
        await writer.drain()
        return True


async def _request(reader: asyncio.StreamReader) -> Seen | None:
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(first.split(" ")[1], headers, json.loads(body or b"{}"))


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[RawServer]:
    """A server on a free loopback port, while the block lasts."""
    server = RawServer(script)
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await server.serve(reader, writer)
        tasks.discard(task)

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, limit=64 * 1024 * 1024)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
