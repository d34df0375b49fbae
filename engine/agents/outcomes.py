"""The events that end an attempt: the change landed, the task failed, or the task goes back into the queue."""

from msgspec.structs import replace

from engine.agents import cancellation
from engine.agents.handoffs import delivered, engine_text
from engine.agents.landing import landing_of, with_deviation
from engine.domain import events as e
from engine.domain.events import Draft
from engine.domain.types import AgentState, HandoffText, Task, TaskState
from engine.policy.dependencies import forbidden
from engine.policy.scope import strays
from engine.ports.protocols import LandResult
from engine.runtime.recorder import RunRecorder

LOSSES = 10
"""How often a task may be lost with its agent or the program; then it fails, as it may well be the cause."""
BACKOFF_S = 2.0
"""Seconds before the first retry of a failed task; doubled for each further one, up to a minute."""


def landed(run: RunRecorder, task: Task, result: LandResult) -> tuple[Draft, ...]:
    """The task's landing has ended: its change is on trunk, or there was none. Its start has the handoff's text."""
    assert task.agent is not None
    pending = run.snapshot.pending_landings[task.id]
    landing = landing_of(run, pending.id, task, task.agent, result)
    text = pending.text
    if outside := strays(task.spec.scope, landing.paths):
        allowed = "; the user had told the worker more than its task says" if task.directions else ""
        text = with_deviation(text, f"Changed outside the scope ({task.spec.scope}): {', '.join(outside)}{allowed}")
    intent = run.snapshot.intent
    words, unwanted = forbidden(intent.text if intent is not None else "", landing.dependencies)
    if unwanted:
        text = with_deviation(text, f'New dependencies, although the intent says "{words}": {", ".join(unwanted)}')
    return (
        Draft(e.LandingFinished(landing), task.agent, task.id),
        *delivered(run, task, text, landing),
        Draft(e.TaskEnded(TaskState.LANDED, text.status.value, landing.commit), task.agent, task.id),
        Draft(e.AgentStateChanged(AgentState.DONE), task.agent, task.id),
    )


def failed(run: RunRecorder, task: Task, text: HandoffText, *, by_engine: bool = False) -> tuple[Draft, ...]:
    """The task has failed for good, with a handoff from its agent or the engine."""
    assert task.agent is not None
    state = AgentState.FAILED if by_engine else AgentState.DONE
    return (
        *delivered(run, task, text, by_engine=by_engine),
        Draft(e.TaskEnded(TaskState.FAILED, text.summary), task.agent, task.id),
        Draft(e.AgentStateChanged(state, reason=text.summary if by_engine else ""), task.agent, task.id),
    )


def given_up(run: RunRecorder, task: Task, text: HandoffText) -> tuple[Draft, ...]:
    """The engine gives the task up: it has failed for good, and every agent that works on it ends."""
    others = (draft for draft in agents_ended(run, task, text.summary) if draft.agent != task.agent)
    return (*others, *failed(run, task, text, by_engine=True))


def attempt_failed(run: RunRecorder, task: Task, reason: str) -> tuple[Draft, ...]:
    """The attempt failed: the task is retried after a backoff, or given up after the last attempt."""
    if task.unwanted:
        return _cancelled(run, task)
    if task.failures + 1 >= run.settings.task.attempts:
        return given_up(run, task, engine_text(f"Not done after {task.failures + 1} attempts: {reason}"))
    wait_s = min(60.0, BACKOFF_S * 2**task.failures)
    return _requeued(run, task, reason, wait_s, lost=False)


def attempt_lost(
    run: RunRecorder, task: Task, reason: str, *, counts: bool = True, wait_s: float = 0.0
) -> tuple[Draft, ...]:
    """The attempt was lost through no fault of the task, which is retried, or given up after LOSSES.

    `counts`: whether this loss counts towards LOSSES.
    """
    if task.unwanted:
        return _cancelled(run, task)
    if counts and task.losses + 1 >= LOSSES:
        return given_up(run, task, engine_text(f"Lost {LOSSES} times: {reason}"))
    return _requeued(run, task, reason, wait_s, lost=True, counts=counts)


def attempt_continued(run: RunRecorder, task: Task, *, crashed: bool) -> tuple[Draft, ...]:
    """A new process continues the attempt, unless the task may well be what kills the program."""
    if task.unwanted or (crashed and task.losses + 1 >= LOSSES):
        return attempt_lost(run, task, "the program died", counts=crashed)
    agents = [agent for agent in run.snapshot.agents.values() if agent.task == task.id and not agent.ended]
    waits = e.AgentStateChanged(AgentState.PAUSED, "continues soon")
    return (
        Draft(e.AttemptContinued(crashed), task.agent, task.id),
        *(Draft(waits, each.id, task.id) for each in agents),
    )


def _requeued(
    run: RunRecorder, task: Task, reason: str, wait_s: float, *, lost: bool, counts: bool = True
) -> tuple[Draft, ...]:
    not_before = run.clock.now() + int(wait_s * 1_000_000)
    again = e.TaskRequeued(reason, lost=lost, not_before=not_before, counts=counts)
    return (*agents_ended(run, task, reason), Draft(again, task.agent, task.id))


def _cancelled(run: RunRecorder, task: Task) -> tuple[Draft, ...]:
    """The task was cancelled while it was landing, and the landing has failed."""
    ended = e.TaskEnded(TaskState.CANCELLED, task.unwanted, intent=task.cancelled_under)
    return (
        *agents_ended(run, task, task.unwanted),
        Draft(ended, task.agent, task.id),
        *cancellation.cancelled_handoff(run, replace(task, reason=task.unwanted)),
    )


def agents_ended(run: RunRecorder, task: Task, reason: str, state: AgentState = AgentState.FAILED) -> list[Draft]:
    """Every agent that works on the task ends."""
    at_it = [agent.id for agent in run.snapshot.agents.values() if agent.task == task.id and not agent.ended]
    return [Draft(e.AgentStateChanged(state, reason=reason), id, task.id) for id in at_it]
