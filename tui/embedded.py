"""A session whose engine runs in this process, in a thread and on a loop of its own: neither waits for the other."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from itertools import takewhile
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Protocol, TypeVar

from tui.bridge import (
    ROOT,
    AgentId,
    CloseMode,
    Command,
    ErrorKind,
    Event,
    EventLine,
    EventPage,
    ExitStatus,
    JournalReader,
    MessageRow,
    Micros,
    Pause,
    Scratchpad,
    Snapshot,
    Stop,
    Summary,
    SwarmError,
    TurnTaken,
)
from tui.eventlines import describe

T = TypeVar("T")
PUBLISH_S = 0.2
"""Seconds at least between two snapshots."""
KEPT_LINES = 5000
KEPT_LIVE = 16_000
_EARLIER = 300


class Reader(Protocol):
    """The journal's queries, as far as a session needs them."""

    async def messages(
        self, agent: AgentId, *, before: int | None = None, limit: int = 100
    ) -> tuple[MessageRow, ...]: ...

    async def scratchpads(self, agent: AgentId, *, limit: int = 50) -> tuple[Scratchpad, ...]: ...

    async def events(self, *, limit: int = 200) -> EventPage: ...

    async def close(self) -> None: ...


class Folder(Protocol):
    @property
    def journal(self) -> Path: ...


class Live(Protocol):
    """A run that this process owns."""

    @property
    def snapshot(self) -> Snapshot: ...

    @property
    def reader(self) -> Reader: ...

    @property
    def folder(self) -> Folder: ...

    async def run(self) -> Summary: ...

    async def submit(self, command: Command) -> None: ...

    async def diff(self, agent: AgentId) -> str: ...

    def watch(self, agent: AgentId | None, on_text: Callable[[str], None]) -> None: ...

    def on_change(self, listener: Callable[[Event], None]) -> None: ...


class EmbeddedSession:
    """Runs what `begin` makes. The screen's thread and the engine's meet only in frozen values and futures."""

    mark = ""
    read_only = ""
    no_detach = "this run lives in the same process as the screen"

    def __init__(self, begin: Callable[[], Awaitable[Live]]) -> None:
        self._begin = begin
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._work, name="engine")
        self._published: tuple[int, Snapshot] = (0, Snapshot())
        self._lines: deque[EventLine] = deque(maxlen=KEPT_LINES)
        self._lock = Lock()
        self._live: Live | None = None
        self._reader: Reader | None = None
        self._watched: AgentId | None = None
        self._live_text = ""
        self._failure: BaseException | None = None
        self._status: int | None = None
        self._over = asyncio.Event()
        self._may_end = asyncio.Event()
        self._changed = asyncio.Event()
        self._beginning: asyncio.Task[None] | None = None
        self._closed: Future[None] = Future()
        self._closing = False

    # --- the engine's thread ---------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()
            self._closed.set_result(None)

    async def _main(self) -> None:
        self._beginning = asyncio.create_task(self._live_through())
        publishing = asyncio.create_task(self._publish())
        try:
            await self._beginning
        except asyncio.CancelledError:
            self._status = int(ExitStatus.STOPPED)
        except BaseException as error:
            # Whatever broke the engine must reach the person, not die with this thread.
            self._failure = error
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
        if self._live is not None:
            self._take()
            if self._failure is None:
                # The run has let go of its own reader; the screen still reads what was said.
                self._reader = await JournalReader.open(self._live.folder.journal)
        self._over.set()
        if self._failure is None:
            await self._may_end.wait()
        if self._reader is not None:
            await self._reader.close()

    async def _live_through(self) -> None:
        live = await self._begin()
        self._live = live
        self._reader = live.reader
        earlier = await live.reader.events(limit=_EARLIER)
        with self._lock:
            self._lines.extend(line for event in reversed(earlier.events) if (line := describe(event)) is not None)
        last = self._lines[-1].seq if self._lines else 0
        live.on_change(lambda event: self._happened(event, last))
        self._take()
        summary = await live.run()
        self._status = summary.exit_status

    def _happened(self, event: Event, last: int) -> None:
        if event.seq > last and (line := describe(event)) is not None:
            with self._lock:
                self._lines.append(line)
        if event.agent == self._watched and isinstance(event.body, TurnTaken):
            self._live_text += "\n\n"
        self._changed.set()

    async def _publish(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._take()
            await asyncio.sleep(PUBLISH_S)

    def _take(self) -> None:
        if self._live is not None:
            run = self._live.snapshot
            self._published = (run.seq, run.copy())

    # --- the screen's thread ---------------------------------------------------------------------------------

    def latest(self) -> tuple[int, Snapshot]:
        return self._published

    def now(self) -> Micros:
        return time.time_ns() // 1000

    def events_after(self, seq: int) -> Sequence[EventLine]:
        with self._lock:
            new = list(takewhile(lambda line: line.seq > seq, reversed(self._lines)))
        return new[::-1]

    def _ask(self, question: Callable[[], Coroutine[Any, Any, T]]) -> "Future[T]":
        try:
            return asyncio.run_coroutine_threadsafe(question(), self._loop)
        except RuntimeError:
            answer: Future[T] = Future()
            answer.set_exception(_not_there())
            return answer

    def submit(self, command: Command) -> "Future[None]":
        async def submit() -> None:
            if self._live is None or self._over.is_set():
                raise _not_there()
            await self._live.submit(command)

        return self._ask(submit)

    def messages(self, agent: AgentId, before: int | None, limit: int) -> "Future[list[MessageRow]]":
        async def messages() -> list[MessageRow]:
            if self._reader is None:
                raise _not_there()
            return list(await self._reader.messages(agent, before=before, limit=limit))

        return self._ask(messages)

    def scratchpads(self, agent: AgentId) -> "Future[list[Scratchpad]]":
        async def scratchpads() -> list[Scratchpad]:
            if self._reader is None:
                raise _not_there()
            return list(reversed(await self._reader.scratchpads(agent)))

        return self._ask(scratchpads)

    def diff(self, agent: AgentId) -> "Future[str]":
        async def diff() -> str:
            if self._live is None:
                raise _not_there()
            return await self._live.diff(agent)

        return self._ask(diff)

    def live_text(self, agent: AgentId) -> str:
        if agent != self._watched:
            self._watched = agent
            self._live_text = ""
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._watch, agent)
        return self._live_text

    def _watch(self, agent: AgentId) -> None:
        if self._live is not None:
            self._live.watch(agent, lambda text: self._heard(agent, text))
        elif not self._over.is_set():
            self._watched = None  # asked too early: the next look asks again

    def _heard(self, agent: AgentId, text: str) -> None:
        if agent == self._watched:
            self._live_text = (self._live_text + text)[-KEPT_LIVE:]

    def ended(self) -> bool:
        return self._over.is_set()

    def failure(self) -> BaseException | None:
        return self._failure

    def exit_status(self) -> int | None:
        return self._status

    def close(self, mode: CloseMode) -> "Future[None]":
        if not self._thread.is_alive():
            if not self._closed.done():
                self._closed.set_result(None)
            return self._closed
        self._ask(lambda: self._leave(mode))
        return self._closed

    async def _leave(self, mode: CloseMode) -> None:
        self._may_end.set()
        if mode is CloseMode.WAIT or self._over.is_set():
            return
        if self._live is None:
            if self._beginning is not None:
                self._beginning.cancel()
            return
        if mode is CloseMode.PAUSE:
            # Pausing the root's subtree stays in force when the run is resumed; pausing the run would not.
            await self._live.submit(Pause(ROOT))
        await self._live.submit(Stop())


def _not_there() -> SwarmError:
    return SwarmError(ErrorKind.STATE, "the engine does not run", "wait until it has started, or resume the run")
