"""Builds commit messages whose trailers cannot be forged by a title or a body, and reads them."""

import re
from collections.abc import Mapping

from engine.domain.os_text import utf8_text

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_SPACE = re.compile(r"\s+")
_TRAILER = re.compile(r"^([A-Za-z0-9][A-Za-z0-9-]*): (.*)$")
_OWN_TRAILER = re.compile(r"\s*(?:[a-z-]+-by|swarm-[a-z]+|change-id|cc)\s*:", re.IGNORECASE)
_NAME = re.compile(r"\broot(?:/[\w-]+)*/[\w-]+-\d+\b|\b[a-z][0-3][0-9a-hjkmnp-tv-z]{13}\b")
"""An agent's path or an id of the engine."""
_TITLE_LENGTH = 200
_BODY_LENGTH = 4_000


def commit_message(title: str, body: str, trailers: Mapping[str, str]) -> str:
    """A message of a title line, the body, and the trailers as the last paragraph.

    Title and trailer values become one line each; control characters are replaced. A line of the body that looks like
    one of `trailers` is indented, and a title gets a dash, so that not even a reader that searches the whole message
    takes it for a trailer.
    """
    names = {name.lower() for name in trailers}
    paragraphs = [_tamed(_one_line(title)[:_TITLE_LENGTH], names, "- ") or "(no title)"]
    text = "\n".join(_tamed(line, names, "  ") for line in _bounded(_clean(body)).split("\n")).strip("\n")
    if text.strip():
        paragraphs.append(text)
    paragraphs.append("\n".join(f"{name}: {_one_line(value)}" for name, value in trailers.items()))
    return "\n\n".join(part for part in paragraphs if part) + "\n"


def trailers_of(message: str) -> list[tuple[str, str]]:
    """The trailers in the last paragraph; none if it has any other line, or is also the first paragraph."""
    head, blank, last = message.rstrip("\n").rpartition("\n\n")
    matches = [_TRAILER.match(line) for line in last.split("\n")]
    if not (head and blank) or not all(matches):
        return []
    return [(match.group(1), match.group(2)) for match in matches if match]


def for_workers(message: str) -> str:
    """What a commit of trunk says to an agent that knows nothing of the swarm: title and body.

    Trailers, ids and agents' paths are gone, whoever wrote them and wherever they stand.
    """
    title, _, body = message.partition("\n")
    kept = [line for line in (_one_line(title), *_clean(body).split("\n")) if not _OWN_TRAILER.match(line)]
    title, _, body = _NAME.sub("…", "\n".join(kept)).strip().partition("\n")
    return commit_message(title, body, {})


def without_names(text: str) -> str:
    """A text as one line, without ids and agents' paths."""
    return _NAME.sub("…", _one_line(text))


def _bounded(text: str) -> str:
    """The text, cut after the last line within the limit."""
    if len(text) <= _BODY_LENGTH:
        return text
    cut = text[:_BODY_LENGTH]
    return (cut.rpartition("\n")[0] or cut) + "\n…"


def _clean(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return utf8_text(_CONTROL.sub(" ", text))


def _one_line(text: str) -> str:
    return _SPACE.sub(" ", _clean(text)).strip()


def _tamed(line: str, names: set[str], mark: str) -> str:
    line = line.rstrip()
    name, colon, _ = line.partition(":")
    return f"{mark}{line}" if colon and name.strip().lower() in names and not line.startswith(" ") else line
