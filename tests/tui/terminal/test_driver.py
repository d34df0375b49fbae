"""The driver reads keys and writes frames in the event loop, whatever the terminal sends, however slowly it reads."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
from textual import events
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver

from tui.terminal.driver import driver_on
from tui.terminal.output import Output


class Inbox:
    """Stands in for the app: keeps what is posted to it."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.got = asyncio.Event()

    def post_message(self, message: object) -> bool:
        if isinstance(message, events.Key):
            self.keys.append(message.character or message.key)
            self.got.set()
        return True


class Wires:
    """A driver between two pipes."""

    def __init__(self) -> None:
        self.inbox = Inbox()
        self.keyboard_end, self.keyboard = os.pipe()
        self.screen, screen_end = os.pipe()
        self.output = Output(os.fdopen(screen_end, "w"))
        self.driver: LinuxDriver = driver_on(self.output)(cast("App[object]", self.inbox))
        self.driver.fileno = self.keyboard_end

    def types(self, typed: bytes) -> None:
        os.write(self.keyboard, typed)
        cast(Any, self.driver)._read()


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTSTP, signal.SIGCONT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
async def test_bytes_become_keys_without_a_thread() -> None:
    before = threading.active_count()
    wires = Wires()
    wires.types(b"j\xc3")
    wires.types(b"\xa9\xff\xfek")
    assert wires.inbox.keys == ["j", "é", "k"]
    assert threading.active_count() == before


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("alone", [b"\xff", b"\xc3"], ids=["no text", "half a character"])
async def test_bytes_that_are_no_character_do_not_end_the_input(alone: bytes) -> None:
    wires = Wires()
    wires.types(alone)
    wires.types(b"\xa9")
    wires.types(b"k")
    assert wires.inbox.keys == (["é", "k"] if alone == b"\xc3" else ["k"])


@pytest.mark.usefixtures("handlers")
async def test_an_escape_alone_is_a_key_and_with_more_a_sequence() -> None:
    wires = Wires()
    wires.types(b"\x1b[A")
    wires.types(b"\x1b")
    assert wires.inbox.keys == ["up"]
    wires.inbox.got.clear()
    async with asyncio.timeout(60):
        await wires.inbox.got.wait()
    assert wires.inbox.keys == ["up", "\x1b"]


@pytest.mark.usefixtures("handlers")
async def test_a_frame_that_the_terminal_does_not_take_is_finished_when_it_reads_on() -> None:
    wires = Wires()
    frame = "x" * 500_000
    wires.driver.write(frame)
    assert not wires.output.settled()
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(wires.screen, "rb")
    )
    async with asyncio.timeout(60):
        assert await reader.readexactly(len(frame)) == frame.encode()
    transport.close()
    assert wires.output.settled()


@pytest.mark.usefixtures("handlers")
async def test_a_terminal_that_closes_is_read_no_more() -> None:
    wires = Wires()
    asyncio.get_running_loop().add_reader(wires.keyboard_end, cast(Any, wires.driver)._read)
    os.close(wires.keyboard)
    await asyncio.sleep(0.05)
    assert not asyncio.get_running_loop().remove_reader(wires.keyboard_end)
