"""The header before there is a run to show."""

from tui.format.text import Line, Span


def title(told: str) -> Line:
    """The header before there is a run to tell of."""
    return (Span(" ◆ swarm ", "accent bold"), Span(told, "dim"))
