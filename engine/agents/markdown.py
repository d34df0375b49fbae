"""Formats text for agents as Markdown."""

from collections.abc import Iterable


def sections(title: str, **texts: str) -> str:
    """A title and the sections that have text. The name `earlier_attempt` becomes `## Earlier attempt`."""
    parts = [f"# {title}"]
    parts += [
        f"## {name.replace('_', ' ').capitalize()}\n\n{text.strip()}" for name, text in texts.items() if text.strip()
    ]
    return "\n\n".join(parts)


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def quoted(text: str) -> str:
    """The text with `> ` before each line, so that what an agent wrote cannot pass for the engine's or a person's."""
    return "\n".join(f"> {line}" for line in text.strip().splitlines())
