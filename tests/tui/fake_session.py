"""A session over events that the test records, in the same thread, with a clock that only the test moves."""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from engine.domain import events as e
from engine.domain.commands import AnswerNote, Cancel, Command, Pause, Resolve, Resume, SetWorkers, Stop, SubmitIntent
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.resource_use import Sample
from engine.domain.types import (
    Agent,
    AgentId,
    AgentState,
    CallId,
    HandoffId,
    InboxMessage,
    Intent,
    MessageId,
    MessageSource,
    RunState,
    Scratchpad,
    TaskId,
)
from engine.journal.rows import CallRow, Followed, MessageRow
from engine.state.fold import fold
from engine.state.recalled import Recalled
from engine.state.snapshot import Snapshot
from tui.format.event_line import EventLine
from tui.format.event_lines import describe
from tui.sessions.session import CloseMode, Earlier, LiveAgent, Player

T = TypeVar("T")
START = 1_800_000_000_000_000
SECOND = 1_000_000


def done(value: T) -> "Future[T]":
    future: Future[T] = Future()
    future.set_result(value)
    return future


def refused(message: str, hint: str) -> "Future[None]":
    future: Future[None] = Future()
    future.set_exception(SwarmError(ErrorKind.NOT_FOUND, message, hint))
    return future


class FakeSession:
    """Folds the recorded events. Commands take effect immediately, through the events that the engine would record."""

    mark = ""
    read_only = ""
    no_detach = "another process cannot take this run over"
    notice = ""
    opening = ""
    exit_note = ""
    trunk_git: Path | None = None
    player: Player | None = None
    rewinds = 0

    def __init__(self) -> None:
        self.run = Snapshot()
        self.at = START
        self.commands: list[Command] = []
        self.closed: CloseMode | None = None
        self.started = False
        self.patches: dict[AgentId, str] = {}
        self.live: dict[AgentId, LiveAgent] = {}
        self.said: dict[AgentId, list[MessageRow]] = {}
        self.led_to: dict[HandoffId, Followed] = {}
        self.whole: dict[int, str] = {}
        self.recalled = Recalled()
        self.pads: dict[AgentId, list[Scratchpad]] = {}
        self._lines: deque[EventLine] = deque(maxlen=5000)
        self._published: tuple[int, Snapshot] = (0, self.run.copy())

    # --- for tests -------------------------------------------------------------------------------------------

    def record(self, body: e.Body, agent: AgentId | None = None, task: TaskId | None = None) -> None:
        """Fold an event, 20 ms after the one before."""
        self.at += 20_000
        event = e.Event(self.run.seq + 1, self.at, max(1, self.run.epoch), body, agent, task)
        fold(self.run, event)
        if isinstance(body, e.ScratchpadRewritten) and agent is not None:
            self.pads.setdefault(agent, []).append(self.run.scratchpads[agent])
        self._lines.append(describe(event))

    def agent(self, path: str) -> Agent:
        return self.run.agents[self.run.paths[path]]  # type: ignore[index]

    # --- the session -----------------------------------------------------------------------------------------

    def start(self) -> None:
        self.started = True

    def latest(self) -> tuple[int, Snapshot]:
        if self._published[0] != self.run.seq:
            self._published = (self.run.seq, self.run.copy())
        return self._published

    def now(self) -> int:
        return self.at

    def events_after(self, seq: int) -> Sequence[EventLine]:
        return [line for line in self._lines if line.seq > seq]

    def submit(self, command: Command) -> "Future[None]":
        self.commands.append(command)
        match command:
            case Pause(path=None):
                self.record(e.RunStateChanged(RunState.PAUSED))
            case Resume(path=None):
                self.record(e.RunStateChanged(RunState.RUNNING))
            case Pause(path=path):
                self.record(e.SubtreePaused(), agent=self.agent(path).id)
            case Resume(path=path):
                self.record(e.SubtreeResumed(), agent=self.agent(path).id)
            case Cancel() if self.run.root is None:
                self.record(e.RunStateChanged(RunState.FINISHED, command.reason))
            case Cancel(path=path):
                for agent in list(self.run.subtree(self.agent(path).id)):
                    if not agent.ended:
                        self.record(e.AgentStateChanged(AgentState.CANCELLED, reason=command.reason), agent=agent.id)
            case SetWorkers(workers=0):
                return refused("a swarm needs at least one worker", "P pauses everything")
            case SetWorkers(workers=workers, path=path):
                if path is not None:
                    self.record(e.SubtreeLimited(workers), agent=self.agent(path).id)
                elif workers is not None:
                    self.record(e.WorkersLimited(workers, "person"))
            case SubmitIntent(text=text):
                self.record(e.IntentVersioned(Intent(len(self.run.intents) + 1, self.at, "person", text)))
            case AnswerNote(note=note, text=text, taken_back=taken_back):
                answered = e.NoteAnswered(note, text, taken_back=taken_back)
                self.record(answered, agent=self.run.notes[note].agent)
            case Resolve(handoff=handoff, resolved=resolved):
                self.record(e.HandoffResolved(handoff, resolved), agent=self.run.handoffs[handoff].agent)
            case Stop():
                self.record(e.RunStateChanged(RunState.STOPPED, exit_status=4))
            case _ if getattr(command, "path", None):
                agent = self.agent(command.path).id  # type: ignore[union-attr]
                message = InboxMessage(
                    MessageId(f"m{self.run.seq}"), self.at, agent, MessageSource.STEER, getattr(command, "text", "")
                )
                self.record(e.MessageQueued(message), agent=agent)
        return done(None)

    def messages(
        self, agent: AgentId, before: int | None, limit: int, *, whole: bool = False
    ) -> "Future[list[MessageRow]]":
        rows = [row for row in self.said.get(agent, []) if before is None or row.id < before][-limit:]
        return done(
            [replace(row, whole=True, text=self.whole.get(row.id, row.text)) for row in rows] if whole else rows
        )

    def log(self, agent: AgentId, before: int | None, limit: int) -> "Future[list[EventLine]]":
        lines = [line for line in self._lines if line.agent == agent and (before is None or line.seq < before)]
        return done(lines[-limit:])

    def earlier(self, before: int, wanted: Callable[[EventLine], bool], limit: int) -> "Future[Earlier]":
        lines = [line for line in self._lines if line.seq < before][-limit:]
        searched = lines[0].seq if lines else 1
        return done(Earlier(tuple(filter(wanted, lines)), searched, searched > 1))

    def diff(self, agent: AgentId) -> "Future[str]":
        return done(self.patches.get(agent, ""))

    def scratchpads(self, agent: AgentId) -> "Future[list[Scratchpad]]":
        return done(list(self.pads.get(agent, [])))

    def samples(self, points: int) -> "Future[list[tuple[int, Sample]]]":
        return done(list(self.run.samples)[-points:])

    def followed(self, handoff: HandoffId) -> "Future[Followed]":
        return done(self.led_to.get(handoff, Followed()))

    def ended_below(self, planner: AgentId, known: Collection[AgentId]) -> "Future[Recalled]":
        below = {id: agent for id, agent in self.recalled.agents.items() if agent.parent == planner and id not in known}
        return done(Recalled(below, self.recalled.tasks, self.recalled.handoffs, self.recalled.retired))

    def older_handoffs(self, known: Collection[HandoffId]) -> "Future[Recalled]":
        return done(self.recalled)

    def watch(self, agent: AgentId) -> LiveAgent:
        return self.live.get(agent, LiveAgent())

    def ended(self) -> bool:
        return self.run.ended

    def failure(self) -> BaseException | None:
        return None

    def exit_status(self) -> int | None:
        return self.run.exit_status

    def close(self, mode: CloseMode) -> "Future[None]":
        self.closed = self.closed or mode
        return done(None)


def conversation() -> list[MessageRow]:
    """A short conversation."""
    who = AgentId("a")
    answer = "exit 1 after 0.4 s\n" + "E  assert 1 == 2\n" * 12
    told = "# Task: Lex numbers\n\n## Goal\nTurn digits into number tokens."
    call = CallRow("c1", "shell", '{"command": "pytest -q tests/test_lexer.py"}')
    return [
        MessageRow(1, 3, START, who, "user", "opening", told, len(told), True),
        MessageRow(
            2,
            9,
            START + SECOND,
            who,
            "assistant",
            "model",
            "I look at the failing test.",
            27,
            True,
            state="tools",
            calls=(call,),
        ),
        MessageRow(
            3, 12, START + 2 * SECOND, who, "tool", "tool", answer, len(answer), True, "shell", CallId("c1"), "error"
        ),
    ]
