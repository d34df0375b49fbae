"""Tracks what one agent is doing right now: its message, its tool call, and their output as it arrives.

It folds the agent's events and, if there is one, the stream of its text. What came before is filled in from the
journal.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from tui.bridge import AgentId, Event, MessageRow, ToolCallRow, events
from tui.sessions.session import LiveAgent

KEPT = 16_000
"""Characters of a text that are kept, counted from its end."""


class LiveAgentTracker:
    """Used in the session's thread. `live` is replaced as a whole, so that the UI thread can read it."""

    def __init__(self, agent: AgentId) -> None:
        self.agent = agent
        self.live = LiveAgent()
        self._turn_over = True

    def fill_in(self, said: Sequence[MessageRow], call: ToolCallRow | None) -> None:
        """Fill in from the journal what no event has supplied yet."""
        if not self.live.said and (texts := [row.text for row in said if row.role == "assistant" and row.text.strip()]):
            self.live = replace(self.live, said=texts[-1][-KEPT:])
        if not self.live.call and call is not None:
            self.live = replace(
                self.live,
                call=f"{call.tool} {call.target}".rstrip(),
                output=call.answer or "",
                running=call.answer is None,
                since=call.started,
            )

    def add_text(self, text: str) -> None:
        """Add a piece of the stream: of the running tool's output, or else of the model's message."""
        live = self.live
        if live.running:
            self.live = replace(live, output=(live.output + text)[-KEPT:])
            return
        said = text if self._turn_over else live.said + text
        self._turn_over = False
        self.live = replace(live, said=said[-KEPT:], saying=True)

    def apply(self, event: Event) -> None:
        """Apply one of the agent's events."""
        match event.body:
            case events.TurnTaken(message=message):
                self._turn_over = True
                self.live = replace(self.live, said=message.text[-KEPT:] or self.live.said, saying=False)
            case events.ToolStarted(tool=tool, target=target):
                call = f"{tool} {target}".rstrip()
                self.live = replace(self.live, call=call, output="", running=True, saying=False, since=event.at)
            case events.ToolFinished(answer=answer):
                self.live = replace(self.live, output=answer[-KEPT:], running=False)
