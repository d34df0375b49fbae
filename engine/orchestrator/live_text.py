"""The text that one watched agent writes and that its commands print, as it arrives, with keys masked."""

from collections.abc import Callable

from engine.domain.events import Event, ToolFinished, TurnTaken
from engine.domain.masking import Mask, StreamMask
from engine.domain.types import AgentId


class LiveText:
    """Passes on the live text of at most one agent."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._stream: StreamMask = mask.stream()
        self._agent: AgentId | None = None
        self._on_text: Callable[[str], None] = lambda text: None

    def watch(self, agent: AgentId | None, on_text: Callable[[str], None]) -> None:
        """Pass the live text and command output of this agent to `on_text`, and of no other; None: of no agent."""
        self._agent, self._on_text, self._stream = agent, on_text, self._mask.stream()

    def show(self, agent: AgentId, text: str) -> None:
        """Pass on a piece of text, except for an end that may be the beginning of a key."""
        if agent == self._agent and (shown := self._stream.feed(text)):
            self._on_text(shown)

    def flush(self, event: Event, body: TurnTaken | ToolFinished) -> None:
        """Show what was held back, once a turn or a command has ended."""
        if event.agent == self._agent and (rest := self._stream.rest()):
            self._on_text(rest)
