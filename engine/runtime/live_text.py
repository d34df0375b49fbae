"""Streams the text of one watched agent and the output of its commands, with keys masked."""

from collections.abc import Callable

from engine.domain.events import Event, ToolFinished, TurnTaken
from engine.domain.masking import Mask, StreamMask
from engine.domain.types import AgentId


class LiveText:
    """Streams the text of at most one agent."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._stream: StreamMask = mask.stream()
        self._agent: AgentId | None = None
        self._on_text: Callable[[str], None] = lambda text: None

    def watch(self, agent: AgentId | None, on_text: Callable[[str], None]) -> None:
        """Stream this agent's text and command output to `on_text`, instead of any other agent's. None: stop."""
        self._agent, self._on_text, self._stream = agent, on_text, self._mask.stream()

    def show(self, agent: AgentId, text: str) -> None:
        """Stream a piece of text, but hold back its end if a key may begin there."""
        if agent == self._agent and (shown := self._stream.feed(text)):
            self._on_text(shown)

    def flush(self, event: Event, body: TurnTaken | ToolFinished) -> None:
        """Stream what was held back, as the turn or command has ended."""
        if event.agent == self._agent and (rest := self._stream.rest()):
            self._on_text(rest)
