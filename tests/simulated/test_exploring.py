"""Random runs by seed keep all invariants, and each of a dozen planted bugs is found by some of them."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.agents import cancellation, handoffs, holds, outcomes
from engine.agents.attempt import Attempt
from engine.agents.conversation_log import Conversation
from engine.agents.outcomes import attempt_lost
from engine.domain import events as e
from engine.domain.types import CommitId, TaskId
from engine.orchestrator import recovery, supervisor
from engine.orchestrator.supervisor import Supervisor
from engine.policy import scheduling, task_order
from engine.runtime.budget_enforcer import Admission, BudgetEnforcer
from engine.state import snapshot
from engine.state.fold import retirement
from engine.state.fold.table import FOLDS
from engine.tools import amend_task
from tests.simulated import exploring
from tests.simulated.exploring import BrokenError, explore, explore_plan, owed, planned, undisturbed
from tests.simulated.trunk import MemoryTrunk

SEEDS = 120
"""Seeds in every test run; `make simulate` runs 10,000."""
ON_DISK = range(6)
"""Seeds that every test run also tries with real SQLite and git."""
LITTLE = 300
"""Seeds of runs that keep almost nothing in memory of what has ended."""
WITHIN = 300
"""Seeds within which a planted bug must be found."""


@pytest.mark.parametrize("part", range(4))
def test_random_runs_keep_all_invariants(part: int) -> None:
    for seed in range(part * SEEDS // 4, (part + 1) * SEEDS // 4):
        explore(seed)


@pytest.mark.parametrize("part", range(4))
def test_runs_that_keep_almost_nothing_in_memory_keep_all_invariants(
    part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("KEPT", 0), ("OWN", 5), ("HOUR", 0), ("NEEDING", 0), ("EXAMINED", 50)):
        monkeypatch.setattr(retirement, name, value)
    monkeypatch.setattr(snapshot, "RECENT", 1)
    gone = sum(len(record.end.tasks) - len(record.in_memory.tasks) for record in map(explore, _little(part)))
    assert gone > len(_little(part)) / 4


def _little(part: int) -> range:
    return range(part * LITTLE // 4, (part + 1) * LITTLE // 4)


@pytest.mark.parametrize("seed", ON_DISK)
def test_runs_on_the_real_journal_and_trunk_keep_all_invariants(seed: int, tmp_path: Path) -> None:
    explore_plan(planned(seed), folder=tmp_path)


def test_an_interrupted_run_delivers_what_an_undisturbed_one_does() -> None:
    plans = [
        plan for plan in map(planned, range(SEEDS)) if plan.calm and (plan.kills or plan.troubles or plan.outage[1])
    ]
    assert len(plans) > 20
    for plan in plans[:20]:
        assert owed(explore_plan(plan)) == owed(explore_plan(undisturbed(planned(plan.seed)))), plan


def test_the_same_seed_gives_the_same_events() -> None:
    for seed in (3, 17):
        first, again = explore(seed), explore(seed)
        assert [(event.kind, event.agent, event.task) for event in first.events] == [
            (event.kind, event.agent, event.task) for event in again.events
        ]


def test_a_broken_invariant_names_the_command_that_repeats_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = AssertionError("nothing landed")
    monkeypatch.setattr(exploring, "_trunk_is_the_sum_of_its_landings", lambda record: _raise(failure))
    with pytest.raises(BrokenError, match=r"python -m tests\.simulated\.exploring 5"):
        explore(5)


def _raise(error: Exception) -> None:
    raise error


def test_the_seeds_cover_everything_that_can_happen() -> None:
    plans = [planned(seed) for seed in range(SEEDS)]
    assert {plan.kills for plan in plans} == {0, 1, 3}
    assert {plan.workers for plan in plans} == {1, 2, 4, 16}
    assert all(any(mark) and not all(mark) for mark in zip(*((p.calm, p.stops, p.budget) for p in plans), strict=True))
    assert any(len(plan.slices) > 3 for plan in plans)
    assert {trouble.code for plan in plans for trouble in plan.troubles} == {errno.ENOSPC, errno.EROFS, errno.EIO}
    assert any(plan.jumps for plan in plans)
    assert any(plan.outage[1] for plan in plans)
    assert any(plan.loses_copies for plan in plans)
    assert any(any(plan.after.values()) and not plan.calm for plan in plans)


# --- bugs ----------------------------------------------------------------------------------------------------

Plant = Callable[[pytest.MonkeyPatch], None]


def cancelled_workers_continue(patch: pytest.MonkeyPatch) -> None:
    task_ended = Supervisor.task_ended

    def careless(self: Supervisor, event: e.Event, body: e.TaskEnded) -> None:
        if body.state != "cancelled":
            task_ended(self, event, body)
        elif event.task is not None:
            self._queued.discard(event.task)

    patch.setattr(Supervisor, "task_ended", careless)


def a_cancelled_planner_does_not_cancel_its_subtree(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cancellation, "everything_below", lambda *args: ())


def recovery_does_not_look_for_landed_commits(patch: pytest.MonkeyPatch) -> None:
    async def blind(self: MemoryTrunk, *tasks: TaskId) -> dict[TaskId, CommitId]:
        return {}

    patch.setattr(MemoryTrunk, "find_landed", blind)


def lost_tasks_are_not_queued_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery, "attempt_lost", lambda *args, **more: ())


def a_handoff_is_queued_twice(patch: pytest.MonkeyPatch) -> None:
    addressed = handoffs.addressed
    patch.setattr(handoffs, "addressed", lambda *args: (*(twice := addressed(*args)), *twice[1:]))


def a_handoff_is_not_delivered(patch: pytest.MonkeyPatch) -> None:
    addressed = handoffs.addressed
    patch.setattr(handoffs, "addressed", lambda *args: addressed(*args)[:1])


def a_cancelled_task_has_no_handoff(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cancellation, "cancelled_handoff", lambda *args: ())


def read_messages_stay_in_the_inbox(patch: pytest.MonkeyPatch) -> None:
    fold = FOLDS[e.TurnTaken]

    def forgetful(state: Any, event: e.Event, body: e.TurnTaken) -> None:
        inbox = state.inboxes.get(event.agent, ())
        fold(state, event, body)
        if event.agent is not None and inbox:
            state.inboxes[event.agent] = inbox

    patch.setitem(FOLDS, e.TurnTaken, forgetful)


def budgets_are_not_enforced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BudgetEnforcer, "look", lambda self: None)
    patch.setattr(BudgetEnforcer, "reserve", lambda self, agent, wanted, most, patient: Admission(wanted))


def answered_calls_run_again(patch: pytest.MonkeyPatch) -> None:
    unanswered = property(lambda self: self.messages[-1].calls if self.messages else ())
    patch.setattr(Conversation, "unanswered", unanswered)


def a_landing_is_not_recorded(patch: pytest.MonkeyPatch) -> None:
    landed = outcomes.landed
    patch.setattr(outcomes, "landed", lambda *args: landed(*args)[1:])


def disk_trouble_leaves_a_task_unfinished(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Attempt, "_spoiled", lambda self, error: None)


def interrupted_calls_run_again(patch: pytest.MonkeyPatch) -> None:
    apply = Conversation.apply

    def forgetful(self: Conversation, event: e.Event) -> None:
        apply(self, event)
        self.started.clear()

    patch.setattr(Conversation, "apply", forgetful)


def attempts_begin_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery, "attempt_continued", lambda host, task, **more: attempt_lost(host, task, recovery.GONE))


def tasks_do_not_wait_for_each_other(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(scheduling, "waits_for", lambda snapshot, task: ())


def nobody_is_told_of_held_tasks(patch: pytest.MonkeyPatch) -> None:
    quiet = holds.holds
    patch.setattr(supervisor, "holds", lambda *args: [draft for draft in quiet(*args) if draft.agent is None])


def a_released_task_stays_held(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(amend_task, "held", lambda snapshot, waiting, changed: task_order.held(snapshot, waiting))


BUGS: tuple[Plant, ...] = (
    tasks_do_not_wait_for_each_other,
    nobody_is_told_of_held_tasks,
    a_released_task_stays_held,
    interrupted_calls_run_again,
    attempts_begin_again,
    cancelled_workers_continue,
    a_cancelled_planner_does_not_cancel_its_subtree,
    recovery_does_not_look_for_landed_commits,
    lost_tasks_are_not_queued_again,
    a_handoff_is_queued_twice,
    a_handoff_is_not_delivered,
    a_cancelled_task_has_no_handoff,
    read_messages_stay_in_the_inbox,
    budgets_are_not_enforced,
    answered_calls_run_again,
    a_landing_is_not_recorded,
    disk_trouble_leaves_a_task_unfinished,
)


@pytest.mark.parametrize("plant", BUGS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    for seed in range(WITHIN):
        try:
            explore(seed)
        except BrokenError:
            return
    raise AssertionError(f"{WITHIN} seeds did not find it")
