"""Shapes of the text that agents read."""

from collections.abc import Iterable


def sections(title: str, **texts: str) -> str:
    """A heading and the sections that are not empty; `earlier_attempt` becomes `## Earlier attempt`."""
    parts = [f"# {title}"]
    parts += [
        f"## {name.replace('_', ' ').capitalize()}\n\n{text.strip()}" for name, text in texts.items() if text.strip()
    ]
    return "\n\n".join(parts)


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def quoted(text: str) -> str:
    """Each line behind `>`: what an agent wrote cannot pass for a heading of ours or for the person's words."""
    return "\n".join(f"> {line}" for line in text.strip().splitlines())
