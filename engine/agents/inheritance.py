"""What earlier work leaves to a task: an attempt that did not land, and the tasks that it comes after."""

from engine.agents.landed_meanwhile import quoted_parts
from engine.agents.markdown import bullets, quoted
from engine.domain import events as e
from engine.domain.commit_message import without_names
from engine.domain.types import AgentId, HandoffText, Role, Task, TaskId, ToolCallState
from engine.runtime.host import Host
from engine.runtime.inbox import shortened
from engine.state.recalled import Recalled

NOTES = 4_000
REPORT = 3_000
"""Characters of its scratchpad, and of its report."""
FILES = 30
"""Files of each kind that are named."""
BUILDS = ("notes", "concerns", "findings")
"""What of a report, beside its summary, the tasks that come after it get."""
BUILT_ON = 6_000
"""Characters of the reports of the tasks that a task comes after, all together."""


async def inherited(host: Host, task: Task) -> str:
    """What the newest earlier attempt at this task, or at one it replaces, left behind; empty if there was none."""
    left = ""
    at: Task | None = task
    while not left and at is not None:  # a replaced task may not have begun itself
        known = await _known(host, at.planner, at.id)
        left = await _left(host, task, known)
        before = at.replaces
        at = (await _known(host, at.planner, before)).tasks.get(before) if before is not None else None
    retried = bool(task.failures and task.reason)
    parts = [f"An earlier attempt at this task ended without a result: {task.reason}" if retried else ""]
    if left and not retried:
        parts.append("An earlier attempt at this work ended before it landed.")
    if left:
        parts += ["None of its changes are in your copy. This is what it left behind:", left]
    return "\n\n".join(filter(None, parts))


async def built_on(host: Host, task: Task) -> str:
    """What the workers of the tasks that it comes after reported: how the work that it builds on is made."""
    known = [await _known(host, task.planner, id) for id in task.spec.after]
    handoffs = {handoff.task: handoff.text for each in known for handoff in each.handoffs.values()}
    titles = {id: other.spec.title for each in known for id, other in each.tasks.items()}
    parts = []
    for id, text in handoffs.items():
        said = {"summary": text.summary, **{name: each for name, each in text.sections.items() if name in BUILDS}}
        lines = quoted_parts(said, BUILT_ON // len(handoffs), BUILT_ON)
        parts.append("\n".join([without_names(titles[id] if id is not None else ""), *lines]))
    return "\n\n".join(parts)


async def _known(host: Host, planner: AgentId, task: TaskId) -> Recalled:
    """A task with its agents and handoffs, from memory or from the journal."""
    s = host.snapshot
    if task not in s.tasks:
        return await host.journal.ended_tasks(planner, [task])
    agents = {id: agent for id, agent in s.agents.items() if agent.task == task}
    handoffs = {id: handoff for id, handoff in s.handoffs.items() if handoff.task == task}
    return Recalled(agents, {task: s.tasks[task]}, handoffs)


async def _left(host: Host, now: Task, of: Recalled) -> str:
    """What the newest agent on a task, other than the present attempt's, left behind; empty if there was none."""
    agents = (agent for agent in reversed(of.agents.values()) if agent.role is not Role.RESOLVER and agent.steps)
    if (agent := next((agent for agent in agents if agent.id != now.agent), None)) is None:
        return ""
    await host.durable(host.snapshot.seq)
    read: dict[str, None] = {}
    changed: dict[str, None] = {}
    targets: dict[str, str] = {}
    notes = ""
    for event in await host.journal.agent_events(agent.id):
        match event.body:
            case e.ToolStarted(call=call, tool="read_file", target=target):
                targets[call] = target
            case e.ToolFinished(call=call, tool="read_file", state=ToolCallState.OK) if call in targets:
                read[targets[call]] = None
            case e.ToolFinished(paths=paths):
                changed |= dict.fromkeys(paths)
            case e.ScratchpadRewritten(text=text):
                notes = text
    lists = (("It had changed", changed), ("It had read", read))
    parts = [f"{what}:\n\n{_named(list(files))}" for what, files in lists if files]
    if notes.strip():
        parts.append(f"Its notes:\n\n{quoted(shortened(notes, NOTES))}")
    own = [each for each in of.handoffs.values() if each.agent == agent.id and not each.by_engine]
    if own:
        parts.append(f"Its report:\n\n{quoted(shortened(_report(own[-1].text), REPORT))}")
    return "\n\n".join(parts)


def _named(files: list[str]) -> str:
    more = [f"and {len(files) - FILES} more"] if len(files) > FILES else []
    return bullets([*(f"`{file}`" for file in files[:FILES]), *more])


def _report(text: HandoffText) -> str:
    return "\n\n".join((text.summary, *text.sections.values()))
