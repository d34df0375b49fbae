"""Holds the tasks that come after one that did not land, and tells their planners. `amend_task` releases them."""

from collections.abc import Collection

from engine.agents.markdown import bullets
from engine.domain import events as e
from engine.domain.events import Draft
from engine.domain.types import AgentId, MessageSource, Task, TaskId, TaskState
from engine.policy.task_order import held
from engine.runtime.inbox import message_to
from engine.runtime.recorder import RunRecorder


def holds(run: RunRecorder, queued: Collection[TaskId]) -> tuple[Draft, ...]:
    """The events that hold tasks, with one message to each planner whose tasks are held now.

    A planner that cancels a task itself learns from the answer what is held, and gets no message.
    """
    now = held(run.snapshot, queued)
    drafts: list[Draft] = []
    newly: dict[AgentId, list[str]] = {}
    for id in sorted(queued):
        task = run.snapshot.tasks[id]
        if task.state is TaskState.QUEUED and id in now:
            drafts.append(Draft(e.TaskHeld(now[id]), None, id))
            newly.setdefault(task.planner, []).append(_line(task, run.snapshot.tasks[now[id]]))
    for planner, lines in newly.items():
        text = run.prompts["tasks_held"].render(tasks=bullets(lines))
        drafts.append(message_to(run, planner, MessageSource.SYSTEM, text))
    return tuple(drafts)


def _line(task: Task, behind: Task) -> str:
    how = "failed" if behind.state is TaskState.FAILED else "was cancelled"
    through = "" if behind.id in task.spec.after else " (through others)"
    return f"{task.id} {task.spec.title}: after {behind.id} {behind.spec.title}{through}, which {how}"
