"""A long run as events, as fast as they can be made: a tree of planners, workers that think and act, land and hand off.

Legal and level: every event folds, and the number of agents at work stays the same however long it goes on.
"""

import random
from collections.abc import Iterator

from engine.domain import events as e
from engine.domain import types as t
from engine.domain.conversation import Message, StopReason, Text, ToolCall
from engine.domain.resource_use import Sample
from engine.state.fold import fold
from engine.state.snapshot import Snapshot

MODEL = t.ModelName("rehearsal:week")
CALLS = 100
"""Tool calls of one task."""
TASKS = 20
"""Tasks of one subplanner."""
_SECOND = 1_000_000


def words(count: int, size: int) -> list[str]:
    """Text that compresses about as command output does."""
    draw = random.Random(1)  # repeatable, so that runs compare
    vocabulary = ["".join(draw.choices("abcdefghijklmnop_/.", k=draw.randint(2, 9))) for _ in range(800)]
    return [" ".join(draw.choices(vocabulary, k=size // 6))[:size].ljust(size, ".") for _ in range(count)]


class Week:
    """Yields batches of events, each as one step of a swarm records them, folded into `snapshot` already."""

    def __init__(
        self, workers: int = 50, seed: int = 1, snapshot: Snapshot | None = None, *, short: bool = False
    ) -> None:
        self.snapshot = snapshot or Snapshot()
        self.calls = self.snapshot.tool_calls
        self._draw = random.Random(seed)
        self._workers = workers
        self._at = self.snapshot.at or 1_800_000_000_000_000
        self._made = self.snapshot.seq
        # Three quarters of what tools answer is short, the rest is kept apart; or all of it is a line.
        texts = words(50, 60) if short else words(150, 600) + words(50, 6_000)
        self._answers = [f"exit 0 after 1.0 s\n{text}" for text in texts]
        self._said = words(50, 60 if short else 300)
        self._batch: list[e.Event] = []

    def batches(self) -> Iterator[list[e.Event]]:
        """For ever; about `workers` events a second of the run's own time."""
        if not self.snapshot.seq:
            yield self._begin()
        root = self.snapshot.root
        assert root is not None
        at_work = [self._work(root) for _ in range(self._workers)]
        while True:
            for number, work in enumerate(at_work):
                self._at += _SECOND // self._workers
                if next(work, None) is None:
                    at_work[number] = self._work(root)
                    next(at_work[number])
                batch, self._batch = self._batch, []
                if batch:
                    yield batch

    def _tell(self, body: e.Body, agent: t.AgentId | None = None, task: t.TaskId | None = None) -> None:
        event = e.Event(self.snapshot.seq + 1, self._at, 1, body, agent, task)
        fold(self.snapshot, event)
        self._batch.append(event)

    def _id(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}{self._made:012}"

    def _begin(self) -> list[e.Event]:
        models = dict.fromkeys(("planner", "worker", "resolver", "reconciler"), MODEL)
        base = t.CommitId("0" * 40)
        self._tell(e.RunCreated(t.RunId("20270115-080000-week"), "/repo", "main", base, "make test", models, "{}", "0"))
        self._tell(e.EpochStarted(1, "namespaced", "overlay"))
        self._tell(e.IntentVersioned(t.Intent(1, self._at, "person", "A week of work.")))
        self._spawn("root", None, t.Role.PLANNER)
        batch, self._batch = self._batch, []
        return batch

    def _spawn(self, path: str, parent: t.AgentId | None, role: t.Role, task: t.TaskId | None = None) -> t.AgentId:
        id = t.AgentId(self._id("a"))
        agent = t.Agent(id, t.AgentPath(path), parent, role, MODEL, "a part of it", task=task, spawned_at=self._at)
        self._tell(e.AgentSpawned(agent), id, task)
        return id

    def _turn(self, agent: t.AgentId, task: t.TaskId | None, calls: list[t.CallId]) -> None:
        inbox = self.snapshot.inboxes.get(agent, [])
        asked = [ToolCall(call, "shell", '{"command":"make test"}') for call in calls]
        message = Message("assistant", (Text(self._draw.choice(self._said)), *asked))
        given = "\n\n".join(each.text for each in inbox) or None
        read = tuple(each.id for each in inbox)
        usage = t.Usage(20_000, 18_000, 400, 0.01)
        self._tell(e.TurnTaken(MODEL, given, read, message, StopReason.TOOLS, usage, "worker@1", 3.0), agent, task)

    def _work(self, root: t.AgentId) -> Iterator[bool]:
        """One subplanner's life with its tasks, one after the other; a step at a time."""
        planner = self._spawn(f"root/{self._made}", root, t.Role.PLANNER)
        self._turn(planner, None, [])
        yield True
        for number in range(TASKS):
            yield from self._task(planner, number)
        text = t.HandoffText(t.HandoffStatus.DONE, "All of it is done.")
        self._hand_off(planner, None, root, text, None)
        self._tell(e.AgentStateChanged(t.AgentState.DONE), planner)
        if self._draw.random() < 0.2:
            self._turn(root, None, [])
            self._tell(e.Sampled(Sample(memory=2**30, cpu=50.0)))
        yield True

    def _task(self, planner: t.AgentId, number: int) -> Iterator[bool]:
        id = t.TaskId(self._id("t"))
        spec = t.TaskSpec(f"part {number}", self._draw.choice(self._said), "src/**", "`make test` passes")
        self._tell(e.TaskQueued(t.Task(id, spec, planner, 1, queued_at=self._at)), planner, id)
        path = f"{self.snapshot.agents[planner].path}/w-{number}"
        worker = self._spawn(path, planner, t.Role.WORKER, id)
        self._tell(e.TaskStarted(worker, 1), worker, id)
        yield True
        for _ in range(CALLS // 2):
            calls = [t.CallId(self._id("c")) for _ in range(2)]
            self._turn(worker, id, calls)
            yield True
            for call in calls:
                self.calls += 1
                self._tell(e.ToolStarted(call, "shell", '{"command":"make test"}', True, "make test"), worker, id)
                yield True
                answer = self._draw.choice(self._answers)
                self._tell(e.ToolFinished(call, "shell", t.ToolCallState.OK, answer, (), 1.0), worker, id)
                yield True
        text = t.HandoffText(t.HandoffStatus.DONE, self._draw.choice(self._said), notes=self._draw.choice(self._said))
        landing, commit = t.LandingId(self._id("l")), t.CommitId(f"{self._made:040x}")
        self._tell(e.LandingStarted(landing, commit, text), worker, id)
        state = t.LandingState.MERGED
        done = t.Landing(landing, self._at, id, worker, state, self.snapshot.trunk, commit, ("src/a.py", "src/b.py"))
        self._tell(e.LandingFinished(done), worker, id)
        self._hand_off(worker, id, planner, text, state)
        self._tell(e.TaskEnded("landed", "done", commit), worker, id)
        self._tell(e.AgentStateChanged(t.AgentState.DONE), worker, id)
        self._turn(planner, None, [])
        yield True

    def _hand_off(
        self,
        agent: t.AgentId,
        task: t.TaskId | None,
        to: t.AgentId,
        text: t.HandoffText,
        landing: t.LandingState | None,
    ) -> None:
        handoff = t.Handoff(t.HandoffId(self._id("h")), self._at, task, agent, to, text, landing)
        note = t.InboxMessage(
            t.MessageId(self._id("m")), self._at, to, t.MessageSource.HANDOFF, text.summary, handoff.id
        )
        self._tell(e.HandedOff(handoff), agent, task)
        self._tell(e.MessageQueued(note), to, task)
