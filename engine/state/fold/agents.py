"""Folds the events of agents: spawning, messages, model calls, tool calls and pathologies."""

from typing import Any

from msgspec.structs import replace

from engine.domain import events as e
from engine.domain.handoff_facts import SuiteLog, SuiteRun, is_document
from engine.domain.lifecycle import IllegalTransition, check_agent
from engine.domain.spending import Spent, began, parts_of
from engine.domain.types import HOUR, Agent, AgentState, Role, Scratchpad, ToolCallState, Usage
from engine.state.fold.notes import deliver, withdraw
from engine.state.fold.retirement import has_ended
from engine.state.fold.table import folds
from engine.state.snapshot import Snapshot

INDEX_LOCKED = "index.lock': File exists"
"""What git prints when another process holds the lock on the index. Git does not wait for it."""
KNOWN_TESTS = 10
"""How many of an agent's last tests to keep."""
KNOWN_FAILURES = 2_000
"""How many of the newest failures to keep."""


@folds(e.ToolFinished)
def _(s: Snapshot, event: e.Event, body: e.ToolFinished) -> None:
    s.index_lock_failures += body.tool == "shell" and INDEX_LOCKED in body.answer
    if body.tool == "status" and body.state is ToolCallState.OK:
        _agent(s, event, landings_seen=s.landed)
    _log_tests(s, event, body)


@folds(e.MessageQueued)
def _(s: Snapshot, event: e.Event, body: e.MessageQueued) -> None:
    deliver(s, body.message)
    if s.agents[body.message.to_agent].gone:
        return  # nobody will read it; the journal has it
    s.inboxes[body.message.to_agent] = (*s.inboxes.get(body.message.to_agent, ()), body.message)


@folds(e.AgentSpawned)
def _(s: Snapshot, event: e.Event, body: e.AgentSpawned) -> None:
    agent = body.spawned
    if agent.id in s.agents or (agent.parent is not None and agent.parent not in s.agents):
        raise IllegalTransition(f"agent {agent.id} is spawned twice, or below an agent that does not exist")
    agent = replace(agent, landings_seen=s.landed)
    s.agents[agent.id] = agent
    s.paths[agent.path] = agent.id
    if agent.parent is not None:
        s.children[agent.parent] = (*s.children.get(agent.parent, ()), agent.id)
    s.spent |= began(s.spent, agent, s.wall(event.at))


@folds(e.AgentStateChanged)
def _(s: Snapshot, event: e.Event, body: e.AgentStateChanged) -> None:
    assert event.agent is not None
    check_agent(s.agents[event.agent].state, body.state)
    agent = _agent(s, event, state=body.state, doing=body.doing, reason=body.reason)
    ended_at = (agent.ended_at or event.at) if agent.ended else None
    if ended_at != agent.ended_at:
        _agent(s, event, ended_at=ended_at)
    if agent.ended or agent.state is AgentState.WAITING:
        s.pathologies.pop(agent.id, None)
    if agent.ended or agent.state is AgentState.WAITING:
        s.test_logs.pop(agent.id, None)
    if agent.gone:
        s.inboxes.pop(agent.id, None)
        withdraw(s, agent.id, event.at, to_person=True)
    if agent.ended and agent.task is None:
        has_ended(s, agent.id, event.at)


@folds(e.SubtreePaused)
def _(s: Snapshot, event: e.Event, body: e.SubtreePaused) -> None:
    _agent(s, event, paused=True, frozen=body.freeze)


@folds(e.SubtreeResumed)
def _(s: Snapshot, event: e.Event, body: e.SubtreeResumed) -> None:
    _agent(s, event, paused=False, frozen=False)


@folds(e.SubtreeLimited)
def _(s: Snapshot, event: e.Event, body: e.SubtreeLimited) -> None:
    assert event.agent is not None
    if body.workers is None:
        s.workers_below.pop(event.agent, None)
    else:
        s.workers_below[event.agent] = body.workers


@folds(e.PriorityChanged)
def _(s: Snapshot, event: e.Event, body: e.PriorityChanged) -> None:
    _agent(s, event, priority=body.priority)


@folds(e.ModelChanged)
def _(s: Snapshot, event: e.Event, body: e.ModelChanged) -> None:
    if event.agent is not None:
        _agent(s, event, model=body.model)
        s.models_below[event.agent] = body.model
        return
    for role in Role if body.role is None else (body.role,):
        s.models[role] = body.model
    for agent in s.agents.values():
        if body.role in (None, agent.role) and not (agent.ended and agent.role is not Role.PLANNER):
            s.agents[agent.id] = replace(agent, model=body.model)
            s.models_below.pop(agent.id, None)


@folds(e.Rescoped)
def _(s: Snapshot, event: e.Event, body: e.Rescoped) -> None:
    assert event.agent is not None
    agent = _agent(s, event, goal=body.goal, scope=body.scope)
    if body.by == "person":
        s.reopened.pop(agent.id, None)
    elif agent.ended:
        s.reopened[agent.id] = s.reopened.get(agent.id, 0) + 1


@folds(e.PathologySeen)
def _(s: Snapshot, event: e.Event, body: e.PathologySeen) -> None:
    assert event.agent is not None
    if not s.agents[event.agent].ended:
        s.pathologies[event.agent] = {**s.pathologies.get(event.agent, {}), body.pathology: body.times}


@folds(e.FailureNoted)
def _(s: Snapshot, event: e.Event, body: e.FailureNoted) -> None:
    assert event.agent is not None
    known = s.failures.pop(body.failure, {})
    recent = {agent: at for agent, at in known.items() if at > event.at - HOUR}
    s.failures[body.failure] = {**recent, event.agent: event.at}
    if len(s.failures) > KNOWN_FAILURES:
        oldest = next(iter(s.failures))
        s.failures.pop(oldest)
        s.failures_told.pop(oldest, None)


@folds(e.FailureShared)
def _(s: Snapshot, event: e.Event, body: e.FailureShared) -> None:
    s.failures_told[body.failure] = event.at


@folds(e.HotFilesTold)
def _(s: Snapshot, event: e.Event, body: e.HotFilesTold) -> None:
    assert event.agent is not None
    s.hot_files_told[event.agent] = {**s.hot_files_told.get(event.agent, {}), **body.files}


@folds(e.ScratchpadRewritten)
def _(s: Snapshot, event: e.Event, body: e.ScratchpadRewritten) -> None:
    assert event.agent is not None
    s.scratchpads[event.agent] = Scratchpad(event.agent, body.version, event.at, body.text)


@folds(e.TurnTaken)
def _(s: Snapshot, event: e.Event, body: e.TurnTaken) -> None:
    assert event.agent is not None
    if body.consumed:
        inbox = s.inboxes.get(event.agent, ())
        s.inboxes[event.agent] = tuple(message for message in inbox if message.id not in body.consumed)
    agent = s.agents[event.agent]
    _agent(
        s,
        event,
        steps=agent.steps + 1,
        usage=agent.usage + body.usage,
        tokens_in_context=body.usage.input + body.usage.output,
        stepped_at=event.at,
        intent=max(agent.intent, body.intent),
        landings_seen=max(agent.landings_seen, body.landings_seen),
    )
    _spend(s, event, body.usage)


@folds(e.ModelCallRetried)
def _(s: Snapshot, event: e.Event, body: e.ModelCallRetried) -> None:
    s.retries += 1
    if body.lost:
        _charge(s, event, body.usage)
    elif body.usage.input:
        assert event.agent is not None
        _agent(s, event, usage=s.agents[event.agent].usage + body.usage)
        _spend(s, event, body.usage)


@folds(e.ContextCompacted)
def _(s: Snapshot, event: e.Event, body: e.ContextCompacted) -> None:
    assert event.agent is not None
    used = s.agents[event.agent].usage + body.usage
    _agent(s, event, usage=used, tokens_in_context=0, landings_seen=s.landed)  # the new opening tells of them
    s.pathologies.pop(event.agent, None)
    _spend(s, event, body.usage)


@folds(e.ToolStarted)
def _(s: Snapshot, event: e.Event, body: e.ToolStarted) -> None:
    _agent(s, event, state=AgentState.ACTING, doing=f"{body.tool} {body.target}".rstrip())
    s.tool_calls += 1


@folds(e.Pivoted)
@folds(e.AnswersDropped)
def _(s: Snapshot, event: e.Event, body: e.Pivoted | e.AnswersDropped) -> None:
    """Only recorded."""


@folds(e.WorkspaceUpdated)
def _(s: Snapshot, event: e.Event, body: e.WorkspaceUpdated) -> None:
    assert event.agent is not None
    if (log := s.test_logs.get(event.agent)) is not None:
        s.test_logs[event.agent] = replace(log, fresh=0, maybe=False)


def _log_tests(s: Snapshot, event: e.Event, body: e.ToolFinished) -> None:
    """Note what the agent has tested, and whether files changed after that."""
    assert event.agent is not None
    old = log = s.test_logs.get(event.agent, SuiteLog())
    run = body.tests if isinstance(body.tests, SuiteRun) else None
    if (run is None or not run.covers) and any(not is_document(path) for path in body.paths):
        log = replace(log, fresh=0, maybe=False)
    if run is not None:
        at = len(log.runs) if run.covers else max(0, len(log.runs) - log.fresh)
        runs = (*log.runs[:at], run, *log.runs[at:])[-KNOWN_TESTS:]
        log = replace(log, runs=runs, fresh=log.fresh + run.covers, maybe=log.maybe and not run.covers)
    if body.tests is True:
        log = replace(log, maybe=True)
    elif body.tests is None and body.tool == "shell":
        log = replace(log, whole=False)  # its end is not known, or an older program ran it
    if log is not old:
        s.test_logs[event.agent] = log


def _agent(s: Snapshot, event: e.Event, **changes: Any) -> Agent:
    assert event.agent is not None
    agent = replace(s.agents[event.agent], **changes)
    s.agents[event.agent] = agent
    return agent


def _spend(s: Snapshot, event: e.Event, usage: Usage) -> None:
    assert event.agent is not None
    s.usage += usage
    s.arriving.pop(event.agent, None)
    s.model_calls += 1
    _charge(s, event, usage)


def _charge(s: Snapshot, event: e.Event, usage: Usage) -> None:
    """Count usage towards budgets."""
    assert event.agent is not None
    for part in parts_of(s.agents[event.agent]):
        s.spent[part] = s.spent.get(part, Spent()).plus(usage)
