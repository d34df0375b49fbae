"""Which transitions between the states of tasks, agents and runs are legal."""

from engine.domain.types import AgentState, RunState, TaskState

TASK_TRANSITIONS: dict[TaskState, frozenset[TaskState]] = {
    TaskState.QUEUED: frozenset({TaskState.WORKING, TaskState.HELD, TaskState.CANCELLED}),
    TaskState.HELD: frozenset({TaskState.QUEUED, TaskState.CANCELLED}),
    TaskState.WORKING: frozenset({TaskState.LANDING, TaskState.QUEUED, TaskState.FAILED, TaskState.CANCELLED}),
    TaskState.LANDING: frozenset(
        {
            *(TaskState.LANDED, TaskState.UNCHANGED, TaskState.FAILED, TaskState.CANCELLED),
            *(TaskState.WORKING, TaskState.QUEUED),
        }
    ),
    TaskState.LANDED: frozenset(),
    TaskState.UNCHANGED: frozenset(),
    TaskState.FAILED: frozenset(),
    TaskState.CANCELLED: frozenset(),
}

_ACTIVE = frozenset({AgentState.THINKING, AgentState.ACTING, AgentState.WAITING, AgentState.PAUSED})
_ENDS = frozenset({AgentState.DONE, AgentState.FAILED, AgentState.CANCELLED})

AGENT_TRANSITIONS: dict[AgentState, frozenset[AgentState]] = {
    AgentState.STARTING: _ACTIVE | _ENDS,
    AgentState.THINKING: _ACTIVE | _ENDS,
    AgentState.ACTING: _ACTIVE | _ENDS,
    AgentState.WAITING: _ACTIVE | _ENDS,
    AgentState.PAUSED: _ACTIVE | _ENDS,
    AgentState.DONE: frozenset({AgentState.THINKING, AgentState.PAUSED, AgentState.CANCELLED}),  # gets a message
    AgentState.FAILED: frozenset({AgentState.STARTING}),  # the root planner, when its run is resumed
    AgentState.CANCELLED: frozenset(),
}

RUN_TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.RUNNING: frozenset(
        {RunState.PAUSING, RunState.PAUSED, RunState.FINISHED, RunState.STOPPED, RunState.FAILED}
    ),
    RunState.PAUSING: frozenset(
        {RunState.RUNNING, RunState.PAUSED, RunState.FINISHED, RunState.STOPPED, RunState.FAILED}
    ),
    RunState.PAUSED: frozenset({RunState.RUNNING, RunState.FINISHED, RunState.STOPPED, RunState.FAILED}),
    RunState.STOPPED: frozenset({RunState.RUNNING}),  # resumed
    RunState.FAILED: frozenset({RunState.RUNNING}),
    RunState.FINISHED: frozenset(),
}


class IllegalTransition(Exception):  # noqa: N818 - names what happened
    """An event would cause a transition that is not in the tables: a bug in the engine, never an agent's mistake."""


def check_task(old: TaskState, new: TaskState) -> None:
    """Raises IllegalTransition."""
    if new not in TASK_TRANSITIONS[old]:
        raise IllegalTransition(f"task {old} -> {new}")


def check_agent(old: AgentState, new: AgentState) -> None:
    """Staying in a state is legal, because `doing` may change. Raises IllegalTransition."""
    if new is not old and new not in AGENT_TRANSITIONS[old]:
        raise IllegalTransition(f"agent {old} -> {new}")


def check_run(old: RunState, new: RunState) -> None:
    """Raises IllegalTransition."""
    if new is not old and new not in RUN_TRANSITIONS[old]:
        raise IllegalTransition(f"run {old} -> {new}")
