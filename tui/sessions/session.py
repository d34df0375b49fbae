"""A run as the screen sees it: embedded in this process, attached over a socket, or replayed.

Every method of a session may be called from the screen's thread and returns at once; what takes time comes back as a
future.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from tui.bridge import (
    AgentId,
    Command,
    Followed,
    HandoffId,
    MessageRow,
    Micros,
    Sample,
    Scratchpad,
    Snapshot,
)
from tui.format.event_line import EventLine


class Earlier(Struct, frozen=True):
    """A page of older events, oldest first. All from `searched` on were looked at; `more`: there are some before."""

    lines: tuple[EventLine, ...]
    searched: int
    more: bool


class LiveAgent(Struct, frozen=True):
    """What an agent is at. `said` is what it streams while `saying`, else what it said last.

    `call` is the tool that it runs while `running`, or ran last, and since when; `output` what came of it so far.
    `note` tells why a stream cannot be shown.
    """

    said: str = ""
    saying: bool = False
    call: str = ""
    output: str = ""
    running: bool = False
    since: Micros = 0
    note: str = ""


class CloseMode(StrEnum):
    """How a person leaves: the run stops and can be resumed, pauses first, or goes on without the screen.

    `wait` is for a terminal that went away: a process that owns the run stays until it is over. `exit` is for a
    process that has to end: an owner stops the run. Both let a screen that is only attached leave at once.
    """

    STOP = "stop"
    WAIT = "wait"
    EXIT = "exit"
    PAUSE = "pause"
    DETACH = "detach"


class Position(Struct, frozen=True):
    """Where a replay stands: after event `seq`, at a moment, of so many events so far and from when to when."""

    seq: int
    last: int
    began: Micros
    at: Micros
    last_at: Micros


class Player(Protocol):
    """What a person does to a replay. `speed` is how much faster than it happened."""

    playing: bool
    speed: float

    def position(self) -> Position: ...

    def toggle(self) -> None:
        """Play or pause."""
        ...

    def change_speed(self, by: int) -> None:
        """So many notches faster, or slower."""
        ...

    def step(self, by: int) -> Future[None]:
        """So many events on, or back; it no longer plays."""
        ...

    def seek(self, text: str) -> Future[None]:
        """Go to a moment as a person names it. Raises SwarmError (through the future)."""
        ...


class Session(Protocol):
    """A run as the screen sees it.

    `player` is there for a replay only. `rewinds` grows whenever the lines of events are no longer those that follow
    from the last ones: what was taken over of them is to be forgotten.

    `mark` is shown in the header (`REPLAY`, for example; empty for a live run). `read_only` says why commands
    are refused, `no_detach` why the swarm cannot go on without the screen; empty when they are not. `notice` is
    what a person must know of the session now, `farewell` what the terminal says once the screen is gone.
    """

    mark: str
    read_only: str
    no_detach: str
    notice: str
    farewell: str
    player: Player | None
    rewinds: int

    def start(self) -> None:
        """Begin the work; called once."""
        ...

    def latest(self) -> tuple[int, Snapshot]:
        """A version that grows with every change, and a snapshot that nothing changes any more."""
        ...

    def now(self) -> Micros:
        """The run's time, in microseconds UTC: the clock's when live, the cursor's in a replay."""
        ...

    def events_after(self, seq: int) -> Sequence[EventLine]:
        """Recent events with a greater sequence number, oldest first; bounded by what is kept in memory."""
        ...

    def submit(self, command: Command) -> Future[None]:
        """Raises SwarmError (through the future) when the command cannot be done."""
        ...

    def messages(
        self, agent: AgentId, before: int | None, limit: int, *, whole: bool = False
    ) -> Future[list[MessageRow]]:
        """The conversation's last `limit` messages before the message `before`, oldest first.

        Long texts are cut unless `whole`.
        """
        ...

    def log(self, agent: AgentId, before: int | None, limit: int) -> Future[list[EventLine]]:
        """The agent's last events, about `limit` of them, before the sequence number `before`, oldest first."""
        ...

    def earlier(self, before: int, wanted: Callable[[EventLine], bool], limit: int) -> Future[Earlier]:
        """About `limit` events before the sequence number `before` that are wanted; fewer where looking for more
        would take long. `wanted` is called in another thread.
        """
        ...

    def diff(self, agent: AgentId) -> Future[str]:
        """The agent's copy as it stands now, or what it landed, as a unified patch."""
        ...

    def scratchpads(self, agent: AgentId) -> Future[list[Scratchpad]]:
        """The agent's scratchpad in all its versions, oldest first."""
        ...

    def samples(self, points: int) -> Future[list[tuple[Micros, Sample]]]:
        """About so many measurements over the whole run, evenly spread, oldest first."""
        ...

    def followed(self, handoff: HandoffId) -> Future[Followed]:
        """What the planner that got a handoff said to it, and the tasks that it asked for then."""
        ...

    def watch(self, agent: AgentId) -> LiveAgent:
        """What the agent is at right now; it is watched from the first call on, one at a time."""
        ...

    def ended(self) -> bool:
        """Whether nothing will change any more: the run ended, stopped or failed."""
        ...

    def failure(self) -> BaseException | None:
        """What broke the session, if something did."""
        ...

    def exit_status(self) -> int | None:
        """What the program should exit with; None while the run goes on."""
        ...

    def close(self, mode: CloseMode) -> Future[None]:
        """Leave the run in the way the person asked for; done when it is safe to exit. Again is no harm."""
        ...
