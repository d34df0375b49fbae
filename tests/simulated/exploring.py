"""Random runs of the real engine in the simulated world, by seed, and the invariants that hold for each of them.

A seed decides the tree of agents, what models and commands do, how they fail, when the disk refuses writes, how the
clock jumps, what a person commands, when the program is killed, and the budget. `explore(seed)` raises BrokenError
with the command that repeats the run.
`python -m tests.simulated.exploring SEED` shows one run, `--count N` runs many.
"""

import asyncio
import random
import re
import sys
import tempfile
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import msgspec

from engine.domain import commands as c
from engine.domain import events as e
from engine.domain.conversation import Message, Request, StopReason, ToolAnswer, ToolCall, Turn
from engine.domain.errors import ExitStatus, ModelError, ModelErrorKind, SwarmError
from engine.domain.settings import BudgetSettings, PlannerSettings, Settings, SwarmSettings
from engine.domain.types import ROOT, AgentId, AgentState, CommitId, ModelName, Role, RunState, Task, TaskId, TaskState
from engine.orchestrator.recovery import GONE
from engine.policy.run_end import Outcome
from engine.policy.task_order import waits_for
from engine.reports.summary import summarise
from engine.state.fold import fold, retirement
from engine.state.fold.shared_findings import MOST
from engine.state.snapshot import Snapshot
from tests import simulated
from tests.engine import swarms
from tests.simulated import Trouble, call, first_line, turn
from tests.simulated.disk import CODES, PARTS
from tests.simulated.models import interrupted
from tests.simulated.on_disk import world_on_disk

KILLS = 3
LONGEST_S = 7_200.0
"""Simulated seconds within which each of these small runs ends."""
RESUMES = 40
AGAIN_S = 60.0
"""Simulated seconds until a run is resumed that could not continue without its disk or provider."""


class BrokenError(AssertionError):
    """An invariant does not hold. The message says which one, and how to repeat the run."""


@dataclass
class Plan:
    """What a seed decides. `calm`: only kills and trouble with disks, clocks and providers happen, so every task must
    land."""

    seed: int
    calm: bool
    slices: dict[str, list[str]]
    """The titles of planners (the root's is empty), each with the titles of its tasks."""
    below: dict[str, list[str]]
    """The titles of planners with those of their subplanners."""
    kills: int
    stops: bool
    steps: int
    """How many commands a person gives."""
    workers: int
    budget: int | None
    troubles: tuple[Trouble, ...]
    """When the disk refuses writes."""
    jumps: tuple[tuple[float, float], ...]
    """When the clock is set forward or back, and by how much, in simulated seconds."""
    outage: tuple[float, float]
    """When models stop answering, and when they answer again."""
    asks: bool = False
    """Whether planners ask the person and each other."""
    after: dict[str, list[str]] = field(default_factory=dict)
    """Tasks with those of the same planner that they come after; empty for runs whose planners give no order."""
    loses_copies: bool = False
    """Whether a kill is a power failure, after which workspaces cannot be trusted."""
    draw: random.Random = field(repr=False, default_factory=random.Random)

    @property
    def titles(self) -> list[str]:
        return [title for titles in self.slices.values() for title in titles]


def planned(seed: int) -> Plan:
    draw = random.Random(seed)
    calm = draw.random() < 0.4
    slices: dict[str, list[str]] = {"": []}
    below: dict[str, list[str]] = {"": []}
    budget = None if calm or draw.random() < 0.85 else draw.randrange(200, 2_000)
    for number in range(0 if budget else draw.randrange(0, 4)):
        parent = draw.choice(list(slices))
        name = f"slice-{number}"
        slices[name], below[name] = [], []
        below[parent].append(name)
    for number in range(9 if budget else draw.randrange(1, 9)):  # more than the budget allows
        slices[draw.choice(list(slices))].append(f"task-{number}")
    plan = Plan(
        seed, calm, slices, below,
        kills=draw.choice((0, 1, KILLS)), stops=draw.random() < 0.3, steps=0 if calm else draw.randrange(0, 6),
        workers=1 if budget else draw.choice((1, 2, 4, 16)), budget=budget, troubles=(), jumps=(), outage=(0.0, 0.0),
        draw=draw,
    )  # fmt: skip
    if draw.random() < 0.3:
        plan.troubles = tuple(
            Trouble(draw.random() * 30, draw.choice((0.2, 3.0, 60.0)), draw.choice(CODES), draw.choice(("", *PARTS)))
            for _ in range(draw.randrange(1, 4))
        )
    if draw.random() < 0.2:
        plan.jumps = tuple((draw.random() * 30, draw.choice((-600.0, -5.0, 5.0, 28_800.0))) for _ in range(2))
    if draw.random() < 0.1:
        start = 5 + draw.random() * 20
        plan.outage = (start, start + draw.choice((10.0, 400.0)))
    plan.asks = random.Random(f"{seed} asks").random() < 0.4
    if (order := random.Random(f"{seed} order")).random() < 0.5:
        for titles in slices.values():
            ranked = order.sample(titles, len(titles))  # so that some come after tasks that are named later
            for place, title in enumerate(ranked):
                plan.after[title] = [other for other in ranked[:place] if order.random() < 0.4]
    plan.loses_copies = bool(plan.kills) and random.Random(f"{seed} copies").random() < 0.3
    return plan


# --- the model -----------------------------------------------------------------------------------------------


class Model:
    """Answers as the plan says. What it does at a step of an agent depends only on the seed and that step."""

    def __init__(self, plan: Plan, clock: simulated.SimulatedClock) -> None:
        self._plan = plan
        self._clock = clock
        self._asked: Counter[str] = Counter()

    def __call__(self, model: ModelName, request: Request) -> Turn | Exception:
        heading = first_line(request)
        step = sum(message.role == "assistant" for message in request.messages)
        self._asked[f"{heading}{step}"] += 1
        chance = random.Random(f"{self._plan.seed} {heading} {step} {self._asked[f'{heading}{step}']}")
        if self._plan.outage[0] <= self._clock.elapsed < self._plan.outage[1]:
            return ModelError(ModelErrorKind.RETRYABLE, "no answer: connection refused")
        if chance.random() < 0.05 and (step or not heading.startswith("# Intent")):  # the very first call must succeed
            return ModelError(ModelErrorKind.RETRYABLE, "overloaded", status=529)
        if not self._plan.calm and chance.random() < 0.04:
            return chance.choice(
                (
                    turn(text="I think about it.", stop=StopReason.END),
                    turn(call("no_such_tool")),
                    turn(call("write_file", path="x")),
                    turn(call("read_file", path="../../etc/passwd")),
                )
            )
        if heading.startswith(("# Intent", "# Slice: ")):
            name = heading.partition("# Slice: ")[2]
            asks = self._ask(name, request, chance) if self._plan.asks else None
            return asks or self._reorder(request, chance) or self._plan_on(name, request)
        return self._work(heading.partition(": ")[2], request, chance)

    def _ask(self, name: str, request: Request, chance: random.Random) -> Turn | None:
        """A question, with or without a wait for the answer, or an answer to a subplanner's. None: neither."""
        waits = (call("wait"),) if chance.random() < 0.7 else ()
        asking = re.findall('# Question from your subplanner "(.*)"', request.messages[-1].text)
        if asking and chance.random() < 0.6:
            return turn(*(call("rescope_subplanner", subplanner=title, message="Yes.") for title in asking), *waits)
        if asking and chance.random() < 0.5:
            return turn(call("wait"))
        asked = [call.tool for message in request.messages for call in message.calls]
        if not asked and chance.random() < 0.7:
            questions = [
                call("note_to_person", kind="question", text=f"{name}: {n}?") for n in range(chance.randrange(1, 7))
            ]
            return turn(*questions, call("note_to_person", kind="assumption", text="yes"), *waits)
        if name and asked.count("ask_planner") < 3 and chance.random() < 0.5:
            return turn(call("ask_planner", text=f"{name}: what about {chance.randrange(9)}?"), *waits)
        return None

    def _reorder(self, request: Request, chance: random.Random) -> Turn | None:
        """Decide about held tasks, and sometimes amend or cancel others. None: leave all as it is."""
        last = request.messages[-1]
        held = re.findall(
            r"(t\w{8}) task-", "".join(re.findall(r"(?s)# Held.*|all open tasks are held.*", _whole(last)))
        )
        decide = [self._decision(id, chance, 0.5) for id in dict.fromkeys(held) if chance.random() < 0.8]
        if decide:
            return turn(*decide, *((call("wait"),) if chance.random() < 0.7 else ()))
        known = dict.fromkeys(re.findall(r"(t\w{8}) task-", "".join(map(_whole, request.messages))))
        if self._plan.calm or not self._plan.after or not known or chance.random() < 0.7:
            return None
        return turn(self._decision(chance.choice(list(known)), chance, 0.2))

    def _decision(self, id: str, chance: random.Random, cancels: float) -> ToolCall:
        if chance.random() < cancels:
            return call("cancel_task", task=id, reason="another way")
        other = chance.choice(self._plan.titles)
        changes = (
            {"after": []},
            {"after": [other]},
            {"goal": f"mind {other}", "after": []},
            {"priority": 3, "after": []},
        )
        return call("amend_task", task=id, **chance.choice(changes))

    def _plan_on(self, name: str, request: Request) -> Turn:
        told = "\n".join(message.text for message in request.messages)
        asked = {call.tool for message in request.messages for call in message.calls}
        below, titles = self._plan.below[name], self._plan.slices[name]
        # A planner restarted with a fresh context is told what it has spawned.
        slices, tasks = ([title for title in each if title not in told] for each in (below, titles))
        if slices and "spawn_subplanner" not in asked:
            return turn(*(call("spawn_subplanner", title=title, goal="own it") for title in slices))
        if tasks and "spawn_tasks" not in asked:
            asked = [{"title": title, "goal": f"do {title}"} for title in tasks]
            return turn(call("spawn_tasks", tasks=[{**each, "after": self._after(each["title"])} for each in asked]))
        last = simulated.answers(request)
        if tasks and any("nothing was queued" in text for text in last):  # what they were to come after has failed
            return turn(call("spawn_tasks", tasks=[{"title": title, "goal": f"do {title}"} for title in tasks]))
        heard = set(re.findall("# Handoff: (.*)", told))  # a planner that is woken hands off again
        if len(heard) < len(below) + len(titles) and not any("nothing" in text for text in last):
            return turn(call("wait"))
        return turn(call("submit_handoff", status="done", summary="all there is"))

    def _after(self, title: str) -> list[str]:
        return self._plan.after.get(title, [])

    def _work(self, title: str, request: Request, chance: random.Random) -> Turn:
        answers = simulated.answers(request)
        last = answers[0] if answers else ""
        if again := interrupted(request):
            return turn(*(call(each.tool, **msgspec.json.decode(each.arguments)) for each in again))
        wrote = {call.arguments for message in request.messages for call in message.calls if call.tool == "write_file"}
        if "conflict:\n- src/app.py\n" in last:
            return turn(call("read_file", path="src/app.py"))
        if "<<<<<<< trunk" in last:
            return turn(call("write_file", path="src/app.py", content=f"print('{title} and others')\n"))
        ran = any(call.tool == "shell" for message in request.messages for call in message.calls)
        if not ran and random.Random(f"{self._plan.seed} {title} shell").random() < 0.3:
            return turn(call("shell", command="make test", timeout_s=60))
        if not wrote:
            return turn(call("write_file", path=f"{title}.txt", content=f"{title}\n"))
        if len(wrote) == 1 and random.Random(f"{self._plan.seed} {title}").random() < 0.5:
            return turn(call("write_file", path="src/app.py", content=f"print('{title}')\n"))
        updated = any(call.tool == "update_workspace" for message in request.messages for call in message.calls)
        may_update = first_line(request).startswith("# Task: ") and not updated
        if may_update and random.Random(f"{self._plan.seed} {title} update").random() < 0.4:
            return turn(call("update_workspace"))
        status = "failed" if not self._plan.calm and chance.random() < 0.1 else "done"
        found = [
            {"text": f"{title} found {fact}", "evidence": "seen", "share": True} for fact in range(chance.randrange(4))
        ]
        return turn(call("submit_handoff", status=status, summary=f"{title}: {status}", findings=found))


def _whole(message: Message) -> str:
    """All text of a message, with the answers to calls."""
    return "\n".join((message.text, *(block.text for block in message.blocks if isinstance(block, ToolAnswer))))


class Shell:
    """What commands do: most succeed, some fail, hang or print a lot. In runs that are not calm, some sandboxes die."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._ran = 0

    def __call__(self, workspace: simulated.MemoryWorkspace, command: str) -> simulated.Ran:
        self._ran += 1
        chance = random.Random(f"{self._plan.seed} command {self._ran}")
        if not self._plan.calm and chance.random() < 0.1:
            workspace.lose()
        ran = chance.random()
        if ran < 0.1:
            return simulated.Ran(wall_s=10_000.0)
        return simulated.Ran(int(ran < 0.3), "x" * (50_000 if ran > 0.9 else 20), wall_s=chance.random() * 5)


# --- the run -------------------------------------------------------------------------------------------------


Seen = Callable[[Snapshot], None]
"""Called with the state of the live run after each step."""


async def live(
    plan: Plan, clock: simulated.SimulatedClock, seen: Seen | None, folder: Path | None
) -> tuple[simulated.World, list[int]]:
    """Run, kill, resume and steer to the end. Returns the world that is left, and the tokens at each budget stop."""
    clock.jumps = plan.jumps
    disk = simulated.Disk(clock, plan.troubles)
    w: simulated.World
    if folder is None:
        w = simulated.world(clock, Model(plan, clock), seed=plan.seed, shell=Shell(plan), disk=disk)
    else:
        w = await world_on_disk(folder, clock, Model(plan, clock), seed=plan.seed, shell=Shell(plan), disk=disk)
    kills, stops, resumes, stopped_at = plan.kills, int(plan.stops), 0, []
    budget = plan.budget
    steps = plan.steps
    while True:
        resumes += 1
        if resumes > RESUMES:
            raise BrokenError(f"the run did not end within {RESUMES} processes")
        settings = Settings(
            swarm=SwarmSettings(workers=plan.workers),
            budget=BudgetSettings(tokens=budget),
            planner=PlannerSettings(answer_within="2m"),
        )
        await clock.sleep(disk.well_in_s)  # no run can start or resume before
        await w.open()
        first = not w.journal.surviving()
        swarm = swarms.fresh(w, settings) if first else await swarms.resumed(w, settings)
        if not first:
            _unpause(swarm)
        if kills:
            kills -= 1
            w.journal.crash_after(swarm.snapshot.seq + plan.draw.randrange(1, 120))
        w.journal.on_failure = swarm.fail
        if seen is not None:
            swarm.on_change(partial(_told, swarm.snapshot, seen))
        swarm.attended = plan.asks and plan.draw.random() < 0.7
        running = asyncio.ensure_future(swarm.run())
        person = asyncio.ensure_future(_steer(swarm, plan, steps, bool(stops)))
        failed = asyncio.ensure_future(w.power.failed.wait())
        await asyncio.wait({running, failed}, return_when=asyncio.FIRST_COMPLETED)
        steps, stops = 0, 0
        dead = not running.done()
        person.cancel()
        failed.cancel()
        if dead:
            await w.bury([task for task in asyncio.all_tasks() if task is not asyncio.current_task()])
            w = w.restart(copies=not plan.loses_copies)
            if _ended(w):
                return w, stopped_at
            continue
        try:
            outcome: Outcome = running.result()
            await w.journal.close()
        except (SwarmError, OSError) as error:
            if not plan.troubles and not plan.outage[1]:
                raise BrokenError(f"the program cannot continue: {error}") from error
            await clock.sleep(AGAIN_S)
            w = w.restart()
            if _ended(w):
                return w, stopped_at
            continue
        if outcome.state is RunState.FINISHED:
            return w, stopped_at
        if outcome.status is ExitStatus.BUDGET:
            stopped_at.append(swarm.snapshot.usage.input + swarm.snapshot.usage.output)
            budget = None
        elif outcome.state is not RunState.STOPPED:
            raise BrokenError(f"the run ended {outcome.state}: {outcome.reason}")
        w = w.restart()


async def _cancel_leftovers(clock: simulated.SimulatedClock) -> None:
    """Cancel what killed processes have left waiting; some of it waits again while it is cancelled."""
    while clock.working:
        await clock.sleep(0.01)
    me = asyncio.current_task()
    while left := [task for task in asyncio.all_tasks() if task is not me]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=0.01)


def _told(snapshot: Snapshot, seen: Seen, event: e.Event) -> None:
    if snapshot.seq == event.seq:  # the last one of its batch
        seen(snapshot)


def _ended(w: simulated.World) -> bool:
    """Whether the run was recorded as finished before its process was killed: then nobody resumes it."""
    states = [event.body.state for event in w.journal.surviving() if isinstance(event.body, e.RunStateChanged)]
    return states[-1:] == [RunState.FINISHED]


def _unpause(swarm: swarms.Swarm) -> None:
    """Unpause a run, as a person does who resumes it."""
    snapshot = swarm.snapshot
    if snapshot.state in (RunState.PAUSING, RunState.PAUSED):
        swarm.record(e.Draft(e.RunStateChanged(RunState.RUNNING, "resumed")))
    for agent in list(snapshot.agents.values()):
        if agent.paused:
            swarm.record(e.Draft(e.SubtreeResumed(), agent.id))
    for id in list(snapshot.workers_below):
        swarm.record(e.Draft(e.SubtreeLimited(None), id))
    if not snapshot.workers_limit:
        swarm.record(e.Draft(e.WorkersLimited(1, "person")))


async def _steer(swarm: swarms.Swarm, plan: Plan, steps: int, stop: bool) -> None:
    """A person who gives random commands, and in the end lifts all pauses and limits."""
    draw = random.Random(f"{plan.seed} person")
    for _ in range(steps):
        await swarm.clock.sleep(draw.random() * 8)
        path = draw.choice(list(swarm.snapshot.paths) or [ROOT])
        command: c.Command = draw.choice(
            (
                c.Pause(path), c.Resume(path), c.Pause(), c.Resume(), c.Cancel(path, "not wanted"),
                c.Cancel(path, "not wanted"), c.Steer(path, "Mind the gap."), c.SetWorkers(draw.randrange(1, 9)),
                c.SetPriority(path, draw.randrange(-3, 4)), c.SubmitIntent("Do it well."),
                c.SetModel(ModelName("scripted:other"), path), c.SetWorkers(draw.choice((None, 0, 1, 2)), path),
            )
        )  # fmt: skip
        if plan.asks and draw.random() < 0.6:
            command = c.AnswerNote(draw.randrange(1, 9), draw.choice(("", "yes")), taken_back=draw.random() < 0.2)
            if draw.random() < 0.2:
                swarm.attended = not swarm.attended
        if isinstance(command, c.Cancel) and command.path == ROOT:
            continue
        try:
            await swarm.submit(command)
        except SwarmError:
            continue
    for path in list(swarm.snapshot.paths):
        for command in (c.Resume(path), c.SetWorkers(None, path)):
            try:
                await swarm.submit(command)
            except SwarmError:
                continue
    await swarm.submit(c.SetWorkers(swarm.snapshot.workers_limit or 1))
    try:
        await swarm.submit(c.Resume())
    except SwarmError:
        pass
    if stop:
        await swarm.clock.sleep(draw.random() * 6)
        await swarm.submit(c.Stop("enough for today"))


# --- what must hold ------------------------------------------------------------------------------------------


class Record:
    """All durable events of a run, the state that they fold into, and the same with everything that left memory."""

    def __init__(self, w: simulated.World) -> None:
        self.world = w
        self.events = w.journal.surviving()
        self.in_memory, self.end = Snapshot(), Snapshot()
        for event in self.events:
            fold(self.in_memory, event)
        with patch.object(retirement, "KEPT", len(self.events)), patch.object(retirement, "OWN", len(self.events)):
            for event in self.events:
                fold(self.end, event)

    def history(self) -> list[str]:
        """Trunk's commits of the run, oldest first."""
        commits, at = [], self.world.commits.tip
        while at is not None and at != self.world.commits.base:
            commits.append(str(at))
            at = self.world.commits.made[at].parent
        return commits[::-1]


def _each_task_ends_once(record: Record) -> None:
    ends = Counter(event.task for event in record.events if isinstance(event.body, e.TaskEnded))
    assert ends == dict.fromkeys(record.end.tasks, 1), "each task ends exactly once"
    assert all(task.ended for task in record.end.tasks.values())


def _what_left_memory_is_still_counted(record: Record) -> None:
    in_memory, all_of_it = (summarise(s, s.at, "journal.db") for s in (record.in_memory, record.end))
    assert in_memory == all_of_it, "what has left memory counts as before"
    states = Counter(task.state for task in record.in_memory.tasks.values())
    for retired in record.in_memory.retired.values():
        states.update(retired.all_tasks())
    assert states == +record.end.task_counts, "each task is in memory, or counted"


def _trunk_is_the_sum_of_its_landings(record: Record) -> None:
    landed = [event.body.landing for event in record.events if isinstance(event.body, e.LandingFinished)]
    told = [str(landing.commit) for landing in landed if landing.commit is not None]
    history = record.history()
    assert sorted(told) == sorted(history), "trunk's history is the sum of its landings"
    assert record.end.trunk == (history or [str(record.world.commits.base)])[-1], "the recorded trunk is the real one"
    _landings_keep_their_order(record, history)
    trailers = Counter(_task_of(record, commit) for commit in record.history())
    kept = {task.id for task in record.end.tasks.values() if task.state is TaskState.LANDED and task.commit is not None}
    assert trailers == dict.fromkeys(kept, 1), "each landed commit belongs to one task, and a task has at most one"


def _landings_keep_their_order(record: Record, history: list[str]) -> None:
    """Overlapping landings may be recorded in any order. One that starts after another is recorded comes after it."""
    place = {commit: number for number, commit in enumerate(history)}
    newest, before = -1, dict[TaskId, int]()
    for event in record.events:
        match event.body:
            case e.LandingStarted() if event.task is not None:
                before.setdefault(event.task, newest)  # a landing started by an earlier process may have succeeded
            case e.LandingFinished(landing=landing) if landing.commit is not None:
                assert place[landing.commit] > before[landing.task], (
                    "a landing comes before one that was recorded when it started"
                )
                newest = max(newest, place[landing.commit])


def _task_of(record: Record, commit: str) -> str:
    lines = record.world.commits.made[commit].message.splitlines()  # type: ignore[index]
    [task] = [line.removeprefix("Swarm-Task: ") for line in lines if line.startswith("Swarm-Task: ")]
    return task


def _what_is_shared_is_bounded_and_stays_in_its_slice(record: Record) -> None:
    for planner, kept in record.end.shared_findings.items():
        titles = {record.end.tasks[task].spec.title for task in record.end.tasks_of.get(planner, ())}
        assert {found.text.partition(" found ")[0] for found in kept} <= titles
        assert len(kept) <= MOST


def _nobody_waits_at_the_end(record: Record) -> None:
    assert not record.end.claims, "no task has precedence, and no landing waits, once all have ended"


def _no_question_is_awaited_at_the_end(record: Record) -> None:
    notes = record.end.notes.values()
    assert not [note for note in notes if note.open and note.to_agent], "each question to a planner has been settled"


def _each_handoff_arrives_once(record: Record) -> None:
    handoffs = [event.body.handoff for event in record.events if isinstance(event.body, e.HandedOff)]
    of_tasks = Counter(handoff.task for handoff in handoffs if handoff.task is not None)
    for task in record.end.tasks.values():
        gone = record.end.agents[task.planner].state in (AgentState.CANCELLED, AgentState.FAILED)
        own = gone or bool(task.cancelled_under)  # by its planner, or its planner is gone, too
        nobody = own and task.state is TaskState.CANCELLED
        assert of_tasks[task.id] == 1 or (nobody and not of_tasks[task.id]), "each task has exactly one handoff"
    queued = [event.body.message for event in record.events if isinstance(event.body, e.MessageQueued)]
    carried = Counter(message.handoff for message in queued if message.handoff is not None)
    assert carried == dict.fromkeys((h.id for h in handoffs if h.to_agent is not None), 1), (
        "each handoff is queued once"
    )
    read = Counter(id for event in record.events if isinstance(event.body, e.TurnTaken) for id in event.body.consumed)
    assert not read or max(read.values()) == 1, "no message is read twice"
    for message in queued:
        reader = record.end.agents[message.to_agent]
        if reader.role is Role.PLANNER and reader.state is AgentState.DONE:
            assert read[message.id] == 1, f"{message.source} was never read by {reader.path}"


def _tasks_keep_their_order(record: Record) -> None:
    """No task starts before those that it comes after have landed."""
    state = Snapshot()
    for event in record.events:
        if isinstance(event.body, e.TaskStarted) and event.task is not None:
            early = waits_for(state, state.tasks[event.task])
            assert not early, f"event {event.seq}: a task starts before {[task.spec.title for task in early]}"
        fold(state, event)


def _no_held_task_is_forgotten(record: Record) -> None:
    """Whoever has to decide about a held task was told of it once: by a message, or in the answer to a call."""
    told = Counter[str]()
    for event in record.events:
        match event.body:
            case e.MessageQueued(message=message) if message.text.startswith("# Held"):
                told.update(re.findall(r"(?m)^- (t\w{8}) .*: after ", message.text))
            case e.ToolFinished(tool="cancel_task", answer=answer):
                told.update(re.findall(r"(?m)^- (t\w{8}) ", answer))
    held = Counter(str(event.task) for event in record.events if isinstance(event.body, e.TaskHeld))
    assert all(told[id] >= times for id, times in held.items()), f"held: {held}, told: {told}"
    messages = [event for event in record.events if isinstance(event.body, e.MessageQueued)]
    named = Counter(
        id for event in messages for id in re.findall(r"(?m)^- (t\w{8}) .*: after ", event.body.message.text)  # type: ignore[union-attr]
        if event.body.message.text.startswith("# Held")  # type: ignore[union-attr]
    )  # fmt: skip
    assert all(times <= held[id] for id, times in named.items()), "one message for each time that a task is held"


def _nobody_outlives_a_cancelled_ancestor(record: Record) -> None:
    cancelled: set[AgentId] = set()
    parents: dict[AgentId, AgentId | None] = {}
    for event in record.events:
        match event.body:
            case e.AgentSpawned(spawned=agent):
                parents[agent.id] = agent.parent
            case e.AgentStateChanged(state=AgentState.CANCELLED) if event.agent is not None:
                cancelled.add(event.agent)
            case e.TurnTaken() | e.ToolStarted() | e.TaskStarted():
                at = event.agent
                while at is not None:
                    assert at not in cancelled, f"event {event.seq} ({event.kind}) below a cancelled agent"
                    at = parents.get(at)
    for agent in record.end.agents.values():
        assert agent.ended, f"{agent.path} is {agent.state} after the end"
    done: dict[str, Task] = {}
    for event in record.events:
        if isinstance(event.body, e.TaskEnded) and event.task is not None:
            done[event.task] = record.end.tasks[event.task]
        if isinstance(event.body, e.TurnTaken) and event.task in done:
            raise AssertionError(f"event {event.seq}: a turn for a task that has ended")


def _nothing_is_asked_for_twice(record: Record, plan: Plan) -> None:
    titles = Counter(task.spec.title for task in record.end.tasks.values())
    assert set(titles) <= set(plan.titles)
    assert not titles or max(titles.values()) == 1, "no task is spawned twice"
    assert len({agent.title for agent in record.end.agents.values() if agent.role is Role.PLANNER}) == sum(
        agent.role is Role.PLANNER for agent in record.end.agents.values()
    ), "no slice was asked for twice"


def _nothing_is_begun_twice(record: Record, plan: Plan) -> None:
    """However often the program dies: its attempts continue, and no call that changes something starts again."""
    writes = Counter(
        event.body.call
        for event in record.events
        if isinstance(event.body, e.ToolStarted)
        and event.body.tool in ("shell", "write_file", "edit_file", "apply_patch")
    )
    assert not writes or max(writes.values()) == 1, "no call that may have changed something starts again"
    again = [event.body.reason for event in record.events if isinstance(event.body, e.TaskRequeued)]
    assert GONE not in again or plan.loses_copies, "an attempt began again although its workspace was there"
    answered = {event.body.call for event in record.events if isinstance(event.body, e.ToolFinished)}
    ended = {id for id, agent in record.end.agents.items() if agent.state is not AgentState.DONE}
    for event in record.events:
        # Of a landing that the program did not live to record, the next process delivers the handoff.
        if isinstance(event.body, e.ToolStarted) and event.body.call not in answered:
            landed = event.body.tool == "submit_handoff"
            assert landed or event.agent in ended, f"{event.body.tool} of an agent that was done got no answer"


def _a_calm_run_owes_nothing(record: Record, plan: Plan) -> None:
    if not plan.calm:
        return
    landed = sorted(task.spec.title for task in record.end.tasks.values() if task.state is TaskState.LANDED)
    failed = [(task.spec.title, task.state, task.reason) for task in record.end.tasks.values() if task.failures]
    assert landed == sorted(plan.titles), f"every task lands, whether the run is killed or not: {failed}"
    assert all(record.world.trunk.files.get(f"{title}.txt") for title in plan.titles)
    assert record.end.exit_status == (ExitStatus.NOT_GREEN if _is_unpublished(record) else ExitStatus.DONE)


def _is_unpublished(record: Record) -> bool:
    """Whether the result could not be written to the person's repo, so that the person has to fetch it."""
    return bool(record.end.left_alone) and record.end.trunk != record.end.base


def _the_result_is_published_or_the_end_says_why(record: Record, plan: Plan) -> None:
    written = [event.body for event in record.events if isinstance(event.body, e.Published)][-1]
    assert (written.trunk, written.green) == (record.end.trunk, record.end.green), "the last state is published"
    if record.end.left_alone:
        assert any(trouble.part in ("", "objects") for trouble in plan.troubles), record.end.left_alone
    if record.end.state is RunState.FINISHED and _is_unpublished(record):
        assert record.end.exit_status != ExitStatus.DONE, "a result that is not there is not done"
        assert record.end.reason.endswith(record.end.left_alone)


def _budgets_hold(record: Record, plan: Plan, stopped_at: list[int]) -> None:
    if plan.budget is None:
        return
    used = record.end.usage.input + record.end.usage.output
    for tokens in stopped_at or [used]:
        assert tokens <= plan.budget, f"{tokens} tokens of {plan.budget}"


def owed(record: Record) -> dict[str, object]:
    """What a run must deliver, however often it is interrupted; a full disk may still leave it to be fetched."""
    return {
        "status": ExitStatus.DONE if _is_unpublished(record) else record.end.exit_status,
        "tasks": sorted((task.spec.title, task.state) for task in record.end.tasks.values()),
        "planners": sorted((a.title, a.state) for a in record.end.agents.values() if a.role is Role.PLANNER),
        "files": sorted(record.world.trunk.files),
        "landed": Counter(
            record.world.commits.made[CommitId(commit)].message.splitlines()[0] for commit in record.history()
        ),
    }


def undisturbed(plan: Plan) -> Plan:
    """The same plan without any trouble."""
    return replace(plan, kills=0, stops=False, steps=0, troubles=(), jumps=(), outage=(0.0, 0.0))


def explore(seed: int) -> Record:
    """Run the plan of a seed and check all invariants. Raises BrokenError."""
    return explore_plan(planned(seed))


def explore_plan(plan: Plan, seen: Seen | None = None, folder: Path | None = None) -> Record:
    """Run a plan and check all invariants; with a `folder`, on the real journal and trunk. Raises BrokenError."""

    async def main(clock: simulated.SimulatedClock) -> Record:
        try:
            async with asyncio.timeout(LONGEST_S):
                w, stopped_at = await live(plan, clock, seen, folder)
        finally:
            await _cancel_leftovers(clock)
        record = Record(w)
        _each_task_ends_once(record)
        _what_left_memory_is_still_counted(record)
        _trunk_is_the_sum_of_its_landings(record)
        _each_handoff_arrives_once(record)
        _nobody_waits_at_the_end(record)
        _tasks_keep_their_order(record)
        _no_held_task_is_forgotten(record)
        _what_is_shared_is_bounded_and_stays_in_its_slice(record)
        _no_question_is_awaited_at_the_end(record)
        _nobody_outlives_a_cancelled_ancestor(record)
        _nothing_is_asked_for_twice(record, plan)
        _nothing_is_begun_twice(record, plan)
        _a_calm_run_owes_nothing(record, plan)
        _budgets_hold(record, plan, stopped_at)
        return record

    try:
        return simulated.simulate(main)
    except Exception as error:
        again = f"python -m tests.simulated.exploring {plan.seed}"
        raise BrokenError(
            f"seed {plan.seed}: {type(error).__name__}: {error}\n{plan}\nsee it again: {again}"
        ) from error


def _explored(seed: int, on_disk: bool) -> Record:
    with tempfile.TemporaryDirectory() as folder:
        return explore_plan(planned(seed), folder=Path(folder) if on_disk else None)


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", default=0, help="the first seed")
    parser.add_argument("--on-disk", action="store_true", help="with the shipped journal and trunk, in real folders")
    parser.add_argument("--count", type=int, default=1, help="how many seeds from there on")
    chosen = parser.parse_args()
    broken = []
    for seed in range(chosen.seed, chosen.seed + chosen.count):
        try:
            record = _explored(seed, chosen.on_disk)
        except BrokenError as error:
            broken.append(seed)
            sys.stdout.write(f"{error}\n")
            if chosen.count == 1:
                raise
        else:
            if chosen.count == 1:
                counts = {str(state): count for state, count in record.end.task_counts.items() if count}
                sys.stdout.write(f"{planned(seed)}\n{len(record.events)} events, {record.end.epoch} epochs, {counts}\n")
    sys.stdout.write(
        f"{chosen.count - len(broken)} of {chosen.count} seeds hold{f'; broken: {broken}' if broken else ''}\n"
    )
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
