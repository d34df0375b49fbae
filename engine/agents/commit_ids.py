"""Translates trunk's commit ids in texts for workers, whose git shows each landing under an id of its own."""

import re
from collections.abc import Mapping

from engine.agents.tool_context import AgentToolContext

_ID = re.compile(r"\b[0-9a-f]{7,40}\b")


async def ids_in_copy(context: AgentToolContext, *texts: str) -> Mapping[str, str]:
    """What a worker's git shows for each id of a landing in the texts, also for a shortened one."""
    found = {id for text in texts for id in _ID.findall(text)}
    if not found:
        return {}
    landed = [task.commit for task in context.snapshot.tasks.values() if task.commit]
    meant = {id: [commit for commit in landed if commit.startswith(id)] for id in found}
    meant = {id: of for id, of in meant.items() if len(of) == 1}
    if not meant:
        return {}
    workspace = await context.workspace()
    return {id: (await workspace.shown(commit))[: len(id)] for id, [commit] in meant.items()}


def translated(text: str, ids: Mapping[str, str]) -> str:
    return _ID.sub(lambda found: ids.get(found[0], found[0]), text)
