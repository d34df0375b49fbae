"""What a planner is told about the state of its work, as lines: in each message that wakes it, and by `status`.

It says nothing of who works on what, nor of how much can run at a time.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from engine.domain.landing_text import SHORT, task_state_text
from engine.domain.notes import NoteKind
from engine.domain.settings import LimitSettings, Settings
from engine.domain.spending import RUN, Part, Spent, of_subtree
from engine.domain.types import (
    Agent,
    AgentId,
    AgentState,
    Check,
    CommitId,
    Landing,
    Micros,
    Role,
    Task,
    TaskId,
    TaskState,
)
from engine.domain.units import counted, duration_s, duration_text
from engine.policy.budget import limits_of, may_start
from engine.policy.task_order import LOST, WAITING, held_tasks, waits_for
from engine.state.retired import Retired, added
from engine.state.snapshot import Snapshot

REASON = 80
"""Characters of the reason why a task ended or waits."""
OPEN_IN_WAKE = 4
"""Up to this many open tasks and slices, a message that wakes a planner names them; more are counted by their state."""
NAMED = 5
"""The most tasks that one line names."""
OPEN_LISTED = 100
ENDED_LISTED = 20
LANDED_LISTED = 20
"""The most that `status` lists; the rest is counted."""


@dataclass(frozen=True)
class PlannerStatus:
    """The state of one planner's work at a time."""

    settings: Settings
    snapshot: Snapshot
    planner: AgentId
    now: Micros

    def whole(self, most_ended: int = ENDED_LISTED) -> str:
        """All of it, with ids, as `status` gives it. What it shows as landed counts as looked at."""
        work, new = self._open(), self._new()
        shown = {landing.task for landing in new}
        ended = [line for id, line in self._ended() if id not in shown]
        own, others = self._split(new)
        landed = [*map(self._own_landing, own), *map(self._landing, others)]
        older = self.snapshot.retired.get(self.planner, Retired())
        number = sum(older.tasks.values()) + older.children.get(Role.PLANNER, 0)
        blocks = [
            _listed("open", work, OPEN_LISTED, self._counted(ended=False)),
            _listed("unanswered questions", self._questions(), OPEN_LISTED),
            _listed("landed since you last looked, newest first", landed[::-1], LANDED_LISTED),
            _listed("ended before, newest first", ended, most_ended, older=number)
            if own
            else _listed("ended, newest first", ended, most_ended, self._counted(ended=True), number),
            "\n".join((self._trunk(), *self._budgets())),
        ]
        return "\n\n".join(filter(None, blocks))

    def short(self, told: Collection[TaskId] = (), *, listed: bool = False) -> str:
        """The same in a few lines, for a message that wakes the planner with the handoffs of the tasks `told`.

        `listed`: the message itself lists what is open.
        """
        snapshot = self.snapshot
        number = len(snapshot.open_tasks(self.planner)) + len(snapshot.open_subplanners(self.planner))
        if not number:
            lines = ["open: nothing"]
        elif listed or number > OPEN_IN_WAKE:
            hint = "" if listed else " (`status` lists them)"
            lines = [f"open: {self._counted(ended=False)}{hint}", *self._held()]
        else:
            lines = ["open:", *(f"- {line}" for line in self._open())]
        if questions := self._questions():
            lines.append(f"unanswered questions: {'; '.join(questions)}")
        if new := self._landed_briefly(told):
            lines.append(f"landed since you last looked: {new}")
        return "\n".join((*lines, self._trunk(), *self._budgets()))

    def under_way(self) -> str:
        """The open tasks and slices with their ids, one a line; empty if there are none."""
        return _lines(self._open(), OPEN_LISTED)

    # --- tasks and slices ------------------------------------------------------------------------------------

    def _open(self) -> list[str]:
        """Open tasks and slices, oldest first, after the tasks that are held."""
        tasks = sorted(self.snapshot.open_tasks(self.planner), key=lambda task: task.state is not TaskState.HELD)
        slices = self.snapshot.open_subplanners(self.planner)
        return [*map(self.task_line, tasks), *map(self._slice_line, slices)]

    def task_line(self, task: Task) -> str:
        """An open task: its id, title and state, and since when it is at work or was asked for."""
        agent = self.snapshot.agents.get(task.agent) if task.agent is not None else None
        begun = agent is not None and task.state not in WAITING
        since = agent.spawned_at if begun and agent is not None else task.queued_at
        return f"{task.id} {task.spec.title}: {self._task_state(task)}, {self._age(since)}"

    def _task_state(self, task: Task) -> str:
        snapshot = self.snapshot
        if task.state is TaskState.LANDING:
            return "landing, waits for its turn" if task.id in snapshot.waiting_landings else "landing"
        if task.state is TaskState.HELD:
            waiting = waits_for(snapshot, task)
            decide = " (`amend_task` or `cancel_task`)" if any(other.state in LOST for other in waiting) else ""
            return f"held: {_after(waiting)}{decide}"
        if snapshot.is_paused(self.planner):
            return f"{task_state_text(task.state)}, paused"
        if task.state is TaskState.WORKING:
            return "resolving a conflict" if task.conflicts else task_state_text(task.state)
        if waiting := waits_for(snapshot, task):
            return f"queued {_after(waiting)}"
        if not may_start(snapshot, task):
            return "queued, but the budget is used up"
        return (
            f"queued again after a failed attempt: {_short(task.reason)}"
            if task.failures
            else task_state_text(task.state)
        )

    def _slice_line(self, child: Agent) -> str:
        below = [each for each in self.snapshot.subtree(child.id) if each.role is Role.PLANNER]
        tasks = [self.snapshot.tasks[id] for each in below for id in self.snapshot.tasks_of.get(each.id, ())]
        states = Counter(added(Counter(task.state for task in tasks), *self._retired(child.id)))
        still = sum(not task.ended for task in tasks)
        paused = ", paused" if self.snapshot.is_paused(child.id) else ""
        counts = f"{counted(still, 'open task')}, {states[TaskState.LANDED]} landed{paused}"
        return f"slice {_short(child.title)}: {counts}, {self._age(child.spawned_at)}"

    def _counted(self, *, ended: bool) -> str:
        """Its tasks by their state, and its slices: those that have ended, or the open ones."""
        snapshot = self.snapshot
        tasks = [snapshot.tasks[id] for id in snapshot.tasks_of.get(self.planner, ())]
        states = Counter(task_state_text(task.state) for task in tasks if task.ended is ended)
        slices = sum(1 for child in self._slices() if child.ended is ended)
        if ended and (retired := snapshot.retired.get(self.planner)) is not None:
            states.update({task_state_text(state): number for state, number in retired.tasks.items()})
            slices += retired.children.get(Role.PLANNER, 0)
        words = [f"{number} {state}" for state, number in states.items()]
        return ", ".join([*words, *([counted(slices, "slice")] if slices else [])])

    def _retired(self, planner: AgentId) -> list[dict[TaskState, int]]:
        return [each.all_tasks() for each in self.snapshot.retired_in(planner)]

    def _slices(self) -> Iterator[Agent]:
        below = (self.snapshot.agents[id] for id in self.snapshot.children.get(self.planner, ()))
        return (child for child in below if child.role is Role.PLANNER)

    def _questions(self) -> list[str]:
        """Questions to the planner and of the planner that nobody has answered yet."""
        snapshot = self.snapshot
        asked = [
            f"{snapshot.agents[note.agent].title}: {_short(note.text)}" for note in snapshot.questions_to(self.planner)
        ]
        own = [note for note in snapshot.notes_of(self.planner) if note.kind is NoteKind.QUESTION]
        return [
            *asked,
            *(f"yours to {'your planner' if note.to_agent else 'the user'}: {_short(note.text)}" for note in own),
        ]

    def _held(self) -> list[str]:
        held = held_tasks(self.snapshot, self.planner)
        return [f"held until you amend or cancel them: {_some([task.id for task in held])}"] if held else []

    def _ended(self) -> Iterator[tuple[TaskId | None, str]]:
        """Ended tasks and slices, newest first; with the ids of tasks."""
        snapshot, found = self.snapshot, list[tuple[Micros, TaskId | None, str]]()
        landings = {landing.task: landing for landing in snapshot.landings if landing.commit is not None}
        for id in snapshot.tasks_of.get(self.planner, ()):
            task = snapshot.tasks[id]
            if task.ended:
                how = self._ending(task, landings.get(id))
                found.append((task.ended_at or 0, id, f"{id} {task.spec.title}: {how}"))
        for child in self._slices():
            if child.ended:
                how = "handed off" if child.state is AgentState.DONE else str(child.state)
                found.append((child.ended_at or 0, None, f"slice {_short(child.title)}: {how}"))
        for at, task_id, line in sorted(found, key=lambda each: each[0], reverse=True):
            yield task_id, f"{line}, {self._age(at)} ago"

    def _ending(self, task: Task, landing: Landing | None) -> str:
        match task.state:
            case TaskState.LANDED:
                size = _changed(landing)
                return f"landed as {_commit(task.commit)}{f', {size}' if size else ''}"
            case TaskState.UNCHANGED:
                return task_state_text(task.state)
        return f'{task.state}: "{_short(task.reason)}"' if task.reason else str(task.state)

    # --- trunk -----------------------------------------------------------------------------------------------

    def _new(self) -> list[Landing]:
        """The landings since the planner last looked, oldest first, as far as the snapshot keeps them."""
        new = self.snapshot.landed - self.snapshot.agents[self.planner].landings_seen
        landed = (landing for landing in reversed(self.snapshot.landings) if landing.commit is not None)
        return list(islice(landed, max(0, new)))[::-1]

    def _split(self, landings: Iterable[Landing]) -> tuple[list[Landing], list[Landing]]:
        """Those of the planner's own tasks, and all others."""
        own, others = list[Landing](), list[Landing]()
        for landing in landings:
            (own if self.snapshot.tasks[landing.task].planner == self.planner else others).append(landing)
        return own, others

    def _landing(self, landing: Landing) -> str:
        size = _changed(landing)
        line = f"{_commit(landing.commit)} {self.snapshot.tasks[landing.task].spec.title} (others' task)"
        return f"{line}: {size}" if size else line

    def _own_landing(self, landing: Landing) -> str:
        task, size = self.snapshot.tasks[landing.task], _changed(landing)
        line = f"{_commit(landing.commit)} {task.id} {task.spec.title}"
        return f"{line}: {size}" if size else line

    def _landed_briefly(self, told: Collection[TaskId]) -> str:
        """What the handoffs of the tasks `told` do not say, in one line."""
        own, others = self._split(landing for landing in self._new() if landing.task not in told)
        parts = [self._own_landing(landing) for landing in own[-2:]]
        if len(own) > len(parts):
            parts.append(f"{len(own) - len(parts)} more of your tasks")
        if others:
            files = len({path for landing in others for path in landing.paths})
            parts.append(f"{counted(len(others), 'landing')} of others' tasks ({counted(files, 'file')})")
        return "; ".join(parts)

    def _trunk(self) -> str:
        snapshot, check = self.snapshot, self.snapshot.last_check
        parts = [f"trunk: {_commit(snapshot.trunk)}"]
        if not snapshot.check_command:
            return f"{parts[0]}; no check is configured"
        if check is None:
            parts.append("not checked yet")
        else:
            newest = check.commit == snapshot.trunk
            on = "on it" if newest else f"on {_commit(check.commit)}"
            landings = "" if newest else self._landings_after(check)
            verdict = "passed" if check.passed else f"FAILED ({_short(check.outcome)})"
            parts.append(f"check {verdict} {on} {landings}{self._age(check.at)} ago in {duration_text(check.wall_s)}")
        if check is not None and check.commit == snapshot.green:
            parts.append("green too")
        else:
            parts.append(f"green: {_commit(snapshot.green) or 'none yet'}")
        return "; ".join(parts)

    def _landings_after(self, check: Check) -> str:
        """How many landings no check has covered yet, as far as the snapshot keeps them."""
        commits = [landing.commit for landing in self.snapshot.landings if landing.commit is not None]
        newer = len(commits) - commits.index(check.commit) - 1 if check.commit in commits else len(commits)
        return f"{counted(newer, 'landing')} and " if newer else ""

    # --- budget ----------------------------------------------------------------------------------------------

    def _budgets(self) -> list[str]:
        """What is used and left of money, tokens, model calls and time: of the run, and of the planner's own part."""
        me = self.snapshot.agents[self.planner]
        limits = limits_of(self.settings)
        own = of_subtree(me.path)
        lines = [f"the run: {self._used(RUN, limits[RUN])}"]
        if me.parent is not None or own in limits:
            lines.append(f"your slice: {self._used(own, limits.get(own, LimitSettings()))}")
        return lines

    def _used(self, part: Part, limits: LimitSettings) -> str:
        spent = self.snapshot.spent.get(part, Spent())
        wall_s = (self.snapshot.wall(self.now) - spent.since) / 1_000_000
        price = self.settings.budget.ceiling_price
        usd = spent.usd + spent.unpriced * price / 1_000_000
        longest = duration_s(limits.wall) if limits.wall else 0.0
        parts = [
            f"{usd:.2f} of {limits.usd:.2f} USD used, {max(0.0, limits.usd - usd):.2f} left" if limits.usd else "",
            f"{spent.tokens:,} of {limits.tokens:,} tokens used" if limits.tokens else "",
            f"{spent.steps} of {limits.steps} model calls used" if limits.steps else "",
        ]
        time = duration_text(wall_s)
        if longest:
            parts.append(f"{time} of {duration_text(longest)} used, {duration_text(max(0.0, longest - wall_s))} left")
        elif any(parts):
            parts.append(f"{time} used")
        else:
            parts.append(f"{spent.tokens:,} tokens and {time} used, no limit")
        return "; ".join(filter(None, parts))

    def _age(self, at: Micros) -> str:
        return duration_text((self.now - at) / 1_000_000)


def _after(tasks: Iterable[Task]) -> str:
    """What a task waits for."""
    states = {TaskState.FAILED: ", which failed", TaskState.CANCELLED: ", which was cancelled"}
    names = [f"{task.id}{states.get(task.state, '')}" for task in tasks]
    return f"after {_some(names)}"


def _some(names: list[str]) -> str:
    """The first of the names, and how many more there are."""
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    return ", ".join([*names[:NAMED], *more])


def _commit(commit: CommitId | None) -> str:
    return (commit or "")[:SHORT]


def _changed(landing: Landing | None) -> str:
    """What a landing changed: `3 files, +40 -2`; as far as it is known."""
    if landing is None or not landing.paths:
        return ""
    lines = f", +{landing.added} -{landing.removed}" if landing.added is not None else ""
    return f"{counted(len(landing.paths), 'file')}{lines}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= REASON else f"{line[: REASON - 1]}…"


def _lines(lines: list[str], most: int, older: int = 0) -> str:
    left = max(0, len(lines) - most) + older
    more = [f"{left} more"] if left else []
    return "\n".join(f"- {line}" for line in [*lines[:most], *more])


def _listed(title: str, lines: list[str], most: int, counts: str = "", older: int = 0) -> str:
    """Lines under a title, with `counts` by state if there are more than it lists. `older` ones are not in `lines`."""
    number = len(lines) + older
    more = f": {counts}" if counts and number > most else ""
    return f"{title} ({number}{more}):\n{_lines(lines, most, older)}" if lines else ""
