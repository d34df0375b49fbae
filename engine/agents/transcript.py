"""One agent's transcript: its conversation, the reminders for its next turn, and the events it records."""

from engine.agents.conversation_log import Conversation
from engine.domain import events as e
from engine.domain.conversation import Request
from engine.domain.events import Draft
from engine.domain.os_text import utf8_text
from engine.domain.types import Agent, AgentId, InboxMessage, Role
from engine.policy.planner_status import PlannerStatus
from engine.runtime.host import Host
from engine.runtime.prompts import Prompt

UNDER_WAY = "\n## Under way\n"
"""The heading in messages about a changed intent or slice under which the open work is listed."""


class Transcript:
    """Shared by the parts of an agent's loop. `system` is the role's prompt with its variables filled in."""

    def __init__(self, host: Host, agent: AgentId, prompt: Prompt, system: str, conversation: Conversation) -> None:
        self.host = host
        self.agent_id = agent
        self.prompt = prompt
        self.conversation = conversation
        self.continues = False
        """Whether the next turn is the first one in this process of an agent that has worked before."""
        self.landings_seen = 0
        """The number of landings that a planner is told of with its next turn; 0: it is told of none."""
        self._system = system
        self._tools = host.toolbox.specs(prompt.front.tools)
        self._reminders: list[str] = []

    @property
    def agent(self) -> Agent:
        return self.host.snapshot.agents[self.agent_id]

    def remind(self, prompt: str, **values: object) -> None:
        """Add a prompt to what the agent is told with its next turn."""
        self._reminders.append(self.host.prompts[prompt].render(**values))

    def reminders_given(self) -> None:
        """Forget the reminders: the turn that carried them is complete."""
        self._reminders.clear()
        self.continues = False

    def status(self, inbox: tuple[InboxMessage, ...]) -> str:
        """The state of its work, for a planner that reads messages or continues; its opening has it already."""
        if self.agent.role is not Role.PLANNER or not (self.continues or (inbox and self.conversation.opening is None)):
            return ""
        snapshot = self.host.snapshot
        handoffs = [snapshot.handoffs.get(message.handoff) for message in inbox if message.handoff is not None]
        told = [handoff.task for handoff in handoffs if handoff is not None]
        status = PlannerStatus(self.host.settings, snapshot, self.agent_id, self.host.clock.now())
        listed = any(UNDER_WAY in message.text for message in inbox)
        return f"# Status\n\n{status.short([task for task in told if task is not None], listed=listed)}"

    def given(self, inbox: tuple[InboxMessage, ...]) -> str | None:
        """What the agent is told with its next turn, besides tool answers: opening, messages, status and reminders."""
        status = self.status(inbox)
        self.landings_seen = self.host.snapshot.landed if status else 0
        parts = [self.conversation.opening or "", *(message.text for message in inbox), status, *self._reminders]
        return self.host.mask.text(utf8_text("\n\n".join(part for part in parts if part))) or None

    def request(self, given: str | None, max_output: int) -> Request:
        """The next model call: the conversation, the answers to its last tool calls, and what the agent is told."""
        model = self.agent.model
        messages, counted = self.conversation.asking(given), self.conversation.counted(model)
        name = model.partition(":")[2]
        return Request(name, self._system, messages, self._tools, max_output, str(self.agent_id), counted)

    def record(self, body: e.Body, *drafts: Draft, cause: int | None = None) -> int:
        """Record an event of this agent together with other drafts, and add it to the conversation."""
        body = self.host.mask.value(body)
        seq = self.host.record(Draft(body, self.agent_id, self.agent.task), *drafts, cause=cause)
        self.conversation.apply(e.Event(seq, 0, 0, body, self.agent_id))
        return seq
