"""The fold: copies are independent, illegal transitions raise, and the same events lead to the same state."""

import enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain import events as e
from engine.domain import types as t
from engine.domain.lifecycle import (
    AGENT_TRANSITIONS,
    RUN_TRANSITIONS,
    TASK_TRANSITIONS,
    IllegalTransition,
    check_agent,
    check_run,
    check_task,
)
from engine.domain.types import AgentId, AgentState, RunState, TaskState
from engine.state.fold import fold
from engine.state.fold.table import FOLDS
from engine.state.snapshot import Snapshot
from tests.engine.journal.bodies import KINDS
from tests.engine.journal.stories import SECOND, Story, story


def frozen(snapshot: Snapshot) -> dict[str, Any]:
    """The content of a snapshot, as values that do not change with it."""

    def value(of: Any) -> Any:
        if isinstance(of, dict):
            return {key: value(each) for key, each in of.items()}
        return tuple(value(each) for each in of) if isinstance(of, list) or hasattr(of, "maxlen") else of

    return {name: value(getattr(snapshot, name)) for name in Snapshot.__slots__}


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(10, 150), st.integers(1, 120))
def test_a_copy_and_its_original_change_independently(seed: int, length: int, more: int) -> None:
    told = story(seed, length, text=10)
    copy = told.snapshot.copy()
    before = frozen(copy)
    assert copy == told.snapshot
    told.go_on(len(told.events) + more)
    assert frozen(copy) == before
    after = frozen(told.snapshot)
    for event in told.events[copy.seq :]:
        fold(copy, event)
    assert frozen(told.snapshot) == after
    assert copy == told.snapshot


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_the_same_events_lead_to_the_same_state(seed: int) -> None:
    told = story(seed, 200, text=10)
    again = Snapshot()
    for event in told.events:
        fold(again, event)
    assert again == told.snapshot


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_counts_match_what_they_count(seed: int) -> None:
    s = story(seed, 300, text=5).snapshot
    for state in TaskState:
        assert s.task_counts[state] == sum(task.state is state for task in s.tasks.values())
    assert s.usage.input == sum(agent.usage.input for agent in s.agents.values())
    assert s.handoff_count == len(s.handoffs)
    assert len(s.landed_times) == s.task_counts[TaskState.LANDED]


def test_every_kind_of_event_is_folded() -> None:
    assert set(FOLDS) == set(KINDS)


@pytest.mark.parametrize(
    ("check", "table", "stays"),
    [
        (check_task, TASK_TRANSITIONS, False),
        (check_agent, AGENT_TRANSITIONS, True),
        (check_run, RUN_TRANSITIONS, True),
    ],
    ids=["task", "agent", "run"],
)
def test_a_transition_that_is_not_in_the_table_raises(check: Any, table: dict[enum.Enum, Any], stays: bool) -> None:
    for old, legal in table.items():
        for new in table:
            if new in legal or (stays and new is old):
                check(old, new)
            else:
                with pytest.raises(IllegalTransition):
                    check(old, new)


def test_the_tables_contain_every_state_and_final_states_have_no_transitions() -> None:
    assert set(TASK_TRANSITIONS) == set(TaskState)
    assert set(AGENT_TRANSITIONS) == set(AgentState)
    assert set(RUN_TRANSITIONS) == set(RunState)
    for state in (TaskState.LANDED, TaskState.FAILED, TaskState.CANCELLED):
        assert not TASK_TRANSITIONS[state]
    assert not RUN_TRANSITIONS[RunState.FINISHED]


def queued() -> tuple[Story, t.Task]:
    told = Story(1)
    told._task()
    [task] = told.snapshot.tasks.values()
    return told, task


def test_a_queued_task_cannot_land() -> None:
    told, task = queued()
    with pytest.raises(IllegalTransition):
        told.tell(e.TaskEnded(TaskState.LANDED), task=task.id)
    assert told.snapshot.tasks[task.id] == task
    assert told.snapshot.task_counts[TaskState.QUEUED] == 1


def test_a_finished_task_stays_finished() -> None:
    told, task = queued()
    told.tell(e.TaskEnded(TaskState.CANCELLED), task=task.id)
    for body in (e.TaskStarted(AgentId("a"), 1), e.TaskRequeued("late", True, 0), e.TaskEnded(TaskState.LANDED)):
        with pytest.raises(IllegalTransition):
            told.tell(body, AgentId("a"), task.id)


def test_a_failed_agent_stays_failed_and_loses_its_inbox() -> None:
    told = Story(1)
    assert told.snapshot.root
    root = told.snapshot.root
    told._hand_off()
    assert told.snapshot.inboxes[root]
    told.tell(e.AgentStateChanged(AgentState.FAILED, reason="died"), root)
    assert root not in told.snapshot.inboxes
    assert told.snapshot.agents[root].ended_at == told.at
    with pytest.raises(IllegalTransition):
        told.tell(e.AgentStateChanged(AgentState.THINKING), root)


def test_a_done_planner_can_work_again() -> None:
    told = Story(1)
    assert told.snapshot.root
    told.tell(e.AgentStateChanged(AgentState.DONE), told.snapshot.root)
    told.tell(e.AgentStateChanged(AgentState.THINKING), told.snapshot.root)
    assert told.snapshot.agents[told.snapshot.root].ended_at is None


def test_an_event_about_an_unknown_agent_is_an_error() -> None:
    told = Story(1)
    for body in (e.SubtreePaused(), e.AgentStateChanged(AgentState.DONE), e.Rescoped("a", "b")):
        with pytest.raises(KeyError):
            told.tell(body, AgentId("nobody"))
    with pytest.raises(KeyError):
        told.tell(e.TaskStarted(AgentId("a"), 1), AgentId("a"), t.TaskId("none"))


def test_time_between_epochs_is_not_working_time() -> None:
    s = Snapshot()
    at = 0

    def tell(body: Any, later: int, epoch: int) -> None:
        nonlocal at
        at += later
        fold(s, e.Event(s.seq + 1, at, epoch, body))

    tell(e.RunCreated(t.RunId("r"), "/r", "main", t.CommitId("c"), "", {}, "{}", "0"), 0, 1)
    tell(e.EpochStarted(1, "", ""), 10, 1)
    tell(e.Warned("working"), 5 * SECOND, 1)
    tell(e.EpochStarted(2, "", ""), 100 * SECOND, 2)  # the first process died
    assert s.worked == 5 * SECOND
    tell(e.RunStateChanged(RunState.STOPPED, "", 4), 2 * SECOND, 2)
    tell(e.EpochStarted(3, "", ""), 100 * SECOND, 3)
    assert s.worked == 7 * SECOND
    assert s.state is RunState.RUNNING
    assert s.exit_status is None
    assert s.wall(at + SECOND) == 8 * SECOND


def test_a_finished_run_cannot_be_resumed() -> None:
    told = Story(1)
    told.tell(e.RunStateChanged(RunState.FINISHED, "", 0))
    with pytest.raises(IllegalTransition):
        told.tell(e.EpochStarted(2, "", ""))


def test_a_resumed_run_shows_the_check_that_it_was_resumed_with() -> None:
    s = Snapshot()
    fold(s, e.Event(1, 1, 1, e.RunCreated(t.RunId("r"), "/r", "main", t.CommitId("c"), "make test", {}, "{}", "0")))
    for text, shown in (
        ("", "make test"),
        ("{", "make test"),
        ("{}", "make test"),
        ('{"repo":{"check":"x"}}', "x"),
    ):
        fold(s, e.Event(s.seq + 1, 1, s.epoch + 1, e.EpochStarted(1, "", "", text)))
        assert s.check_command == shown
