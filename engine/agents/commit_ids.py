"""Translates trunk's commit ids in texts for workers, whose git shows each landing under an id of its own."""

import re
from collections.abc import Iterable, Mapping

from engine.agents.tool_context import AgentToolContext
from engine.domain.types import InboxMessage, Role, Task

_ID = re.compile(r"\b[0-9a-f]{7,40}\b")


async def task_in_copy(context: AgentToolContext, task: Task) -> None:
    """Find out what a worker's git shows for the ids in its task."""
    await _look_up(context, (task.spec.goal, task.spec.acceptance, *task.directions))


async def told_in_copy(context: AgentToolContext, given: str | None, messages: Iterable[InboxMessage]) -> str | None:
    """What an agent is told with its next turn, messages included, with the ids that its git shows."""
    texts = [message.text for message in messages]
    if given is None or not texts or context.agent.role is Role.PLANNER:
        return given
    await _look_up(context, texts)
    return translated(given, context.shown)


async def _look_up(context: AgentToolContext, texts: Iterable[str]) -> None:
    """Add what git shows for each id of a landing in the texts, also for a shortened one."""
    found = {id for text in texts for id in _ID.findall(text)}
    if not found:
        return
    landed = [task.commit for task in context.snapshot.tasks.values() if task.commit]
    meant = {id: [commit for commit in landed if commit.startswith(id)] for id in found}
    meant = {id: of for id, of in meant.items() if len(of) == 1}
    if not meant:
        return
    workspace = await context.workspace()
    context.shown |= {id: (await workspace.shown(commit))[: len(id)] for id, [commit] in meant.items()}


def translated(text: str, ids: Mapping[str, str]) -> str:
    return _ID.sub(lambda found: ids.get(found[0], found[0]), text)
