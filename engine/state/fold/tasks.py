"""Folds the events of tasks, including their landings and handoffs."""

from typing import Any

from msgspec.structs import replace

from engine.domain import events as e
from engine.domain.lifecycle import IllegalTransition, check_task
from engine.domain.spending import of_task
from engine.domain.types import Claim, CommitId, LandingState, Task, TaskState
from engine.state.fold.notes import withdraw
from engine.state.fold.retirement import forget_older_handoffs, has_ended
from engine.state.fold.shared_findings import share
from engine.state.fold.table import folds
from engine.state.snapshot import OVERTAKING, PendingLanding, Snapshot


@folds(e.TaskQueued)
def _(s: Snapshot, event: e.Event, body: e.TaskQueued) -> None:
    task = body.queued
    if task.planner not in s.agents:
        raise IllegalTransition(f"task {task.id} is queued by an agent that does not exist")
    s.tasks[task.id] = task
    s.tasks_of[task.planner] = (*s.tasks_of.get(task.planner, ()), task.id)
    s.task_counts[task.state] += 1


@folds(e.TaskHeld)
def _(s: Snapshot, event: e.Event, body: e.TaskHeld) -> None:
    _task(s, event, state=TaskState.HELD)


@folds(e.TaskReleased)
def _(s: Snapshot, event: e.Event, body: e.TaskReleased) -> None:
    _task(s, event, state=TaskState.QUEUED)


@folds(e.TaskAmended)
def _(s: Snapshot, event: e.Event, body: e.TaskAmended) -> None:
    assert event.task is not None
    spec = body.spec
    old = s.tasks[event.task]
    _task(s, event, spec=spec, intent=body.intent or old.intent, amended=old.amended + 1)
    for agent in [each for each in s.agents.values() if each.task == event.task and not each.ended]:
        s.agents[agent.id] = replace(agent, title=spec.title, goal=spec.goal, scope=spec.scope)


@folds(e.TaskDirected)
def _(s: Snapshot, event: e.Event, body: e.TaskDirected) -> None:
    assert event.task is not None
    others = tuple(text for text in s.tasks[event.task].directions if text != body.text)
    _task(s, event, directions=others if body.taken_back else (*others, body.text))


@folds(e.TaskStarted)
def _(s: Snapshot, event: e.Event, body: e.TaskStarted) -> None:
    _task(s, event, state=TaskState.WORKING, agent=body.worker, attempt=body.attempt)


@folds(e.AttemptContinued)
def _(s: Snapshot, event: e.Event, body: e.AttemptContinued) -> None:
    assert event.task is not None
    task = s.tasks[event.task]
    s.pending_landings.pop(task.id, None)
    landing = task.state is TaskState.LANDING
    _task(s, event, losses=task.losses + body.crashed, **({"state": TaskState.WORKING} if landing else {}))


@folds(e.TaskRequeued)
def _(s: Snapshot, event: e.Event, body: e.TaskRequeued) -> None:
    assert event.task is not None
    task = s.tasks[event.task]
    s.pending_landings.pop(task.id, None)
    s.claims.pop(task.id, None)
    _task(
        s,
        event,
        state=TaskState.QUEUED,
        agent=None,
        reason=body.reason,
        not_before=body.not_before,
        losses=task.losses + (body.lost and body.counts),
        failures=task.failures + (not body.lost),
    )


@folds(e.TaskEnded)
def _(s: Snapshot, event: e.Event, body: e.TaskEnded) -> None:
    task = _task(
        s,
        event,
        state=TaskState(body.state),
        reason=body.reason,
        commit=body.commit,
        ended_at=event.at,
        cancelled_under=body.intent,
    )
    s.pending_landings.pop(task.id, None)
    s.claims.pop(task.id, None)
    s.budget_marks.pop(of_task(task.id), None)
    if task.state is TaskState.LANDED:
        s.landed_times.append(event.at)
    has_ended(s, task.id, event.at)


@folds(e.TaskUnwanted)
def _(s: Snapshot, event: e.Event, body: e.TaskUnwanted) -> None:
    _task(s, event, unwanted=body.reason or "cancelled", cancelled_under=body.intent)


@folds(e.LandingStarted)
def _(s: Snapshot, event: e.Event, body: e.LandingStarted) -> None:
    assert event.agent is not None
    task = _task(s, event, state=TaskState.LANDING)
    s.pending_landings[task.id] = PendingLanding(body.landing, task.id, event.agent, body.change, body.text)


@folds(e.LandingFinished)
def _(s: Snapshot, event: e.Event, body: e.LandingFinished) -> None:
    landing = body.landing
    s.landings.append(landing)
    s.landing_counts[landing.state] += 1
    if (its_task := s.tasks.get(landing.task)) is not None:
        s.contention.add(landing, its_task.planner)
    if landing.commit is not None:
        s.trunk = _end_of_trunk(s, landing.base, landing.commit)
    if landing.state in (LandingState.CONFLICTED, LandingState.REFUSED):
        task = s.tasks[landing.task]
        s.pending_landings.pop(task.id, None)
        if landing.state is LandingState.CONFLICTED and (log := s.test_logs.get(landing.agent)) is not None:
            s.test_logs[landing.agent] = replace(log, fresh=0, maybe=False)
        conflicts = task.conflicts + (landing.state is LandingState.CONFLICTED)
        _task(s, event, state=TaskState.WORKING, conflicts=conflicts)
        if (claim := s.claims.get(task.id)) is not None and not claim.until:
            del s.claims[task.id]


@folds(e.LandingWaits)
def _(s: Snapshot, event: e.Event, body: e.LandingWaits) -> None:
    _claim(s, event, tuple(body.behind))


@folds(e.PrecedenceGiven)
def _(s: Snapshot, event: e.Event, body: e.PrecedenceGiven) -> None:
    _claim(s, event, body.paths, since=event.at, until=body.until, merged=body.merged, whole=body.whole)


@folds(e.PrecedenceEnded)
def _(s: Snapshot, event: e.Event, body: e.PrecedenceEnded) -> None:
    assert event.task is not None
    s.claims.pop(event.task, None)


@folds(e.HandedOff)
def _(s: Snapshot, event: e.Event, body: e.HandedOff) -> None:
    s.handoffs[body.handoff.id] = body.handoff
    s.handoff_count += 1
    share(s, body.handoff, event.seq)
    withdraw(s, body.handoff.agent, event.at)
    if body.handoff.task is None:
        forget_older_handoffs(s, body.handoff.agent)


@folds(e.HandoffResolved)
def _(s: Snapshot, event: e.Event, body: e.HandoffResolved) -> None:
    if body.handoff not in s.handoffs:
        return
    if body.resolved:
        s.resolved[body.handoff] = event.at
    else:
        s.resolved.pop(body.handoff, None)


def _end_of_trunk(s: Snapshot, base: CommitId, commit: CommitId) -> CommitId:
    """The tip of trunk after a landing. A landing on top of this one may have been recorded before it.

    A landing that a later process found on trunk has a `base` that may come after its commit.
    """
    s.made_on[base] = commit
    if len(s.made_on) > OVERTAKING:
        del s.made_on[next(iter(s.made_on))]
    end = commit
    for _ in range(OVERTAKING):
        next_one = s.made_on.get(end, commit)
        if next_one == commit:
            break
        end = next_one
    return end


def _claim(s: Snapshot, event: e.Event, paths: tuple[str, ...], **changes: Any) -> None:
    """Add paths to the task's claim, which keeps its place in the queue; a new one comes last."""
    assert event.task is not None
    assert event.agent is not None
    claim = s.claims.get(event.task, Claim(event.task, event.agent))
    s.claims[event.task] = replace(claim, agent=event.agent, paths=tuple(sorted({*claim.paths, *paths})), **changes)


def _task(s: Snapshot, event: e.Event, **changes: Any) -> Task:
    assert event.task is not None
    old = s.tasks[event.task]
    if "state" in changes:
        check_task(old.state, changes["state"])
        s.task_counts[old.state] -= 1
        s.task_counts[changes["state"]] += 1
    task = replace(old, **changes)
    s.tasks[event.task] = task
    return task
