"""JSON and log lines for a terminal: what it would execute, reorder or hide is written as an escape."""

import json
import re

import msgspec

from engine.domain.os_text import BLANK, utf8_text

_BEYOND_ASCII = re.compile("[^ -~]+")
_BLANK = frozenset(BLANK)
_SURROGATE = re.compile("[\ud800-\udfff]")


def json_line(value: object) -> bytes:
    """The value as one line of JSON, without its newline. Lone surrogates become escapes, as by `utf8_text`."""
    try:
        line = msgspec.json.encode(value)
    except UnicodeEncodeError:
        # Strict JSON parsers reject the escape of a lone surrogate, too.
        text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False, separators=(",", ":"))
        paired = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        line = _SURROGATE.sub(lambda match: "\\" + utf8_text(match[0]), paired).encode()
    return line if line.isascii() and b"\x7f" not in line else _BEYOND_ASCII.sub(_seen, line.decode()).encode()


def log_text(text: str) -> str:
    """The text, whose lines stay lines, with escapes as in Python's strings for what a reader could not see."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    text = utf8_text(text)
    return "".join(
        char if (char.isprintable() and char not in _BLANK) or char in "\n\t" else ascii(char)[1:-1] for char in text
    )


def _seen(match: re.Match[str]) -> str:
    run = match[0]
    if run.isprintable() and _BLANK.isdisjoint(run):
        return run
    return "".join(char if char.isprintable() and char not in _BLANK else _escape(char) for char in run)


def _escape(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
