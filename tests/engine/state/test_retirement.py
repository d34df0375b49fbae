"""Ended tasks and planners leave the snapshot but for their counts, and stay while a decision needs them."""

from collections import Counter

import pytest

from engine.domain import events as e
from engine.domain import types as t
from engine.domain.handoff_facts import Facts
from engine.domain.notes import Note, NoteKind
from engine.domain.settings import Settings
from engine.policy.notes import before_planning
from engine.policy.planner_status import PlannerStatus
from engine.policy.work_facts import slice_facts
from engine.reports.summary import summarise
from engine.state.fold import fold, retirement
from engine.state.snapshot import Snapshot
from tests.bench import week
from tests.bench.week import Week
from tests.engine.journal.stories import story

KEPT, OWN = 20, 3
BY_ID = ("agents", "tasks", "handoffs", "paths", "children", "tasks_of", "spent", "inboxes", "leaving", "retired")
DONE = t.HandoffText(t.HandoffStatus.DONE, "Done.")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep so little that a short run shows what leaves."""
    monkeypatch.setattr(retirement, "KEPT", KEPT)
    monkeypatch.setattr(retirement, "OWN", OWN)
    monkeypatch.setattr(retirement, "HOUR", 60_000_000)
    monkeypatch.setattr(week, "CALLS", 4)


class Run:
    """A root planner whose tasks are done one after the other, a minute each."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.events: list[e.Event] = []
        self.at = 1_000_000
        self.tell(e.RunCreated(t.RunId("r"), "/repo", "main", t.CommitId("0" * 40), "", {}, "{}", "0"))
        self.tell(e.EpochStarted(1, "full", "overlay"))
        self.tell(e.IntentVersioned(t.Intent(1, self.at, "person", "Do it.")))
        self.root = self.planner("root", None)

    def tell(self, body: e.Body, agent: t.AgentId | None = None, task: t.TaskId | None = None) -> None:
        event = e.Event(len(self.events) + 1, self.at, 1, body, agent, task)
        fold(self.snapshot, event)
        self.events.append(event)

    def planner(self, path: str, parent: t.AgentId | None) -> t.AgentId:
        id = t.AgentId(f"a-{path}")
        model = t.ModelName("rehearsal:x")
        self.tell(e.AgentSpawned(t.Agent(id, t.AgentPath(path), parent, t.Role.PLANNER, model, path)), id)
        return id

    def queue(self, name: str, planner: t.AgentId, after: tuple[str, ...] = (), **more: object) -> t.TaskId:
        id = t.TaskId(f"t-{name}")
        spec = t.TaskSpec(name, "goal", after=tuple(t.TaskId(f"t-{each}") for each in after))
        self.tell(e.TaskQueued(t.Task(id, spec, planner, 1, queued_at=self.at, **more)), planner, id)  # type: ignore[arg-type]
        return id

    def work(
        self,
        name: str,
        planner: t.AgentId,
        *,
        read: bool = True,
        lands: bool = False,
        recent: bool = False,
        text: t.HandoffText = DONE,
    ) -> None:
        """Do a queued task: its worker hands off, and its planner reads that."""
        self.at += 60_000_000
        id, path = t.TaskId(f"t-{name}"), f"{self.snapshot.agents[planner].path}/{name}"
        worker = t.AgentId(f"a-{path}")
        spawned = t.Agent(worker, t.AgentPath(path), planner, t.Role.WORKER, t.ModelName("rehearsal:x"), name, task=id)
        self.tell(e.AgentSpawned(spawned), worker, id)
        self.tell(e.TaskStarted(worker, 1), worker, id)
        commit = t.CommitId(name.rjust(40, "0")) if lands else None
        if commit is not None:
            self.tell(e.LandingStarted(t.LandingId(f"l-{name}"), commit, DONE), worker, id)
            base, merged = self.snapshot.trunk, t.LandingState.MERGED
            landing = t.Landing(t.LandingId(f"l-{name}"), self.at, id, worker, merged, base, commit, (name,))
            self.tell(e.LandingFinished(landing), worker, id)
            if not recent:
                self.snapshot.landings.clear()
        self.hand_off(f"h-{name}", worker, planner, id, read=read, text=text)
        self.tell(e.TaskEnded("landed" if lands else "failed", "", commit), worker, id)
        self.tell(e.AgentStateChanged(t.AgentState.DONE if lands else t.AgentState.FAILED), worker, id)

    def hand_off(
        self,
        id: str,
        agent: t.AgentId,
        to: t.AgentId | None,
        task: t.TaskId | None = None,
        *,
        read: bool = True,
        text: t.HandoffText = DONE,
    ) -> None:
        handoff = t.HandoffId(id)
        self.tell(e.HandedOff(t.Handoff(handoff, self.at, task, agent, to, text, facts=Facts())), agent, task)
        if to is not None:
            message = t.InboxMessage(t.MessageId(f"m-{id}"), self.at, to, t.MessageSource.HANDOFF, "done", handoff)
            self.tell(e.MessageQueued(message), to, task)
            if read:
                self.snapshot.inboxes[to] = self.snapshot.inboxes[to][:-1]  # as a turn does

    def many(self, count: int, planner: t.AgentId | None = None, start: int = 0, *, lands: bool = False) -> None:
        for number in range(start, start + count):
            self.queue(f"{number}", planner or self.root)
            self.work(f"{number}", planner or self.root, lands=lands)


def test_what_a_long_run_keeps_does_not_grow_with_it() -> None:
    made = Week(workers=8)
    sizes = []
    batches = made.batches()
    for ended in (500, 1_000, 2_000):
        while made.snapshot.task_counts[t.TaskState.LANDED] < ended:
            next(batches)
            made.snapshot.landings.clear()  # the tasks of recent landings stay
        sizes.append({name: len(getattr(made.snapshot, name)) for name in BY_ID})
    open_ones = 8 * (week.TASKS + 2)
    assert all(size <= 2 * (open_ones + KEPT) for each in sizes for size in each.values()), sizes


def test_counts_are_those_of_all_tasks_and_agents_there_were() -> None:
    run = Run()
    below = run.planner("root/part", run.root)
    run.many(60, below, lands=True)
    run.many(40, run.root, 100)
    s = run.snapshot
    assert len(s.tasks) < 60
    summary = summarise(s, run.at, "journal.db")
    assert (summary.agents["planners"], summary.agents["workers"], summary.agents["total"]) == (2, 100, 102)
    assert (summary.tasks["landed"], summary.tasks["failed"]) == (60, 40)
    root, part = s.agents[run.root], s.agents[below]
    facts = slice_facts(s, root, DONE, run.at, by_engine=False)
    assert (facts.tasks, facts.commits, facts.files) == ({"landed": 60, "failed": 40}, 60, None)
    assert slice_facts(s, part, DONE, run.at, by_engine=False).tasks == {"landed": 60}
    status = PlannerStatus(Settings(), s, run.root, run.at).whole()
    assert "40 failed" in status
    assert "slice root/part: 0 open tasks, 60 landed" in status


def test_a_planner_leaves_after_its_tasks_and_its_counts_go_to_the_one_above() -> None:
    run = Run()
    for number in range(OWN + 2):
        planner = run.planner(f"root/p{number}", run.root)
        run.many(4, planner, 10 * number)
        run.hand_off(f"h-p{number}", planner, run.root)
        run.tell(e.AgentStateChanged(t.AgentState.DONE), planner)
    run.many(5 * KEPT, run.root, 1_000)
    s = run.snapshot
    assert t.AgentId("a-root/p0") not in s.agents
    assert t.HandoffId("h-p0") not in s.handoffs
    assert t.AgentPath("root/p0") not in s.paths
    assert set(s.retired) <= set(s.agents)
    gone = s.retired[run.root]
    assert gone.children[t.Role.PLANNER] == 2
    assert gone.below == {t.TaskState.FAILED: 8}
    total = Counter(agent.role for agent in s.agents.values())
    for each in s.retired.values():
        total.update(each.roles)
    assert total == {t.Role.PLANNER: OWN + 3, t.Role.WORKER: 4 * (OWN + 2) + 5 * KEPT}


@pytest.mark.parametrize(
    "needed",
    ["comes before an open task", "is replaced by one in memory", "its handoff is unread", "its landing is recent"],
)
def test_an_ended_task_stays_while_a_decision_needs_it(needed: str) -> None:
    run = Run()
    run.queue("old", run.root)
    run.work(
        "old", run.root, read=needed != "its handoff is unread", lands=(lands := "landing" in needed), recent=lands
    )
    old, more = t.TaskId("t-old"), 10 * KEPT
    if needed == "comes before an open task":
        run.queue("later", run.root, after=("old",))
    elif needed == "is replaced by one in memory":
        run.queue("later", run.root, replaces=old)
    run.many(more)
    assert old in run.snapshot.tasks
    assert any(handoff.task == old for handoff in run.snapshot.handoffs.values())
    assert len(run.snapshot.tasks) < KEPT + 10
    run.snapshot.inboxes.clear()
    run.snapshot.landings.clear()
    for name in ["later"] if t.TaskId("t-later") in run.snapshot.tasks else []:
        run.work(name, run.root)
    run.many(more, run.root, 10 * more)
    assert old not in run.snapshot.tasks
    assert not any(handoff.task == old for handoff in run.snapshot.handoffs.values())


def test_a_planner_with_an_open_note_stays_and_numbers_of_notes_go_on() -> None:
    run = Run()
    planners = [run.planner(f"root/p{number}", run.root) for number in range(OWN + 3)]
    for number, planner in enumerate(planners[:2], 1):
        run.tell(e.NoteMade(Note(number, run.at, planner, NoteKind.ASSUMPTION, f"so {number}")), planner)
    for planner in planners:
        run.tell(e.AgentStateChanged(t.AgentState.DONE), planner)
    run.tell(e.NoteAnswered(2, "yes", by="person"), planners[1])
    run.many(5 * KEPT, run.root)
    s = run.snapshot
    assert planners[0] in s.agents
    assert planners[1] not in s.agents
    assert list(s.notes) == [1]
    assert (s.note_count, summarise(s, run.at, "").notes["assumptions"]) == (2, 2)


def test_of_many_planners_with_open_notes_those_with_the_newest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retirement, "NOTED", 3)
    run = Run()
    planners = [run.planner(f"root/p{number}", run.root) for number in range(3 * OWN)]
    for number, planner in enumerate(planners, 1):
        run.tell(e.NoteMade(Note(number, run.at, planner, NoteKind.ASSUMPTION, f"so {number}")), planner)
        run.tell(e.AgentStateChanged(t.AgentState.DONE), planner)
    more = [run.planner(f"root/q{number}", run.root) for number in range(3 * OWN)]
    for planner in more:
        run.tell(e.AgentStateChanged(t.AgentState.DONE), planner)
    run.many(10 * KEPT, run.root)
    s = run.snapshot
    assert [planner for planner in planners if planner in s.agents] == planners[-3:]
    assert len(s.notes) == 3
    assert (s.note_count, summarise(s, run.at, "").notes["assumptions"]) == (len(planners), len(planners))


def test_a_planner_at_work_keeps_its_newest_tasks_whatever_others_do() -> None:
    run = Run()
    mine = run.planner("root/mine", run.root)
    run.many(OWN + 2, mine)
    run.many(10 * KEPT, run.root, 1_000)
    kept = run.snapshot.tasks_of[mine]
    assert kept[-OWN:] == tuple(t.TaskId(f"t-{number}") for number in range(2, OWN + 2))


def test_a_root_whose_tasks_have_all_left_memory_still_counts_as_having_planned() -> None:
    run = Run()
    run.tell(e.AgentStateChanged(t.AgentState.DONE), run.root)
    run.many(3 * KEPT, run.root)
    assert not before_planning(run.snapshot, run.snapshot.agents[run.root])


def test_handoffs_that_need_a_person_stay_until_they_are_resolved_or_many_newer_ones_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retirement, "NEEDING", 2)
    run = Run()
    for name in ("old", "a", "b"):
        run.queue(name, run.root)
        run.work(name, run.root, text=t.HandoffText(t.HandoffStatus.FAILED, "No."))
    run.many(5 * KEPT)
    needing = [handoff.id for handoff in run.snapshot.handoffs.values() if handoff.needs_person]
    assert needing == ["h-a", "h-b"]
    run.tell(e.HandoffResolved(t.HandoffId("h-a"), True))
    run.many(5 * KEPT, start=1_000)
    assert t.HandoffId("h-a") not in run.snapshot.handoffs
    assert t.HandoffId("h-b") in run.snapshot.handoffs


def test_what_ends_stays_until_all_have_reacted_to_the_batch_that_ended_it() -> None:
    run = Run()
    part = run.planner("root/part", run.root)
    run.tell(e.AgentStateChanged(t.AgentState.DONE), part)  # what it does when it is cancelled below is no first end
    tasks = [run.queue(f"{number}", part) for number in range(3 * KEPT)]
    more = [run.planner(f"root/p{number}", run.root) for number in range(3 * KEPT)]
    run.at += 1
    for task in tasks:
        run.tell(e.TaskEnded("cancelled", "no"), None, task)
    for planner in (part, *more):
        run.tell(e.AgentStateChanged(t.AgentState.CANCELLED), planner)
    assert {part, *more} <= set(run.snapshot.agents)
    assert set(tasks) <= set(run.snapshot.tasks)
    run.many(2 * KEPT, start=1_000)
    assert len(run.snapshot.tasks) < 3 * KEPT


def test_a_planner_that_hands_off_again_and_again_keeps_only_its_newest_handoffs() -> None:
    run = Run()
    for number in range(10):
        run.hand_off(f"h-{number}", run.root, None)
    assert list(run.snapshot.handoffs) == [t.HandoffId(f"h-{number}") for number in range(10 - OWN, 10)]
    assert run.snapshot.handoff_count == 10


@pytest.mark.parametrize("seed", range(8))
def test_any_run_folds_with_few_things_kept(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retirement, "KEPT", 3)
    monkeypatch.setattr(retirement, "OWN", 1)
    monkeypatch.setattr(retirement, "HOUR", 0)
    s = story(seed, 600, text=10).snapshot
    above = {None, *s.agents}
    assert all(agent.parent in above for agent in s.agents.values())
    assert all(task.planner in s.agents for task in s.tasks.values())
    assert {handoff.agent for handoff in s.handoffs.values()} <= set(s.agents)
    assert set(s.paths.values()) <= set(s.agents)
    ended = Counter(task.state for task in s.tasks.values())
    for each in s.retired.values():
        ended.update(each.all_tasks())
    assert ended == +s.task_counts
