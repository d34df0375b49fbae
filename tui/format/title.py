"""The header while there is no run to show."""

from tui.format.text import Line, Span


def title(text: str) -> Line:
    """The program's name, followed by a text."""
    return (Span(" ◆ swarm ", "accent bold"), Span(text, "dim"))
