"""A run's socket: commands and events arrive, and no client can disturb the engine."""

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from engine.control import protocol as wire
from engine.control.client import ControlClient
from engine.control.protocol import Status
from engine.control.server import ControlServer
from engine.domain.commands import Command, Pause, SetWorkers, Steer, Stop, SubmitIntent
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.events import Event, Warned
from engine.domain.types import AgentId, AgentPath, RunId, RunState

OTHER_PROCESS = """
import asyncio, sys
from pathlib import Path
from engine.domain.commands import Pause
from engine.control.client import ControlClient
from engine.domain.types import AgentPath

async def main():
    client = await ControlClient.connect(Path(sys.argv[1]))
    await client.send(Pause(AgentPath("root/parser")))
    seq, feed = await client.subscribe()
    print(seq, flush=True)
    async for event in feed:
        print(event.seq, event.body.text, flush=True)

asyncio.run(main())
"""


class Run:
    """Stands in for the engine: records what it is asked, and has a number for a journal."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.seq = 0
        self.written = 0
        self.wrote = asyncio.Event()
        self.asked = asyncio.Event()
        self.error: Exception | None = None
        self.patch = "diff --git a/x b/x\n"
        self.publish: Callable[[Event], None] = lambda event: None

    async def submit(self, command: Command) -> None:
        if self.error is not None:
            raise self.error
        self.commands.append(command)

    def status(self) -> Status:
        return Status(RunId("rn1"), os.getpid(), 1, self.seq, RunState.RUNNING)

    async def diff(self, agent: AgentId) -> str:
        if agent != "ag1":
            raise SwarmError(ErrorKind.NOT_FOUND, f"no agent {agent}", "look at the tree")
        return self.patch

    async def durable(self, seq: int) -> None:
        self.asked.set()
        while self.written < seq:
            await self.wrote.wait()

    def write(self) -> None:
        self.written = self.seq
        self.wrote.set()
        self.wrote = asyncio.Event()

    def happen(self, text: str, durable: bool = True) -> None:
        self.seq += 1
        if durable:
            self.write()
        self.publish(Event(self.seq, 0, 1, Warned(text)))


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[Run]:
    run = Run()
    server = ControlServer(path, run.submit, run.status, run.diff, run.durable)
    await server.start()
    run.publish = server.publish
    try:
        yield run
    finally:
        await server.close()


async def until_disconnected(reader: asyncio.StreamReader) -> int:
    """How many bytes came before the server closed the connection, cleanly or not."""
    received = 0
    try:
        while piece := await reader.read(2**20):
            received += len(piece)
    except ConnectionError:
        pass
    return received


async def say(path: Path, *lines: bytes) -> list[bytes]:
    """The server's answers to raw lines, until it disconnects or has answered each line."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.writelines(lines)
    answers: list[bytes] = []
    while len(answers) < len(lines) and (answer := await reader.readline()):
        answers.append(answer)
    writer.close()
    return answers


async def test_commands_arrive_as_they_were_sent(tmp_path: Path) -> None:
    sent: list[Command] = [
        SubmitIntent("do it\nwell ✓"),
        Pause(),
        Steer(AgentPath("root"), "mind the tests"),
        SetWorkers(3),
        Stop(),
    ]
    async with serving(tmp_path / "s") as run:
        client = await ControlClient.connect(tmp_path / "s")
        for command in sent:
            await client.send(command)
        await client.close()
        assert run.commands == sent


async def test_errors_keep_their_kind_message_and_hint(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as run:
        client = await ControlClient.connect(tmp_path / "s")
        run.error = SwarmError(ErrorKind.BUSY, "not now", "later")
        with pytest.raises(SwarmError) as caught:
            await client.send(Pause())
        assert (caught.value.kind, caught.value.message, caught.value.hint) == (ErrorKind.BUSY, "not now", "later")
        run.error = ValueError("a bug")
        with pytest.raises(SwarmError, match="a bug"):
            await client.send(Pause())
        run.error = None
        await client.send(Pause())
        with pytest.raises(SwarmError, match="no agent ag2"):
            await client.diff(AgentId("ag2"))
        assert await client.diff(AgentId("ag1")) == run.patch
        run.patch = "\0" * wire.MAX_PATCH
        assert await client.diff(AgentId("ag1")) == run.patch
        run.patch += "x"
        with pytest.raises(SwarmError, match="too large"):
            await client.diff(AgentId("ag1"))
        assert await client.status() == run.status()
        await client.close()


async def test_a_client_that_reads_the_journal_and_then_the_feed_misses_no_event(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as run:
        client = await ControlClient.connect(tmp_path / "s")
        run.happen("before")
        run.happen("not yet on disk", durable=False)
        subscribing = asyncio.create_task(client.subscribe())
        await run.asked.wait()
        run.happen("meanwhile", durable=False)
        run.write()
        seq, feed = await subscribing
        assert seq == 2
        assert run.written >= seq
        run.happen("after")
        async with aclosing(feed):
            got = [(await anext(feed)).seq for _ in range(4 - seq)]
        assert got == list(range(seq + 1, 5))
        await client.close()


async def test_a_feed_ends_when_the_server_closes(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        client = await ControlClient.connect(tmp_path / "s")
        _, feed = await client.subscribe()
    assert [event async for event in feed] == []
    with pytest.raises(SwarmError, match="closed the connection"):
        await client.send(Pause())
    assert not (tmp_path / "s").exists()


async def test_another_process_sends_commands_and_follows_events(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as run:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", OTHER_PROCESS, str(tmp_path / "s"), stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"0\n"
        assert run.commands == [Pause(AgentPath("root/parser"))]
        run.happen("hello")
        run.happen("again")
        assert await process.stdout.readline() == b"1 hello\n"
        assert await process.stdout.readline() == b"2 again\n"
        process.kill()
        await process.wait()
        run.happen("into the void")


async def test_invalid_requests_are_answered_and_change_nothing(tmp_path: Path) -> None:
    garbage = [
        b"\n",
        b"hello\n",
        b"\xff\xfe\n",
        b"{}\n",
        b'{"verb":"format_disk"}\n',
        b'{"verb":"workers","workers":"many"}\n',
        b'{"verb":"steer"}\n',
        b"[" * 100_000 + b"\n",
    ]
    async with serving(tmp_path / "s") as run:
        answers = await say(tmp_path / "s", *garbage, b'{"verb":"pause"}\n')
        assert [json.loads(answer)["ok"] for answer in answers] == [False] * len(garbage) + [True]
        assert all(json.loads(answer)["error"]["hint"] for answer in answers[:-1])
        assert run.commands == [Pause()]


async def test_a_client_that_sends_an_endless_line_is_disconnected(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as run:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        sent = 0
        try:
            while sent < 100 * wire.MAX_REQUEST:
                writer.write(b"x" * 65_536)
                await writer.drain()
                sent += 65_536
        except ConnectionError:
            pass
        assert sent < 100 * wire.MAX_REQUEST
        assert await until_disconnected(reader) < 1_000
        client = await ControlClient.connect(tmp_path / "s")
        await client.send(Pause())
        assert run.commands == [Pause()]
        await client.close()


async def test_only_a_subscriber_that_does_not_read_is_disconnected(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as run:
        sleeper, writer = await asyncio.open_unix_connection(str(tmp_path / "s"), limit=4_096)
        writer.write(b'{"verb":"subscribe"}\n')
        assert json.loads(await sleeper.readline()) == {"ok": True, "seq": 0}
        client = await ControlClient.connect(tmp_path / "s")
        _, feed = await client.subscribe()
        async with aclosing(feed):
            for number in range(64):
                run.happen("x" * 2**20)
                assert (await anext(feed)).seq == number + 1
        assert await until_disconnected(sleeper) < 63 * 2**20
        await client.close()


async def test_the_number_of_clients_is_limited(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as run:
        crowd = [await asyncio.open_unix_connection(str(tmp_path / "s")) for _ in range(80)]
        refused = [reader for reader, _ in crowd[64:]]
        for reader in refused:
            assert await until_disconnected(reader) == 0
        crowd[0][1].write(b'{"verb":"pause"}\n')
        assert json.loads(await crowd[0][0].readline()) == {"ok": True}
        assert run.commands == [Pause()]
        for _, writer in crowd:
            writer.close()


async def test_only_the_owner_can_use_the_socket(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become someone else")
async def test_another_users_process_is_disconnected(tmp_path: Path) -> None:
    code = (
        "import os, socket, sys\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "os.setuid(65534)\n"
        "s.connect('\\0' + sys.argv[1])\n"
        's.sendall(b\'{"verb":"pause"}\\n\')\n'
        "print(s.recv(100))\n"
    )
    run = Run()
    server = ControlServer(tmp_path / "s", run.submit, run.status, run.diff, run.durable)
    listener = socket.socket(socket.AF_UNIX)  # an abstract name has no mode: only the peer's identity guards it
    listener.bind(f"\0{tmp_path}")
    open_to_all = await asyncio.start_unix_server(server._accept, sock=listener)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    open_to_all.close()
    assert output == b"b''\n" or b"BrokenPipe" in output or b"ConnectionReset" in output
    assert run.commands == []


async def test_only_the_socket_of_a_dead_process_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    async with serving(path):
        with pytest.raises(SwarmError) as caught:
            async with serving(path):
                pass
        assert caught.value.kind is ErrorKind.BUSY
        client = await ControlClient.connect(path)
        await client.send(Pause())
        await client.close()


async def test_a_path_that_cannot_be_a_socket_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    for path in (tmp_path / "file", tmp_path / ("x" * 120), tmp_path / "absent" / "s"):
        with pytest.raises(SwarmError) as caught:
            async with serving(path):
                pass
        assert caught.value.kind is ErrorKind.STATE
    assert (tmp_path / "file").read_text() == "precious"
    with pytest.raises(SwarmError) as caught:
        await ControlClient.connect(tmp_path / "nobody")
    assert caught.value.kind is ErrorKind.NOT_FOUND
