"""Messages into an agent's inbox."""

from engine.agents.host import RunContext
from engine.domain.events import Draft, MessageQueued
from engine.domain.types import AgentId, HandoffId, InboxMessage, MessageId, MessageSource, TaskId


def message_to(
    run: RunContext,
    agent: AgentId,
    source: MessageSource,
    text: str,
    *,
    task: TaskId | None = None,
    intent: int = 0,
    handoff: HandoffId | None = None,
) -> Draft:
    """The event that puts a message into an agent's inbox. `intent`: the version that the message brings, if any."""
    message = InboxMessage(
        MessageId(run.ids.new("m")), run.clock.now(), agent, source, text, handoff=handoff, intent=intent
    )
    return Draft(MessageQueued(message), agent, task)
