"""A proxy on the loopback interface, HTTP and SOCKS 5 on one port. It connects to one server, whatever is asked for."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class ProxyServer:
    """A running proxy in front of the server at `target`. `asked` are the hosts that clients wanted to reach.

    `login` is what it demands as USER:PASSWORD; `silent`: it accepts connections and never answers.
    """

    target: str
    login: str = ""
    status: str = "200 OK"
    silent: bool = False
    port: int = 0
    asked: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(1)
        if self.silent:
            await reader.read(-1)
        elif first == b"\x05":
            await self._socks(reader, writer)
        else:
            await self._http(first + await reader.readuntil(b"\r\n\r\n"), reader, writer)

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        methods = await reader.readexactly((await reader.readexactly(1))[0])
        wanted = 2 if self.login else 0
        writer.write(bytes((5, wanted if wanted in methods else 255)))
        if wanted not in methods:
            return
        if self.login:
            await reader.readexactly(1)
            user = await reader.readexactly((await reader.readexactly(1))[0])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            accepted = f"{user.decode()}:{password.decode()}" == self.login
            writer.write(b"\x01\x00" if accepted else b"\x01\x01")
            if not accepted:
                return
        kind = (await reader.readexactly(4))[3]
        length = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        self.asked.append((await reader.readexactly(length)).decode("latin-1"))
        await reader.readexactly(2)
        refused = self.status[:3] != "200"
        writer.write(b"\x05" + (b"\x02" if refused else b"\x00") + b"\x00\x01\x00\x00\x00\x00\x00\x00")
        if not refused:
            await self._forward(b"", reader, writer)

    async def _http(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, url, _ = head.decode().split(" ", 2)
        given = base64.b64encode(self.login.encode()).decode()
        status = self.status
        if self.login and f"proxy-authorization: basic {given}".lower() not in head.decode().lower():
            status = "407 Proxy Authentication Required"
        self.asked.append(url.rpartition(":")[0] if method == "CONNECT" else urlsplit(url).hostname or "")
        if status[:3] != "200":
            writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode())
        elif method == "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            parts = urlsplit(url)
            await self._forward(head.replace(url.encode(), parts.path.encode(), 1), reader, writer)

    async def _forward(self, begun: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = urlsplit(self.target)
        answers, requests = await asyncio.open_connection(address.hostname, address.port)
        requests.write(begun)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(copy(reader, requests), copy(answers, writer), return_exceptions=True)


@asynccontextmanager
async def proxying(proxy: ProxyServer) -> AsyncIterator[ProxyServer]:
    """The proxy on a free port, while the block lasts."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            await proxy.serve(reader, writer)
        writer.close()
        tasks.discard(task)

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    proxy.port = listening.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listening.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
