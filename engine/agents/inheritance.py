"""What earlier work leaves to a task: an attempt that did not land, and the tasks that it comes after."""

from engine.agents.landed_meanwhile import quoted_parts
from engine.agents.markdown import bullets, quoted
from engine.domain import events as e
from engine.domain.commit_message import without_names
from engine.domain.types import Agent, HandoffText, Role, Task, TaskId, ToolCallState
from engine.runtime.host import Host
from engine.runtime.inbox import shortened

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
    """What the newest earlier attempt left, at this task or at one that it replaces; empty if there was none."""
    earlier, at = None, host.snapshot.tasks.get(task.id)
    while earlier is None and at is not None:  # a replaced task may not have begun itself
        earlier = _latest(host, at.id, task)
        at = host.snapshot.tasks.get(at.replaces) if at.replaces is not None else None
    retried = bool(task.failures and task.reason)
    parts = [f"An earlier attempt at this task ended without a result: {task.reason}" if retried else ""]
    if earlier is not None:
        found = [*await _files(host, earlier), *_words(host, earlier)]
        if found and not retried:
            parts.append("An earlier attempt at this work ended before it landed.")
        if found:
            parts += ["Nothing of its changes is in your copy. What it left, as far as it still fits:", *found]
    return "\n\n".join(filter(None, parts))


def built_on(host: Host, task: Task) -> str:
    """What the workers of the tasks that it comes after reported: how that works on which it builds."""
    handoffs = {each.task: each.text for each in host.snapshot.handoffs.values() if each.task in task.spec.after}
    parts = []
    for id, text in handoffs.items():
        said = {"summary": text.summary, **{name: each for name, each in text.sections.items() if name in BUILDS}}
        lines = quoted_parts(said, BUILT_ON // len(handoffs), BUILT_ON)
        parts.append("\n".join([without_names(host.snapshot.tasks[id].spec.title), *lines]))
    return "\n\n".join(parts)


def _latest(host: Host, task: TaskId, now: Task) -> Agent | None:
    """The newest agent that worked on a task, without those of the present attempt."""
    agents = reversed(host.snapshot.agents.values())
    ours = (agent for agent in agents if agent.task == task and agent.role is not Role.RESOLVER and agent.steps)
    return next((agent for agent in ours if agent.id != now.agent), None)


async def _files(host: Host, agent: Agent) -> list[str]:
    """The files that it read and changed."""
    await host.durable(host.snapshot.seq)
    read: dict[str, None] = {}
    changed: dict[str, None] = {}
    targets: dict[str, str] = {}
    for event in await host.journal.agent_events(agent.id):
        match event.body:
            case e.ToolStarted(call=call, tool="read_file", target=target):
                targets[call] = target
            case e.ToolFinished(call=call, tool="read_file", state=ToolCallState.OK) if call in targets:
                read[targets[call]] = None
            case e.ToolFinished(paths=paths):
                changed |= dict.fromkeys(paths)
    lists = (("It had changed", changed), ("It had read", read))
    return [f"{what}:\n\n{_named(list(files))}" for what, files in lists if files]


def _named(files: list[str]) -> str:
    more = [f"and {len(files) - FILES} more"] if len(files) > FILES else []
    return bullets([*(f"`{file}`" for file in files[:FILES]), *more])


def _words(host: Host, agent: Agent) -> list[str]:
    """Its scratchpad, and the report that it handed off."""
    pad = host.snapshot.scratchpads.get(agent.id)
    texts = [f"Its notes:\n\n{quoted(shortened(pad.text, NOTES))}"] if pad is not None and pad.text.strip() else []
    handoffs = (each for each in reversed(host.snapshot.handoffs.values()) if each.agent == agent.id)
    if (handoff := next((each for each in handoffs if not each.by_engine), None)) is not None:
        texts.append(f"Its report:\n\n{quoted(shortened(_report(handoff.text), REPORT))}")
    return texts


def _report(text: HandoffText) -> str:
    return "\n\n".join((text.summary, *text.sections.values()))
