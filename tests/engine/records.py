"""What a run left: the states of its tasks, its events, and what its agents read."""

from engine.domain import events as e
from engine.domain.conversation import Request, Turn
from engine.domain.types import Task, TaskState
from engine.state.snapshot import Snapshot
from tests.engine.scripts import done, said, turns, writes
from tests.simulated import World, call, first_line, turn


def states(s: Snapshot) -> dict[str, TaskState]:
    return {task.spec.title: task.state for task in s.tasks.values()}


def titled(s: Snapshot, title: str) -> Task:
    return next(task for task in s.tasks.values() if task.spec.title == title)


def kinds(w: World, kind: type, title: str = "", s: Snapshot | None = None) -> list[e.Event]:
    found = [event for event in w.journal.surviving() if isinstance(event.body, kind)]
    return [event for event in found if s is None or s.tasks[event.task].spec.title == title]  # type: ignore[index]


def planner_was_told(w: World) -> str:
    """All that the root planner has read."""
    return max(
        (said(each.request) for each in w.models.asked if first_line(each.request).startswith("# Intent")), key=len
    )


def answered(w: World, tool: str) -> list[str]:
    return [
        event.body.answer
        for event in w.journal.surviving()
        if isinstance(event.body, e.ToolFinished) and event.body.tool == tool
    ]


def failing(request: Request) -> Turn:
    """A worker that fails tasks whose title starts with `fail`, and writes a file for the others."""
    title = first_line(request).partition(": ")[2]
    if title.startswith("fail"):
        return turn(call("submit_handoff", status="failed", summary="it cannot be done", findings="the parser is gone"))
    return done() if turns(request) else writes(f"{title}.txt", "x\n")
