"""When a run ends, and how: decided from values alone."""

import pytest

from engine.domain.errors import ExitStatus
from engine.domain.spending import RUN, BudgetMark, Mark, of_role
from engine.domain.types import (
    ROOT,
    Agent,
    AgentId,
    AgentState,
    CommitId,
    Handoff,
    HandoffId,
    HandoffStatus,
    HandoffText,
    InboxMessage,
    MessageId,
    MessageSource,
    ModelName,
    Role,
    RunState,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
)
from engine.policy.run_end import (
    GRACE_S,
    Activity,
    Outcome,
    Verdict,
    finished,
    is_done,
    out_of_budget,
    published,
    root_failed,
)
from engine.state.snapshot import Snapshot

ROOT_ID, TASK_ID = AgentId("a1"), TaskId("t1")
IDLE = Activity((), working=False)
WORKING = Activity((), working=True)
QUEUED = Activity((TASK_ID,), working=False)
MESSAGE = InboxMessage(MessageId("m1"), 0, ROOT_ID, MessageSource.STEER, "Go on.")


def snapshot(state: AgentState, *, used_up: str = "", unread: bool = False) -> Snapshot:
    """A run with a root planner in that state, one queued task, and perhaps a used-up budget or an unread message."""
    s = Snapshot()
    s.agents[ROOT_ID] = Agent(ROOT_ID, ROOT, None, Role.PLANNER, ModelName("scripted:model"), "root", state=state)
    s.paths[ROOT] = ROOT_ID
    s.tasks[TASK_ID] = Task(TASK_ID, TaskSpec("title", "goal"), ROOT_ID, 1, state=TaskState.QUEUED)
    if used_up:
        s.budget_marks[used_up] = BudgetMark(Mark.REACHED, "10 of 10 tokens", 0)
    if unread:
        s.inboxes[ROOT_ID] = (MESSAGE,)
    return s


def test_a_run_is_done_once_its_planners_have_ended_and_nothing_is_queued_running_or_unread() -> None:
    assert is_done(snapshot(AgentState.DONE), IDLE)
    assert not is_done(snapshot(AgentState.WAITING), IDLE)
    assert not is_done(snapshot(AgentState.DONE), WORKING)
    assert not is_done(snapshot(AgentState.DONE), QUEUED)
    assert not is_done(snapshot(AgentState.DONE, unread=True), IDLE)
    assert not is_done(Snapshot(), IDLE), "nothing has begun yet"


def test_a_paused_run_is_never_done() -> None:
    s = snapshot(AgentState.DONE)
    s.state = RunState.PAUSED
    assert not is_done(s, IDLE)


def test_a_run_fails_with_its_root_planner() -> None:
    s = snapshot(AgentState.FAILED)
    assert (failed := root_failed(s)) is not None
    assert (failed.state, failed.status) == (RunState.FAILED, ExitStatus.NOT_GREEN)
    assert root_failed(snapshot(AgentState.DONE)) is None


@pytest.mark.parametrize(
    ("handed_off", "verdict", "status"),
    [
        (HandoffStatus.DONE, Verdict.GREEN, ExitStatus.DONE),
        (HandoffStatus.DONE, Verdict.UNCHECKED, ExitStatus.DONE),
        (HandoffStatus.DONE, Verdict.RED, ExitStatus.NOT_GREEN),
        (HandoffStatus.PARTIAL, Verdict.GREEN, ExitStatus.NOT_GREEN),
    ],
)
def test_a_finished_run_succeeds_if_all_is_done_and_trunk_is_not_red(
    handed_off: HandoffStatus, verdict: Verdict, status: ExitStatus
) -> None:
    s = snapshot(AgentState.DONE)
    id = HandoffId("h1")
    s.handoffs[id] = Handoff(id, 0, None, ROOT_ID, None, HandoffText(handed_off, "All of it."))
    assert finished(s, verdict).status is status


def test_a_used_up_budget_stops_a_run_in_which_nobody_can_go_on() -> None:
    assert out_of_budget(snapshot(AgentState.WAITING), QUEUED, {}, 0.0) is None, "no budget is used up"
    stopped = out_of_budget(snapshot(AgentState.WAITING, used_up=RUN), QUEUED, {}, 0.0)
    assert stopped is not None
    assert (stopped.state, stopped.status) == (RunState.STOPPED, ExitStatus.BUDGET)
    assert "10 of 10 tokens" in stopped.reason


def test_a_used_up_budget_lets_agents_go_on_that_can_hand_off_or_are_outside_it() -> None:
    assert out_of_budget(snapshot(AgentState.WAITING, used_up=RUN), WORKING, {}, 1.0) is None
    assert out_of_budget(snapshot(AgentState.THINKING, used_up=RUN), IDLE, {}, 1.0) is None
    assert out_of_budget(snapshot(AgentState.WAITING, used_up=RUN, unread=True), IDLE, {}, 1.0) is None
    other = of_role(Role.RESOLVER)
    assert out_of_budget(snapshot(AgentState.WAITING, used_up=other), QUEUED, {}, 0.0) is None


def test_a_planner_that_has_stopped_for_its_budget_counts_only_while_it_has_grace_calls() -> None:
    s = snapshot(AgentState.PAUSED, used_up=RUN)
    assert out_of_budget(s, IDLE, {ROOT_ID: 1}, 1.0) is None
    assert out_of_budget(s, IDLE, {ROOT_ID: 0}, 1.0) is not None


def test_the_time_for_handing_off_is_limited() -> None:
    s = snapshot(AgentState.THINKING, used_up=RUN)
    assert out_of_budget(s, WORKING, {}, GRACE_S - 1) is None
    assert out_of_budget(s, WORKING, {}, GRACE_S) is not None


def test_a_result_that_is_not_in_the_repository_is_not_done() -> None:
    done = Outcome(RunState.FINISHED, ExitStatus.DONE, "all is done")
    s = Snapshot(base=CommitId("a"), trunk=CommitId("b"))
    assert published(done, s) == done
    s.left_alone = "swarm/r/trunk not updated: it is checked out\nswarm/r/green not updated: someone else moved it"
    told = published(done, s)
    assert (told.state, told.status) == (RunState.FINISHED, ExitStatus.NOT_GREEN)
    assert told.reason == f"all is done; {s.left_alone.replace(chr(10), '; ')}"
    stopped = Outcome(RunState.STOPPED, ExitStatus.BUDGET, "used up")
    assert published(stopped, s) == stopped
    s.trunk = s.base
    assert published(done, s) == done, "there is no result"
