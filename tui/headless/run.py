"""A run without the app: progress on stderr, one JSON object or all events on stdout, and signal handling."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tui import bridge
from tui.bridge import ErrorKind, Event, ExitStatus, Micros, Snapshot, Stop, Summary, SwarmError, event_line
from tui.headless.progress import Progress
from tui.sessions.exit_message import run_message

HEARTBEAT_S = 10.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stdout:
    """Lines of JSON on stdout. If its reader goes away or its disk is full, the run continues without printing."""

    def __init__(self, progress: Progress) -> None:
        self._open = True
        self._progress = progress

    def line(self, content: bytes) -> None:
        if not self._open:
            return
        try:
            sys.stdout.buffer.write(content + b"\n")
            sys.stdout.buffer.flush()
        except OSError as error:
            self._open = False
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if not isinstance(error, BrokenPipeError):
                self._progress.note(f"warning: cannot print the rest: {error.strerror}")


def run_headless(begin: Callable[[], Awaitable["bridge.LiveRun"]], *, as_json: bool) -> int:
    """Runs the swarm that `begin` opens until it ends, and prints its summary; returns the exit status.

    The first SIGINT, SIGTERM or SIGHUP stops it at the next safe points, the second one immediately; either way the
    run can be resumed. Raises what `begin` raises, and SwarmError if the run could not continue.
    """
    return asyncio.run(_run(begin, as_json=as_json))


async def _run(begin: Callable[[], Awaitable["bridge.LiveRun"]], *, as_json: bool) -> int:
    progress = Progress(sys.stderr)
    stdout = Stdout(progress)
    with _Signals(progress) as signals:
        run = await signals.until_asked(begin())

        early: list[Event] = []
        caught_up = asyncio.Event()

        def on_change(event: Event) -> None:
            if not caught_up.is_set():
                early.append(event)
                return
            if as_json:
                stdout.line(event_line(event))
            progress.report(event, run.snapshot)

        begun = run.snapshot.seq
        run.swarm.on_change(on_change)
        progress.start(run.snapshot)
        if as_json:
            await run.swarm.durable(begun)
            first = 0 if run.snapshot.epoch == 1 else begun - 1  # the rest of a resumed run was printed before
            async for event in run.reader.stream(first, begun):
                stdout.line(event_line(event))
        caught_up.set()
        for event in early:
            on_change(event)
        beating = asyncio.ensure_future(_beat(run, progress))
        try:
            broke = await _until_end(run, signals)
        finally:
            beating.cancel()
    progress.heartbeat(run.snapshot, _now())
    summary = run.summary()
    stdout.line(bridge.json_line(summary))
    for line in run_message(run.snapshot):
        progress.note(line)
    if broke is not None:
        status = broke.status if summary.exit_status is None else ExitStatus(summary.exit_status)
        raise SwarmError(broke.kind, broke.message, broke.hint, status) from broke
    return _conclusion(summary, run.snapshot)


async def _until_end(run: "bridge.LiveRun", signals: "_Signals") -> SwarmError | None:
    """Runs until the end; returns the error that broke the run, if it is one that a person can fix."""
    running = asyncio.ensure_future(run.run())

    async def stop(name: str) -> None:
        with suppress(SwarmError):
            await run.swarm.submit(Stop(reason=f"stopped by {name}"))

    signals.first, signals.second = stop, running.cancel
    try:
        await running
    except SwarmError as error:
        return error
    except asyncio.CancelledError:
        if not signals.asked:
            raise
    return None


def _conclusion(summary: Summary, snapshot: Snapshot) -> int:
    """The exit status. Raises SwarmError for a run that ended without being done and green."""
    status = ExitStatus.STOPPED if summary.exit_status is None else ExitStatus(summary.exit_status)
    if status is ExitStatus.NOT_GREEN:
        raise SwarmError(ErrorKind.STATE, snapshot.reason or "not done", _what_to_look_at(snapshot), status)
    return int(status)


def _what_to_look_at(snapshot: Snapshot) -> str:
    if not snapshot.usage.input and snapshot.retries:
        return "no model ever answered; check that its server can be reached, and see: swarm-tui doctor"
    if snapshot.root is None:
        return "see the hints above; without --require-green-base the run goes on, and its planners are told"
    if snapshot.last_check is not None and not snapshot.last_check.passed:
        return f"the check `{snapshot.check_command}` fails on branch swarm/{snapshot.run}/trunk"
    return f"for what the agents reported: swarm-tui export {snapshot.run}"


async def _beat(run: "bridge.LiveRun", progress: Progress) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        if run.snapshot.ended:
            return
        progress.heartbeat(run.snapshot, _now())


def _now() -> Micros:
    return time.time_ns() // 1_000


class _Signals:
    """While entered, turns the first signal into a request to stop and the second into an immediate end."""

    def __init__(self, progress: Progress) -> None:
        self.asked = 0
        self.first: Callable[[str], Awaitable[None]] | None = None
        self.second: Callable[[], object] | None = None
        self._progress = progress
        self._stopping: asyncio.Future[None] | None = None

    async def until_asked(self, beginning: Awaitable["bridge.LiveRun"]) -> "bridge.LiveRun":
        """Waits for what comes before the run. A signal ends it: raises SwarmError (stopped) then."""
        task = asyncio.ensure_future(beginning)
        self.second = task.cancel
        try:
            return await task
        except asyncio.CancelledError:
            if not self.asked:
                raise
            raise SwarmError(
                ErrorKind.STATE, "stopped before the run began", "start it again", ExitStatus.STOPPED
            ) from None

    def __enter__(self) -> "_Signals":
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup asked for the signal to be ignored
                loop.add_signal_handler(number, self._on_signal, number)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    def _on_signal(self, number: signal.Signals) -> None:
        self.asked += 1
        if self.asked == 1 and self.first is not None:
            self._progress.note(f"{number.name}: stopping at the next safe points; once more to stop immediately")
            self._stopping = asyncio.ensure_future(self.first(number.name))
        elif self.second is not None:
            self._progress.note(f"{number.name}: stopping immediately")
            self.second()
