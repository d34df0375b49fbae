"""Messages to agents: how they get into an inbox, and how much of an inbox an agent reads at once."""

from collections.abc import Sequence

from msgspec.structs import replace

from engine.domain.events import Draft, MessageQueued
from engine.domain.types import AgentId, HandoffId, InboxMessage, MessageId, MessageSource, TaskId
from engine.runtime.recorder import RunRecorder


def message_to(
    run: RunRecorder,
    agent: AgentId,
    source: MessageSource,
    text: str,
    *,
    task: TaskId | None = None,
    intent: int = 0,
    handoff: HandoffId | None = None,
    notes: tuple[int, ...] = (),
) -> Draft:
    """The event that puts a message into an agent's inbox.

    `intent`: the version of the intent that the message announces, 0 for none. `notes`: those it asks or answers.
    """
    message = InboxMessage(MessageId(run.ids.new("m")), run.clock.now(), agent, source, text, handoff, intent, notes)
    return Draft(MessageQueued(message), agent, task)


def readable(inbox: Sequence[InboxMessage], characters: int) -> tuple[InboxMessage, ...]:
    """The oldest messages that fit into this many characters; at least one, shortened if it has to be."""
    taken = 0
    for number, message in enumerate(inbox):
        taken += len(message.text)
        if taken > characters:
            return tuple(inbox[:number]) or (replace(message, text=shortened(message.text, characters)),)
    return tuple(inbox)


def shortened(text: str, characters: int) -> str:
    """The head and the tail of a text that is longer, and how much was left out between them."""
    if len(text) <= characters:
        return text
    tail = characters // 4
    left_out = (
        f"\n\n({len(text) - characters} characters were left out here because they do not fit into your context)\n\n"
    )
    return text[: characters - tail] + left_out + text[len(text) - tail :]
