"""How a planner names its tasks: by id, or by title."""

from collections.abc import Iterable, Sequence

from engine.domain.landing_text import task_state_text
from engine.domain.types import Task, TaskState
from engine.policy.task_order import LOST, circle

TITLE = 120
"""Characters of a title that are kept."""
LISTED = 60
"""Most tasks, the newest, that an answer lists."""


class NamingError(Exception):
    """A name leads to no task, or to none that can be meant. The message is for the planner."""


def folded(title: str) -> str:
    """A title as it is kept: on one line, with single spaces."""
    return " ".join(title.split())[:TITLE].rstrip()


def task_named(earlier: Sequence[Task], name: str, new: Sequence[Task] = ()) -> Task:
    """The one task with this id or title. Failed and cancelled ones count only if no other has the title.

    `new`: the tasks of the same call, whose ids the planner does not know yet. Raises NamingError.
    """
    wanted = folded(name)
    same = [task for task in (*earlier, *new) if wanted in (task.id, task.spec.title)]
    meant = [task for task in same if task.id == wanted or task.state not in LOST] or same
    if len(meant) == 1:
        return meant[0]
    if not same:
        raise NamingError(f"you have no task `{wanted}`; your tasks: {_listed(earlier, new) or 'none'}")
    listed = _listed([task for task in meant if task not in new], [task for task in meant if task in new])
    raise NamingError(f"{len(meant)} tasks are called `{wanted}`: use ids and different titles ({listed})")


def predecessors(earlier: Sequence[Task], names: Iterable[str], new: Sequence[Task] = ()) -> tuple[Task, ...]:
    """The tasks that a task is to come after. Raises NamingError if one of them cannot land, as it is."""
    found = {task.id: task for task in (task_named(earlier, name, new) for name in names)}
    for task in found.values():
        if task.state in LOST:
            how = "has failed" if task.state is TaskState.FAILED else "was cancelled"
            hint = "spawn a task that `replaces` it and name that one in `after`, or leave it out"
            raise NamingError(f"`{task.spec.title}` ({task.id}) {how}, so nothing can come after it: {hint}")
        if task.state is TaskState.HELD:
            raise NamingError(f"`{task.spec.title}` ({task.id}) is held: first release it with `amend_task`")
    return tuple(found.values())


def refuse_circle(tasks: Sequence[Task]) -> None:
    """Raises NamingError if tasks come after each other."""
    if found := circle({task.id: task.spec.after for task in tasks}):
        titles = {task.id: task.spec.title for task in tasks}
        raise NamingError(f"`after` goes in a circle: {' → '.join(titles[id] for id in found)}")


def _listed(earlier: Sequence[Task], new: Sequence[Task]) -> str:
    lines = [f"`{task.spec.title}` ({task.id}, {task_state_text(task.state)})" for task in earlier[-LISTED:]]
    lines += [f"`{task.spec.title}` (in this call)" for task in new]
    return ", ".join([*lines, *([f"{len(earlier) - LISTED} older ones"] if len(earlier) > LISTED else [])])
