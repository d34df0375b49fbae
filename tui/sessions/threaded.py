"""The base of all sessions: a thread with an event loop, and the queries that the UI thread asks it.

The two threads share only frozen values and futures, so neither ever waits for the other.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Protocol, TypeVar

from tui.bridge import (
    AgentId,
    CommitId,
    ErrorKind,
    Event,
    Followed,
    HandoffId,
    MessageRow,
    Micros,
    OpeningProgress,
    Recalled,
    Sample,
    Scratchpad,
    Snapshot,
    SwarmError,
    ToolCallRow,
    landed_by,
)
from tui.format.event_line import EventLine, Tone
from tui.format.event_lines import describe
from tui.sessions.live_agent import LiveAgentTracker
from tui.sessions.session import CloseMode, Earlier, LiveAgent, Player

T = TypeVar("T")
PUBLISH_S = 0.2
"""Shortest time between two snapshots, in seconds."""
CANCEL_S = 5.0
"""Seconds that queries may take to end once the session has ended."""
KEPT_LINES = 5000
KEPT_ROUTINE = 2000
"""Routine lines are kept apart: there are many, and they must not push out the others."""
_EARLIER = 300
"""Events read when a session starts."""
_NEWEST = 50
"""How many events of an agent that has left memory are read to find what it landed."""
_PAGES = 20
"""Pages of events searched for one query at most."""


class JournalQueries(Protocol):
    """The journal's queries that a session needs."""

    async def messages(
        self, agent: AgentId, *, before: int | None = None, limit: int = 100, whole: bool = False
    ) -> tuple[MessageRow, ...]: ...

    async def last_call(self, agent: AgentId) -> ToolCallRow | None: ...

    async def scratchpads(self, agent: AgentId, *, limit: int = 50) -> tuple[Scratchpad, ...]: ...

    async def events(
        self, *, before: int | None = None, agent: AgentId | None = None, limit: int = 200
    ) -> list[Event]: ...

    async def spread_samples(self, points: int) -> tuple[tuple[Micros, Sample], ...]: ...

    async def followed(self, handoff: HandoffId) -> Followed: ...

    async def ended_below(self, planner: AgentId, known: Collection[AgentId], at: Micros) -> Recalled: ...

    async def older_handoffs(self, known: Collection[HandoffId], at: Micros) -> Recalled: ...

    async def close(self) -> None: ...


class ThreadedSession(ABC):
    """Subclasses supply `_main`, the session's work, `_snapshot`, its snapshot, and `_leave`."""

    mark = ""
    read_only = ""
    no_detach = ""
    notice = ""
    opening = ""
    exit_note = ""
    trunk_git: Path | None = None
    player: Player | None = None
    rewinds = 0

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._work, name="session")
        self._published: tuple[int, Snapshot] = (0, Snapshot())
        self._changes = 0
        self._lines: deque[EventLine] = deque(maxlen=KEPT_LINES)
        self._routine: deque[EventLine] = deque(maxlen=KEPT_ROUTINE)
        self._last_line = 0
        self._lock = Lock()
        self._reader: JournalQueries | None = None
        self._tracker: LiveAgentTracker | None = None
        self._failure: BaseException | None = None
        self._status: int | None = None
        self._ended = asyncio.Event()
        self._closing = asyncio.Event()
        self._changed = asyncio.Event()
        self._closed: Future[None] = Future()
        self._asked: set[Future[Any]] = set()
        """What is under way in the session's thread: asyncio would let it be garbage-collected while it waits."""

    # --- the session's thread ---------------------------------------------------------------------------------

    @abstractmethod
    async def _main(self) -> None:
        """The session's work. The thread ends with it. It stores an error in `_failure`."""

    @abstractmethod
    def _snapshot(self) -> Snapshot | None:
        """The snapshot, which changes in place; None before there is one."""

    @abstractmethod
    async def _leave(self, mode: CloseMode) -> None:
        """Make `_main` end, in the way that the person chose."""

    def start(self) -> None:
        self._thread.start()

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main_and_publish())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()
            self._closed.set_result(None)

    async def _main_and_publish(self) -> None:
        publishing = asyncio.create_task(self._publish_changes())
        try:
            await self._main()
        finally:
            left = {publishing} | (asyncio.all_tasks() - {asyncio.current_task()})
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=CANCEL_S)
            if self._reader is not None:
                await self._reader.close()

    async def _publish_changes(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._publish_snapshot()
            await asyncio.sleep(PUBLISH_S)

    def _publish_snapshot(self) -> None:
        run = self._snapshot()
        if run is not None:
            self._changes += 1
            self._published = (self._changes, run.copy())

    def _show_opening(self, at: OpeningProgress) -> None:
        """Show how far the opening of the journal has come. Any thread may call this before there is a snapshot."""
        self.opening = str(at)
        if self._snapshot() is None:
            self._changes += 1
            self._published = (self._changes, Snapshot())

    async def _read_earlier(self, reader: JournalQueries, until: int) -> None:
        """Fill the list of events with the newest ones up to `until`."""
        for event in reversed(await reader.events(limit=_EARLIER)):
            if event.seq <= until:
                self._add_event(event)

    def _add_event(self, event: Event) -> None:
        """Add an event's line, unless it was added before."""
        if event.seq <= self._last_line:
            return
        if self._tracker is not None and event.agent == self._tracker.agent:
            self._tracker.apply(event)
        self._last_line = event.seq
        line = describe(event)
        with self._lock:
            (self._routine if line.tone is Tone.ROUTINE else self._lines).append(line)

    def _clear_events(self) -> None:
        """Empty the list of events, because it starts again at another event."""
        with self._lock:
            self._lines.clear()
            self._routine.clear()
            self._last_line = 0
            self.rewinds += 1

    # --- the UI thread ----------------------------------------------------------------------------------------

    def latest(self) -> tuple[int, Snapshot]:
        return self._published

    def now(self) -> Micros:
        return time.time_ns() // 1000

    def events_after(self, seq: int) -> Sequence[EventLine]:
        with self._lock:
            new = [
                line
                for lines in (self._lines, self._routine)
                for line in takewhile(lambda line: line.seq > seq, reversed(lines))
            ]
        return sorted(new, key=lambda line: line.seq)

    def _in_thread(self, make: Callable[[], Coroutine[Any, Any, T]]) -> "Future[T]":
        """Run a coroutine in the session's thread."""
        coroutine = make()
        try:
            asked = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            answer: Future[T] = Future()
            answer.set_exception(engine_missing())
            return answer
        self._asked.add(asked)
        asked.add_done_callback(self._asked.discard)
        return asked

    def messages(
        self, agent: AgentId, before: int | None, limit: int, *, whole: bool = False
    ) -> "Future[list[MessageRow]]":
        async def messages() -> list[MessageRow]:
            return list(await self._journal().messages(agent, before=before, limit=limit, whole=whole))

        return self._in_thread(messages)

    def log(self, agent: AgentId, before: int | None, limit: int) -> "Future[list[EventLine]]":
        async def log() -> list[EventLine]:
            lines: list[EventLine] = []
            at = before
            while len(lines) < limit and (page := await self._journal().events(before=at, agent=agent, limit=limit)):
                lines += [line for event in page if (line := describe(event)) is not None]
                at = page[-1].seq
            return lines[::-1]

        return self._in_thread(log)

    def earlier(self, before: int, wanted: Callable[[EventLine], bool], limit: int) -> "Future[Earlier]":
        async def earlier() -> Earlier:
            lines: list[EventLine] = []
            at = before
            for _ in range(_PAGES):
                page = await self._journal().events(before=at, limit=limit)
                lines += filter(wanted, map(describe, page))
                at = page[-1].seq if page else 1
                if at == 1 or len(lines) >= limit:
                    break
            return Earlier(tuple(reversed(lines)), at, more=at > 1)

        return self._in_thread(earlier)

    def followed(self, handoff: HandoffId) -> "Future[Followed]":
        async def followed() -> Followed:
            return await self._journal().followed(handoff)

        return self._in_thread(followed)

    def ended_below(self, planner: AgentId, known: Collection[AgentId]) -> "Future[Recalled]":
        at = self._published[1].at
        return self._in_thread(lambda: self._journal().ended_below(planner, known, at))

    def older_handoffs(self, known: Collection[HandoffId]) -> "Future[Recalled]":
        at = self._published[1].at
        return self._in_thread(lambda: self._journal().older_handoffs(known, at))

    def watch(self, agent: AgentId) -> LiveAgent:
        tracker = self._tracker
        if tracker is None or tracker.agent != agent:
            self._tracker = tracker = LiveAgentTracker(agent)
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._begin_tracking, tracker)
        return tracker.live

    def _begin_tracking(self, tracker: LiveAgentTracker) -> None:
        """In the session's thread: fill in what came before. Subclasses with a stream start listening to it."""
        self._recalling = asyncio.create_task(self._recall(tracker))

    async def _recall(self, tracker: LiveAgentTracker) -> None:
        if self._reader is None:
            self._tracker = None  # too early: the next call tries again
            return
        with suppress(SwarmError):  # the messages tab shows what is wrong with the journal
            said = await self._reader.messages(tracker.agent, limit=8)
            tracker.fill_in(said, await self._reader.last_call(tracker.agent))

    def scratchpads(self, agent: AgentId) -> "Future[list[Scratchpad]]":
        async def scratchpads() -> list[Scratchpad]:
            return list(reversed(await self._journal().scratchpads(agent)))

        return self._in_thread(scratchpads)

    def samples(self, points: int) -> "Future[list[tuple[Micros, Sample]]]":
        async def samples() -> list[tuple[Micros, Sample]]:
            return list(await self._journal().spread_samples(points))

        return self._in_thread(samples)

    async def _landed_by(self, agent: AgentId) -> CommitId | None:
        return await landed_by(self._published[1], agent, lambda id: self._journal().events(agent=id, limit=_NEWEST))

    def _journal(self) -> JournalQueries:
        if self._reader is None:
            raise engine_missing()
        return self._reader

    def ended(self) -> bool:
        return self._ended.is_set()

    def failure(self) -> BaseException | None:
        return self._failure

    def exit_status(self) -> int | None:
        return self._status

    def close(self, mode: CloseMode) -> "Future[None]":
        if not self._thread.is_alive():
            if not self._closed.done():
                self._closed.set_result(None)
            return self._closed
        self._in_thread(lambda: self._leave(mode))
        return self._closed


def engine_missing() -> SwarmError:
    """The error while no engine is running."""
    return SwarmError(ErrorKind.STATE, "the engine is not running", "wait until it has started, or resume the run")
