"""A run without the app: progress on stderr, one JSON object or all events on stdout, and signal handling."""

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from tui import bridge
from tui.bridge import ErrorKind, Event, ExitStatus, Micros, Snapshot, Stop, Summary, SwarmError, event_line
from tui.headless.progress import OPENING_S, Progress
from tui.sessions.exit_message import run_message
from tui.terminal.output import Output, drop_output

HEARTBEAT_S = 10.0
PRINT_S = 0.05
"""Seconds between two looks for new events, or for a reader of what was printed."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


Begin = Callable[["bridge.Opening"], Awaitable["bridge.LiveRun"]]


def run_headless(begin: Begin, *, as_json: bool) -> int:
    """Runs the swarm that `begin` opens until it ends, and prints its summary; returns the exit status.

    The first SIGINT, SIGTERM or SIGHUP stops it at the next safe points, the second one immediately; either way the
    run can be resumed. Raises what `begin` raises, and SwarmError if the run could not continue.
    """
    return asyncio.run(_run(begin, as_json=as_json))


async def _run(begin: Begin, *, as_json: bool) -> int:
    stderr, stdout = Output(sys.stderr), Output(sys.stdout)
    progress = Progress(stderr)
    with _Signals(progress, (stderr, stdout)) as signals:
        loop = asyncio.get_running_loop()

        def on_opening(at: "bridge.OpeningProgress") -> None:
            loop.call_soon_threadsafe(progress.note, str(at))

        run = await signals.until_asked(begin(bridge.Opening(on_opening, OPENING_S)))
        changed = asyncio.Event()

        def on_change(event: Event) -> None:
            changed.set()
            progress.report(event, run.snapshot)

        run.swarm.on_change(on_change)
        progress.start(run.snapshot)
        beating = asyncio.ensure_future(_beat(run, progress))
        ended = asyncio.Event()
        printing = asyncio.ensure_future(_print_events(run, stdout, changed, ended)) if as_json else None
        try:
            broke = await _until_end(run, signals)
        finally:
            beating.cancel()
            ended.set()
            changed.set()
        summary = run.summary()
        progress.heartbeat(run.snapshot, _now())
        if printing is not None:
            await signals.until_signal(printing)
        await signals.until_signal(asyncio.ensure_future(_print_line(stdout, bridge.json_line(summary))))
        await signals.until_signal(asyncio.ensure_future(_until(stdout.settled)))
        if stdout.error is not None and not isinstance(stdout.error, BrokenPipeError):
            progress.note(f"warning: cannot print the rest: {stdout.error.strerror}")
        for line in run_message(run.snapshot, bridge.Result(summary.unpublished, summary.fetch)):
            progress.note(line)
        await signals.until_signal(asyncio.ensure_future(_until(stderr.settled)))
    if stderr.abandoned:
        drop_output((sys.stderr.fileno(),))
    if broke is not None:
        status = broke.status if summary.exit_status is None else ExitStatus(summary.exit_status)
        raise SwarmError(broke.kind, broke.message, broke.hint, status) from broke
    return _conclusion(summary, run.snapshot)


async def _print_events(run: "bridge.LiveRun", stdout: Output, changed: asyncio.Event, ended: asyncio.Event) -> None:
    """Prints the run's events until it has ended.

    They are read from the journal, so that a slow reader neither delays the engine nor fills the memory.
    """
    at = 0 if run.snapshot.epoch == 1 else run.snapshot.seq - 1  # the rest of a resumed run was printed before
    reader = await bridge.JournalReader.open(run.folder.journal)
    try:
        while not stdout.abandoned:
            over = ended.is_set()
            async for event in reader.stream(at):
                await _print_line(stdout, event_line(event))
                at = event.seq
            if over:
                return
            if at == run.snapshot.seq and not ended.is_set():
                changed.clear()
                await changed.wait()
            await asyncio.sleep(PRINT_S)
    finally:
        await reader.close()


async def _print_line(output: Output, line: bytes) -> None:
    text = f"{line.decode()}\n"
    await _until(lambda: output.offer(text))


async def _until(done: Callable[[], bool]) -> None:
    while True:
        if done():
            return
        await asyncio.sleep(PRINT_S)


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
        raise SwarmError(ErrorKind.STATE, snapshot.reason or "not done", _what_to_look_at(summary, snapshot), status)
    return int(status)


def _what_to_look_at(summary: Summary, snapshot: Snapshot) -> str:
    if not snapshot.usage.input and snapshot.retries:
        return "no model ever answered; check that its server can be reached, and see: swarm-tui doctor"
    if snapshot.root is None:
        return "see the hints above; without --require-green-base the run goes on, and its planners are told"
    if summary.fetch:
        return f"to get the result: {summary.fetch}"
    if (check := snapshot.last_check) is not None and not check.passed:
        failing = f"setup command `{check.setup}`" if check.setup else f"check `{snapshot.check_command}`"
        return f"the {failing} fails on branch swarm/{snapshot.run}/trunk"
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

    def __init__(self, progress: Progress, outputs: Sequence[Output]) -> None:
        self.asked = 0
        self._outputs = outputs
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

    async def until_signal(self, task: "asyncio.Future[None]") -> None:
        """Waits for what comes after the run. A signal ends it."""
        self.first, self.second = None, task.cancel
        await asyncio.wait((task,))

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
        for output in self._outputs:
            output.hurry()
        if self.asked == 1 and self.first is not None:
            self._progress.note(f"{number.name}: stopping at the next safe points; once more to stop immediately")
            self._stopping = asyncio.ensure_future(self.first(number.name))
        elif self.second is not None:
            self._progress.note(f"{number.name}: stopping immediately")
            self.second()
