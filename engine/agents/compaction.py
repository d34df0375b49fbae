"""Keeps a conversation within its model's window: drops old tool answers, then starts it again with a summary."""

from collections.abc import Callable

from engine.agents.openings import pinned
from engine.agents.transcript import Transcript
from engine.domain import events as e
from engine.domain.errors import AttemptFailed, BudgetSpent, MessagesArrived, ModelError, ModelErrorKind
from engine.domain.os_text import utf8_text
from engine.domain.types import InboxMessage, Usage
from engine.runtime.inbox import readable

FULL = 0.85
"""Share of the model's context window at which the conversation is compacted."""
MARGIN = 0.02
"""Share of the window that is left free because token counts are estimates."""
MOST_BYTES_PER_TOKEN = 16
"""More than conversations have. Servers that count too few tokens would otherwise get ever longer requests."""
MAX_OUTPUT = 16_000
"""The most tokens of one answer, if the window has room for them."""
INBOX = 0.25
"""Share of the window that messages may take up in one turn."""
ANSWERS_KEPT = 6
"""How many of the newest tool answers are never dropped."""
WORTH_DROPPING = 0.15
"""Share of the window that dropping old answers must free, or a summary is made instead."""
SUMMARY_TRIES = 2
SUMMARY_MOST = 16_000
"""Characters of a summary that are kept."""


class Compaction:
    """Compacts one conversation. `opening` returns the first message for one that starts again."""

    def __init__(self, transcript: Transcript, opening: Callable[[], str]) -> None:
        self._transcript = transcript
        self._conversation = transcript.conversation
        self._host = transcript.host
        self._opening = opening

    @property
    def _window(self) -> int:
        return self._host.models.window(self._transcript.agent.model)

    @property
    def max_output(self) -> int:
        """Tokens that one answer may take; a small window leaves less."""
        return min(MAX_OUTPUT, self._window // 4)

    @property
    def inbox(self) -> tuple[InboxMessage, ...]:
        """The messages that the agent reads with its next turn. The rest waits for the turn after that."""
        messages = self._host.snapshot.inboxes.get(self._transcript.agent_id, ())
        return readable(messages, int(INBOX * 4 * self._window))

    @property
    def is_due(self) -> bool:
        """Whether the next request may not fit into the window."""
        inbox = self.inbox
        told = "\n\n".join((*(message.text for message in inbox), self._transcript.status(inbox)))
        coming = self._conversation.fresh_tokens(told)
        known = max(self._transcript.agent.tokens_in_context, self._conversation.size // MOST_BYTES_PER_TOKEN)
        return known + coming > min(FULL * self._window, (1 - MARGIN) * self._window - self.max_output)

    async def compact(self, *, summarise: bool = False) -> None:
        """Drop old answers if that frees enough; otherwise start the conversation again with a summary.

        Raises AttemptFailed if the conversation has only just been compacted and still does not fit.
        """
        if self._conversation.compacted_last:
            provider = self._transcript.agent.model.partition(":")[0]
            raise AttemptFailed(
                "the task and the agent's notes do not fit into the model's context window "
                f"of {self._window:,} tokens; if the server has more, set window in [providers.{provider}]"
            )
        if not summarise and self._conversation.droppable(ANSWERS_KEPT) / 4 > WORTH_DROPPING * self._window:
            self._transcript.record(e.AnswersDropped(ANSWERS_KEPT))
            return
        summary, usage = await self._summary()
        opening = pinned(self._host, self._transcript.agent_id, self._opening(), summary)
        self._transcript.record(e.ContextCompacted(utf8_text(opening), usage))

    async def _summary(self) -> tuple[str, Usage]:
        """The agent's own summary and its cost. If it gives none, the end of what it has written so far."""
        usage = Usage()
        asked = self._host.prompts["compact"].render()
        for _ in range(SUMMARY_TRIES):
            request = self._transcript.request(asked, self.max_output // 2)
            try:
                turn = await self._host.calls.ask(self._transcript.agent_id, request, with_inbox=False)
            except MessagesArrived:
                continue  # at the limit of a budget, a makeshift summary has to do
            except (ModelError, BudgetSpent) as error:
                if usage.input:
                    break  # record what was spent, with a makeshift summary
                if not isinstance(error, ModelError) or error.kind is not ModelErrorKind.CONTEXT_LENGTH:
                    raise
                self._transcript.record(e.AnswersDropped(0))
                continue
            usage += turn.usage
            if text := turn.message.text.strip():
                return text[:SUMMARY_MOST], usage
        said = [message.text for message in self._conversation.messages if message.role == "assistant"]
        return "\n\n".join(text for text in said if text)[-SUMMARY_MOST:], usage
