"""Random but legal runs: events that a swarm could have recorded, from a seed."""

import random
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from engine.domain import events as e
from engine.domain import types as t
from engine.domain.conversation import Message, StopReason, Text, ToolCall
from engine.domain.lifecycle import AGENT_TRANSITIONS
from engine.domain.notes import Note, NoteKind
from engine.domain.resource_use import AgentUse, LoadLimit, Sample
from engine.domain.types import AgentId, AgentState, LandingState, RunState, TaskId, TaskState
from engine.state.fold import fold
from engine.state.snapshot import Snapshot

SECOND = 1_000_000


class Story:
    """Generates events one by one; `snapshot` is the state they lead to."""

    def __init__(self, seed: int, *, text: int = 200) -> None:
        self._random = random.Random(seed)
        self._text = text
        self._last_id = 0
        self.snapshot = Snapshot()
        self.events: list[e.Event] = []
        self._open_calls: list[tuple[AgentId, t.CallId]] = []
        commit = self._commit()
        models = {"planner": t.ModelName("rehearsal:story"), "worker": t.ModelName("rehearsal:story")}
        self.tell(e.RunCreated(t.RunId("r-1"), "/repo", "main", commit, "make test", models, "{}", "0"))
        self.tell(e.EpochStarted(1, "strict", "overlay"))
        self.tell(e.IntentVersioned(t.Intent(1, self.at, "person", self.words())))
        self._spawn(None, t.Role.PLANNER)

    @property
    def at(self) -> int:
        return self.snapshot.at

    def words(self) -> str:
        return "".join(self._random.choices('abc def ghi\n"é', k=self._random.randint(0, self._text)))

    def tell(self, body: Any, agent: AgentId | None = None, task: TaskId | None = None, epoch: int = 0) -> None:
        at = self.snapshot.at + self._random.randint(0, SECOND)
        event = e.Event(self.snapshot.seq + 1, at, epoch or max(1, self.snapshot.epoch), body, agent, task)
        fold(self.snapshot, event)
        self.events.append(event)

    def go_on(self, length: int) -> list[e.Event]:
        """Continue until there are at least `length` events."""
        steps: list[tuple[Callable[[], None], int]] = [
            (self._task, 3),
            (self._start, 4),
            (self._land, 4),
            (self._requeue, 1),
            (self._continue, 1),
            (self._turn, 10),
            (self._tool, 10),
            (self._agent_state, 6),
            (self._hand_off, 1),
            (self._order, 2),
            (self._odds, 4),
            (self._epoch, 1),
        ]
        while len(self.events) < length:
            [step] = self._random.choices([each for each, _ in steps], [weight for _, weight in steps])
            step()
        return self.events

    # --- steps -----------------------------------------------------------------------------------------------

    def _id(self, prefix: str) -> str:
        self._last_id += 1
        return f"{prefix}-{self._last_id:06}"

    def _commit(self) -> t.CommitId:
        return t.CommitId(f"{self._random.getrandbits(160):040x}")

    def _one(self, *states: TaskState) -> t.Task | None:
        found = [task for task in self.snapshot.tasks.values() if task.state in states]
        return self._random.choice(found) if found else None

    def _agent(self) -> t.Agent:
        return self._random.choice(
            [agent for agent in self.snapshot.agents.values() if not agent.ended] or [self._root]
        )

    @property
    def _root(self) -> t.Agent:
        assert self.snapshot.root
        return self.snapshot.agents[self.snapshot.root]

    def _spawn(self, task: TaskId | None, role: t.Role) -> AgentId:
        id = AgentId(self._id("a"))
        parent = self.snapshot.root
        path = t.AgentPath(f"root/{id}" if parent else "root")
        agent = t.Agent(
            id, path, parent, role, t.ModelName("rehearsal:story"), self.words(), task=task, spawned_at=self.at
        )
        self.tell(e.AgentSpawned(agent), id, task)
        return id

    def _task(self) -> None:
        spec = t.TaskSpec(self.words(), self.words(), "src/**", "", self._random.randint(-2, 2))
        task = t.Task(TaskId(self._id("t")), spec, self._root.id, 1, queued_at=self.at)
        self.tell(e.TaskQueued(task), self._root.id, task.id)
        number = len(self.snapshot.notes) + 1
        kind = NoteKind.QUESTION if number % 2 else NoteKind.ASSUMPTION
        self.tell(e.NoteMade(Note(number, self.at, self._root.id, kind, self.words(), (self.words(),))), self._root.id)
        if number % 3 == 0:
            self.tell(e.NoteAnswered(number - 1, self.words()), self._root.id)

    def _order(self) -> None:
        """Hold, release and amend tasks, and speak to their workers."""
        if task := self._one(TaskState.QUEUED, TaskState.HELD):
            held = task.state is TaskState.HELD
            self.tell(e.TaskReleased() if held else e.TaskHeld(task.id), None, task.id)
        if task := self._one(TaskState.QUEUED, TaskState.WORKING):
            spec = replace(task.spec, title=self.words(), scope="", after=(task.id,))
            self.tell(e.TaskAmended(spec, ("title", "scope"), self._random.randint(0, 2)), None, task.id)
            words = self._random.choice([self.words(), *task.directions])
            self.tell(e.TaskDirected(words, words in task.directions), task.agent, task.id)

    def _start(self) -> None:
        if task := self._one(TaskState.QUEUED):
            worker = self._spawn(task.id, t.Role.WORKER)
            self.tell(e.TaskStarted(worker, task.attempt + 1), worker, task.id)

    def _land(self) -> None:
        task = self._one(TaskState.WORKING)
        if task is None or task.agent is None:
            return
        said = t.HandoffText(t.HandoffStatus.DONE, self.words(), notes=self.words())
        landing = t.LandingId(self._id("l"))
        self.tell(e.LandingStarted(landing, self._commit(), said), task.agent, task.id)
        state = self._random.choice(list(LandingState))
        commit = self._commit() if state in (LandingState.MERGED, LandingState.RESOLVED) else None
        result = t.Landing(landing, self.at, task.id, task.agent, state, self.snapshot.trunk, commit, ("a", "b"))
        self.tell(e.LandingFinished(result), task.agent, task.id)
        if state in (LandingState.CONFLICTED, LandingState.REFUSED):
            return
        self.tell(e.TaskEnded(TaskState.LANDED, self.words(), commit), task.agent, task.id)
        handoff = t.Handoff(t.HandoffId(self._id("h")), self.at, task.id, task.agent, task.planner, said, state, commit)
        self.tell(e.HandedOff(handoff), task.agent, task.id)
        self.tell(e.AgentStateChanged(AgentState.DONE), task.agent, task.id)
        for resolved in (True, False)[: len(self.snapshot.handoffs) % 3]:
            self.tell(e.HandoffResolved(handoff.id, resolved), task.agent, task.id)

    def _continue(self) -> None:
        if task := self._one(TaskState.WORKING, TaskState.LANDING):
            self.tell(e.AttemptContinued(self._random.random() < 0.5), task.agent, task.id)

    def _requeue(self) -> None:
        if task := self._one(TaskState.WORKING):
            self.tell(e.TaskRequeued(self.words(), self._random.random() < 0.5, self.at), task.agent, task.id)

    def _turn(self) -> None:
        agent = self._agent()
        inbox = self.snapshot.inboxes.get(agent.id, [])
        consumed = tuple(message.id for message in inbox[:2])
        given = "\n\n".join(message.text for message in inbox[:2]) if consumed else None
        usd = None if self._random.random() < 0.001 else self._random.random()
        usage = t.Usage(self._random.randint(0, 9000), self._random.randint(0, 90), self._random.randint(0, 900), usd)
        said = Message("assistant", (Text(self.words()), ToolCall(t.CallId("c-1"), "shell", '{"command":"ls"}')))
        turn = e.TurnTaken(agent.model, given, consumed, said, StopReason.TOOLS, usage, "worker@1", 0.5)
        self.tell(turn, agent.id, agent.task)

    def _tool(self) -> None:
        if self._open_calls and self._random.random() < 0.5:
            agent_id, call = self._open_calls.pop(0)
            done = e.ToolFinished(
                call, "shell", self._random.choice(list(t.ToolCallState)[1:]), self.words(), ("a",), 0.25
            )
            self.tell(done, agent_id)
        else:
            agent = self._agent()
            call = t.CallId(self._random.choice("xyz"))  # ids that repeat, as some servers' do
            self.tell(e.ToolStarted(call, "shell", "{}", True, "ls"), agent.id, agent.task)
            self._open_calls.append((agent.id, call))

    def _agent_state(self) -> None:
        agent = self._random.choice(list(self.snapshot.agents.values()))
        new = sorted({agent.state, *AGENT_TRANSITIONS[agent.state]} - {AgentState.CANCELLED, AgentState.FAILED})
        if new and not agent.ended:
            self.tell(e.AgentStateChanged(self._random.choice(new), self.words(), "why"), agent.id, agent.task)

    def _hand_off(self) -> None:
        message = t.InboxMessage(
            t.MessageId(self._id("m")), self.at, self._root.id, self._random.choice(list(t.MessageSource)), self.words()
        )
        self.tell(e.MessageQueued(message), self._root.id)

    def _odds(self) -> None:
        agent = self._agent()
        pad = self.snapshot.scratchpads.get(agent.id)
        check = t.Check(self.at, self.snapshot.trunk, self._random.random() < 0.7, 0, self.words(), 1.5)
        body = self._random.choice(
            [
                e.Sampled(Sample(memory=self._random.randint(0, 2**40), cpu=12.5)),
                e.Warned(self.words()),
                e.WorkersLimited(self._random.randint(1, 64), "governor"),
                e.SubtreePaused(),
                e.SubtreeResumed(),
                e.SubtreeLimited(self._random.choice([None, 0, 3])),
                e.PriorityChanged(self._random.randint(-3, 3)),
                e.ModelChanged(t.ModelName("rehearsal:other")),
                e.Rescoped(self.words(), "docs/**"),
                e.ScratchpadRewritten(pad.version + 1 if pad else 1, self.words()),
                e.ModelCallRetried(agent.model, "503", 1.0),
                e.ModelCallRetried(agent.model, "cut off", 1.0, t.Usage(30, 10, 2, 0.25)),
                e.AnswersDropped(3),
                e.ContextCompacted(self.words(), t.Usage(10, 0, 5, 0.5)),
                e.CheckFinished(check),
                e.BreakTraced(t.Break(self.at, self.snapshot.trunk, (self.snapshot.trunk,), (), 3)),
                e.FixupsExhausted(self.snapshot.trunk, 3),
                e.PathologySeen(t.Pathology.SLEEPS, 1, t.Remedy.NUDGE, self.words()),
                e.Pivoted(self.words(), 1),
                e.FailureNoted(self.words()),
                e.FailureShared(self.words(), 4),
                e.GreenMoved(self.snapshot.trunk),
                e.Published(self.snapshot.trunk, self.snapshot.green),
                e.IntentVersioned(t.Intent(len(self.snapshot.intents) + 1, self.at, "person", self.words())),
            ]
        )
        self.tell(body, agent.id)
        if self._random.random() < 0.1:
            role = self._random.choice([None, *t.Role])
            self.tell(e.ModelChanged(t.ModelName(f"rehearsal:{self.words()}"), role))

    def _epoch(self) -> None:
        """The process stops or dies, and another one resumes the run."""
        self.tell(e.AgentsSampled({agent: AgentUse(memory=self.at, cpu=3.5) for agent in self.snapshot.agents}))
        self.tell(e.LoadLimited(LoadLimit(None, 2, "why")))
        if self._random.random() < 0.5:
            self.tell(e.RunStateChanged(RunState.STOPPED, "by hand", 4))
        self.tell(
            e.EpochStarted(self._random.randint(1, 9999), "strict", "clone", self._random.choice(["", "{}"])),
            epoch=self.snapshot.epoch + 1,
        )


def story(seed: int, length: int = 300, *, text: int = 200) -> Story:
    told = Story(seed, text=text)
    told.go_on(length)
    return told
