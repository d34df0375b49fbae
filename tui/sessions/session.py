"""The interface of a session: a run that the screen shows, owned by this process, by another one, or replayed.

The UI thread calls its methods. They return immediately, with a future where an answer takes time.
"""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from tui.bridge import (
    AgentId,
    Command,
    Followed,
    HandoffId,
    MessageRow,
    Micros,
    Recalled,
    Sample,
    Scratchpad,
    Snapshot,
)
from tui.format.event_line import EventLine


class Earlier(Struct, frozen=True):
    """A page of older events, oldest first. The search went back to `searched`; `more`: there are older ones."""

    lines: tuple[EventLine, ...]
    searched: int
    more: bool


class LiveAgent(Struct, frozen=True):
    """What an agent is doing. `said` is its last message, or while `saying` the part that has arrived so far.

    `call` is its last tool call, `output` that call's output so far; the call started at `since` and may still be
    `running`. `note` says why a stream cannot be shown.
    """

    said: str = ""
    saying: bool = False
    call: str = ""
    output: str = ""
    running: bool = False
    since: Micros = 0
    note: str = ""


class CloseMode(StrEnum):
    """How a person leaves: the run stops, is paused and stops, or continues without the screen.

    `wait` is for a terminal that closed: a process that owns the run stays until the run ends. `exit` is for a process
    that must end: an owner stops the run. With either, a screen that is only attached leaves immediately. `now` waits
    neither for safe points nor for a process that does not answer.
    """

    STOP = "stop"
    WAIT = "wait"
    EXIT = "exit"
    NOW = "now"
    PAUSE = "pause"
    DETACH = "detach"


class Position(Struct, frozen=True):
    """A replay's cursor: event `seq` of `last`, which happened `at`; the run's first event was at `began`."""

    seq: int
    last: int
    began: Micros
    at: Micros
    last_at: Micros


class Player(Protocol):
    """The controls of a replay. `speed` is relative to the run's own."""

    playing: bool
    speed: float

    def position(self) -> Position: ...

    def toggle(self) -> None:
        """Play or pause."""

    def change_speed(self, by: int) -> None:
        """Go `by` steps faster, or slower if negative."""

    def step(self, by: int) -> Future[None]:
        """Move `by` events forward, or back if negative, and pause."""

    def seek(self, text: str) -> Future[None]:
        """Go to the event that a person names. Raises SwarmError (through the future)."""


class Session(Protocol):
    """A run that the screen shows.

    `player` exists only for a replay. `rewinds` grows whenever the event lines start over, after which lines from
    before must be dropped.

    `mark` shows in the header, such as `REPLAY`. `read_only` says why commands are refused, `no_detach` why the run
    cannot continue without the screen, `notice` what a person should know about the session now, and `exit_note` is
    printed once the screen is closed. `opening` says how far a slow opening of the journal has come. All of these may
    be empty. `trunk_git` is the repository of the run's own trunk,
    None until the run has begun.
    """

    mark: str
    read_only: str
    no_detach: str
    notice: str
    opening: str
    exit_note: str
    trunk_git: Path | None
    player: Player | None
    rewinds: int

    def start(self) -> None:
        """Start the session; called once."""

    def latest(self) -> tuple[int, Snapshot]:
        """A snapshot that does not change, and its version, which grows with every change of the run."""

    def now(self) -> Micros:
        """The current time, or the time of a replay's cursor, in microseconds since the epoch."""

    def events_after(self, seq: int) -> Sequence[EventLine]:
        """The events after `seq` that are still in memory, oldest first."""

    def submit(self, command: Command) -> Future[None]:
        """Send a command to the run. Raises SwarmError (through the future) if it is refused."""

    def messages(
        self, agent: AgentId, before: int | None, limit: int, *, whole: bool = False
    ) -> Future[list[MessageRow]]:
        """The agent's last `limit` messages before the message `before`, oldest first. Long texts are cut unless
        `whole`.
        """

    def log(self, agent: AgentId, before: int | None, limit: int) -> Future[list[EventLine]]:
        """About `limit` of the agent's last events before the sequence number `before`, oldest first."""

    def earlier(self, before: int, wanted: Callable[[EventLine], bool], limit: int) -> Future[Earlier]:
        """About `limit` wanted events before the sequence number `before`; fewer if a longer search would be slow.
        `wanted` is called in another thread.
        """

    def diff(self, agent: AgentId) -> Future[str]:
        """The changes in the agent's workspace, or else what it landed, as a unified patch."""

    def scratchpads(self, agent: AgentId) -> Future[list[Scratchpad]]:
        """All versions of the agent's scratchpad, oldest first."""

    def samples(self, points: int) -> Future[list[tuple[Micros, Sample]]]:
        """About `points` samples spread evenly over the whole run, oldest first."""

    def followed(self, handoff: HandoffId) -> Future[Followed]:
        """What the planner replied to a handoff, and the tasks that it created then."""

    def ended_below(self, planner: AgentId, known: Collection[AgentId]) -> Future[Recalled]:
        """The newest agents below a planner that have left memory, except for known ones."""

    def older_handoffs(self, known: Collection[HandoffId]) -> Future[Recalled]:
        """The newest handoffs that have left memory, except for known ones."""

    def watch(self, agent: AgentId) -> LiveAgent:
        """What the agent is doing right now. Tracking starts with the first call; one agent is tracked at a time."""

    def ended(self) -> bool:
        """Whether nothing will change any more, because the run finished, stopped or failed."""

    def failure(self) -> BaseException | None:
        """The error that broke the session, if any."""

    def exit_status(self) -> int | None:
        """The program's exit status; None while the run continues."""

    def close(self, mode: CloseMode) -> Future[None]:
        """Leave the run; the future is done when the program may exit. Called again, it changes how."""
