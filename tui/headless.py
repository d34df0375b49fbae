"""A run without the screen: progress lines on stderr, one JSON object (or all events) on stdout, and signals."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from tui.bridge import Command, Event, ExitStatus, Snapshot, Stop, Summary, event_line
from tui.progress import Progress

HEARTBEAT_S = 10.0


class Running(Protocol):
    """What this needs of a swarm."""

    @property
    def snapshot(self) -> Snapshot: ...

    async def run(self) -> Summary: ...

    async def submit(self, command: Command) -> None: ...

    def on_change(self, listener: Callable[[Event], None]) -> None: ...


class Stdout:
    """Lines of JSON on stdout. When its reader goes away the run goes on and the rest is not printed."""

    def __init__(self) -> None:
        self.open = True

    def line(self, content: bytes) -> None:
        if not self.open:
            return
        try:
            sys.stdout.buffer.write(content + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            self.open = False
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def drive(begin: Callable[[], Awaitable[Running]], *, as_json: bool) -> Summary:
    """Run the swarm that `begin` opens to its end; returns the summary, which is on stdout then.

    The first SIGINT, SIGTERM or SIGHUP stops it at the next safe points, a second one at once; both leave a run
    that can be resumed. Raises what `begin` raises.
    """
    return asyncio.run(_drive(begin, as_json=as_json))


async def _drive(begin: Callable[[], Awaitable[Running]], *, as_json: bool) -> Summary:
    stdout = Stdout()
    progress = Progress(sys.stderr)
    swarm = await begin()

    def on_change(event: Event) -> None:
        if as_json:
            stdout.line(event_line(event))
        progress.tell(event, swarm.snapshot)

    swarm.on_change(on_change)
    progress.opening(swarm.snapshot)
    running = asyncio.ensure_future(swarm.run())
    stopper = _Stopper(swarm, running, progress)
    beating = asyncio.ensure_future(_beat(swarm, progress))
    try:
        with stopper:
            summary = await running
    finally:
        beating.cancel()
    progress.closing(swarm.snapshot)
    stdout.line(msgspec.json.encode(summary))
    return summary


async def _beat(swarm: Running, progress: Progress) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        progress.heartbeat(swarm.snapshot)


class _Stopper:
    """Turns signals into a stop, then into a cancellation, while it is entered."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self, swarm: Running, running: "asyncio.Future[Summary]", progress: Progress) -> None:
        self.swarm = swarm
        self.running = running
        self.progress = progress
        self.asked = 0
        self.stopping: asyncio.Future[None] | None = None

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number in self.SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup asked for the signal to be ignored
                loop.add_signal_handler(number, self._on_signal, number)

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in self.SIGNALS:
            loop.remove_signal_handler(number)

    def _on_signal(self, number: signal.Signals) -> None:
        self.asked += 1
        if self.asked == 1:
            self.progress.note(f"{number.name}: stopping at the next safe points; once more stops at once")
            self.stopping = asyncio.ensure_future(self.swarm.submit(Stop(reason=f"stopped by {number.name}")))
        else:
            self.progress.note(f"{number.name}: stopping at once")
            self.running.cancel()


def status_of(summary: Summary) -> int:
    """The exit status of a run that ended."""
    return int(ExitStatus.STOPPED if summary.exit_status is None else summary.exit_status)
