"""What an agent is told: its opening message, messages from others as text, and its conversation so far."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from engine.domain import events as e
from engine.domain.conversation import Block, Message, Text, ToolAnswer, ToolCall
from engine.domain.types import (
    Agent,
    AgentId,
    CallId,
    Handoff,
    InboxMessage,
    Intent,
    LandingState,
    Role,
    Scratchpad,
    Task,
)
from engine.state.snapshot import Snapshot

DROPPED = "(this answer was dropped to save context; call the tool again if you still need it)"
LISTED = 200
"""Lines of what has ended that a planner with a fresh context is told."""
CHARACTERS_PER_TOKEN = 4
"""A rough mean for English and code, used only between two reports of the provider."""


# --- texts ---------------------------------------------------------------------------------------------------


def sections(title: str, **texts: str) -> str:
    """A heading and the sections that are not empty; `earlier_attempt` becomes `## Earlier attempt`."""
    parts = [f"# {title}"]
    parts += [
        f"## {name.replace('_', ' ').capitalize()}\n\n{text.strip()}" for name, text in texts.items() if text.strip()
    ]
    return "\n\n".join(parts)


def task_opening(task: Task, notes: str) -> str:
    """Everything that a worker is told of the world beyond its repository."""
    heading = f"Task: {task.spec.title}"
    return sections(
        heading,
        goal=task.spec.goal,
        scope=task.spec.scope,
        acceptance=task.spec.acceptance,
        earlier_attempt=f"An earlier attempt at this task ended without a result: {task.reason}"
        if task.failures and task.reason
        else "",
        repository_notes=notes,
    )


def repair_opening(task: Task, notes: str) -> str:
    return sections(f"Repair: {task.spec.title}", check=task.spec.goal, repository_notes=notes)


def conflict_opening(task: Task, paths: Iterable[str], notes: str) -> str:
    return f"# Conflict: {task.spec.title}\n\nFiles in conflict:\n\n{bullets(paths)}\n\n" + sections(
        "The change marked `yours`",
        goal=task.spec.goal,
        acceptance=task.spec.acceptance,
        repository_notes=notes,
    )


def intent_opening(intent: Intent, notes: str) -> str:
    text = f"# Intent (version {intent.version})\n\n{intent.text.strip()}"
    return f"{text}\n\n## Repository notes\n\n{notes.strip()}" if notes.strip() else text


def slice_opening(agent: Agent, intent: Intent | None, notes: str) -> str:
    return sections(
        f"Slice: {agent.title}",
        goal=agent.goal,
        scope=agent.scope,
        the_whole_intent=intent.text if intent else "",
        repository_notes=notes,
    )


def handoff_message(title: str, handoff: Handoff) -> str:
    """A handoff as the planner reads it."""
    text = handoff.text
    source = "slice" if handoff.task is None else "task"
    landing = "none" if handoff.landing in (None, LandingState.REFUSED) else handoff.landing.value
    head = f"Handoff: {title}\n\nfrom: {source}\nstatus: {text.status.value}\nlanding: {landing}"
    return sections(
        head,
        summary=quoted(text.summary),
        notes=quoted(text.notes),
        concerns=quoted(text.concerns),
        deviations=quoted(text.deviations),
        findings=quoted(text.findings),
        feedback=quoted(text.feedback),
    )


def quoted(text: str) -> str:
    """Each line behind `>`: what an agent wrote cannot pass for a heading of ours or for the person's words."""
    return "\n".join(f"> {line}" for line in text.strip().splitlines())


def pinned(opening: str, scratchpad: Scratchpad | None, outstanding: str, summary: str) -> str:
    """The first message of a conversation that starts again after compaction."""
    parts = [opening]
    if scratchpad is not None and scratchpad.text.strip():
        parts.append(f"## Your scratchpad\n\n{scratchpad.text.strip()}")
    if outstanding:
        parts.append(f"## Outstanding\n\n{outstanding}")
    if summary.strip():
        parts.append(f"## So far\n\n{summary.strip()}")
    return "\n\n".join(parts)


def outstanding(snapshot: Snapshot, agent: AgentId) -> str:
    """A planner's tasks and subplanners that have not ended, one a line; empty for others."""
    tasks = [f"{task.id} {task.spec.title}" for task in snapshot.open_tasks(agent)]
    return bullets([*tasks, *(f"subplanner {child.title}" for child in snapshot.open_subplanners(agent))])


def ended(snapshot: Snapshot, agent: AgentId) -> str:
    """What became of a planner's newest tasks and subplanners, one a line."""
    tasks = [snapshot.tasks[id] for id in snapshot.tasks_of.get(agent, ())]
    below = [snapshot.agents[id] for id in snapshot.children.get(agent, ())]
    lines = [f"{task.spec.title}: {task.state}" for task in tasks if task.ended]
    lines += [
        f"subplanner {child.title}: {child.state}" for child in below if child.role is Role.PLANNER and child.ended
    ]
    return bullets(lines[-LISTED:])


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def readable(inbox: Sequence[InboxMessage], characters: int) -> tuple[InboxMessage, ...]:
    """The oldest messages that fit into so many characters, at least one: of one that is longer, head and tail."""
    taken = 0
    for number, message in enumerate(inbox):
        taken += len(message.text)
        if taken > characters:
            return tuple(inbox[:number]) or (replace(message, text=shortened(message.text, characters)),)
    return tuple(inbox)


def shortened(text: str, characters: int) -> str:
    """Head and tail of a text, and how much is missing between them."""
    tail = characters // 4
    left_out = (
        f"\n\n({len(text) - characters} characters were left out here because they do not fit into your context)\n\n"
    )
    return text[: characters - tail] + left_out + text[len(text) - tail :]


def joined(messages: Iterable[InboxMessage]) -> str:
    return "\n\n".join(message.text for message in messages)


# --- the conversation ----------------------------------------------------------------------------------------


class Conversation:
    """What the agent's model is sent, in order. A fold over the agent's own events, live as on resume.

    `given` for the next turn starts with `opening` where the conversation (re)starts.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.answers: dict[CallId, ToolAnswer] = {}
        self.opening: str | None = None
        self.turns = 0
        self.compacted_last = False
        self._fresh_characters = 0

    @property
    def unanswered(self) -> tuple[ToolCall, ...]:
        """Calls of the last turn that have no answer yet."""
        if not self.messages or self.messages[-1].role != "assistant":
            return ()
        return tuple(call for call in self.messages[-1].calls if call.id not in self.answers)

    def asking(self, given: str | None) -> tuple[Message, ...]:
        """The messages of the next request: all so far, then the answers and what the agent is given."""
        return (*self.messages, self._user(given)) if self.answers or given else tuple(self.messages)

    def fresh_tokens(self, given: str | None) -> int:
        """An estimate of what the next request holds beyond what the last one reported."""
        return (self._fresh_characters + len(given or "")) // CHARACTERS_PER_TOKEN

    def apply(self, event: e.Event) -> None:
        """Fold an event of this agent in."""
        body = event.body
        if isinstance(body, e.TurnTaken):
            self.messages = [*self.asking(body.given), body.message]
            self.answers = {}
            self.opening = None
            self.turns += 1
            self.compacted_last = False
            self._fresh_characters = 0
        elif isinstance(body, e.ToolFinished):
            error = body.state.value != "ok"
            self.answers[body.call] = ToolAnswer(body.call, body.answer, error)
            self._fresh_characters += len(body.answer)
        elif isinstance(body, e.AnswersDropped):
            self._drop_answers(body.kept)
        elif isinstance(body, e.ContextCompacted):
            self.messages = []
            self.answers = {}
            self.opening = body.opening
            self.compacted_last = True
            self._fresh_characters = len(body.opening)

    def droppable(self, kept: int) -> int:
        """Characters that dropping all answers but the last `kept` would save."""
        answers = [b for m in self.messages for b in m.blocks if isinstance(b, ToolAnswer)]
        return sum(max(0, len(b.text) - len(DROPPED)) for b in (answers[:-kept] if kept else answers))

    def _drop_answers(self, kept: int) -> None:
        total = sum(isinstance(b, ToolAnswer) for m in self.messages for b in m.blocks)
        seen = 0

        def dropped(block: Block) -> Block:
            nonlocal seen
            if not isinstance(block, ToolAnswer):
                return block
            seen += 1
            if seen > total - kept or len(block.text) <= len(DROPPED):
                return block
            return ToolAnswer(block.id, DROPPED, block.error)

        self.messages = [Message(m.role, tuple(dropped(b) for b in m.blocks)) for m in self.messages]

    def _user(self, given: str | None) -> Message:
        calls = self.messages[-1].calls if self.messages else ()
        blocks: list[Block] = [self.answers[call.id] for call in calls if call.id in self.answers]
        if given:
            blocks.append(Text(given))
        return Message("user", tuple(blocks))
