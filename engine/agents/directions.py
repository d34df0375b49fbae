"""A person's word to an agent at work on a task: it goes on record with the task, and to the task's planner."""

from engine.agents.amendment import at_work
from engine.agents.markdown import quoted
from engine.domain import events as e
from engine.domain.events import Draft
from engine.domain.types import Agent, MessageSource
from engine.runtime.inbox import message_to
from engine.runtime.recorder import RunRecorder


def directed(run: RunRecorder, agent: Agent, text: str, *, taken_back: bool) -> tuple[Draft, ...]:
    """The message to the agent; if it works on a task, also to whoever acts on that task now, and to its planner."""
    name = "steer_taken_back" if taken_back else "steer_task" if agent.task is not None else "steer"
    said = run.prompts[name].render(text=text)
    if agent.task is None:
        return (message_to(run, agent.id, MessageSource.STEER, said),)
    task = run.snapshot.tasks[agent.task]
    readers = dict.fromkeys((agent.id, at_work(run.snapshot, task) or agent.id))
    note = run.prompts["note_steer_taken_back" if taken_back else "note_steered"].render(
        task=f"{task.id} {task.spec.title}", text=quoted(text)
    )
    return (
        Draft(e.TaskDirected(text, taken_back), agent.id, task.id),
        *(message_to(run, reader, MessageSource.STEER, said, task=task.id) for reader in readers),
        message_to(run, task.planner, MessageSource.SYSTEM, note, task=task.id),
    )
