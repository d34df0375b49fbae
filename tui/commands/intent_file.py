"""The intent as a person gives it to a command: a file or stdin, checked before anything is made."""

import os
import sys
from importlib.resources import files

from tui.bridge import ErrorKind, SwarmError, without_comments

LIMIT = 1 << 20
"""Bytes. A longer text would fill a model's context before the work begins."""


def read_intent(name: str) -> str:
    """The text of the file `name`, or of stdin for `-`. Raises SwarmError (intent) for what is no intent."""
    told = "the intent on stdin" if name == "-" else f"the intent {name}"
    try:
        if name == "-":
            content = sys.stdin.buffer.read(LIMIT + 1)
        else:
            with open(os.path.expanduser(name), "rb") as stream:
                content = stream.read(LIMIT + 1)
    except FileNotFoundError:
        raise _bad(f"no such file: {name}", "write what you want into a file; `swarm-tui init` gives one") from None
    except OSError as error:
        raise _bad(f"{told} cannot be read: {os.strerror(error.errno or 0)}", "give a readable text file") from error
    if len(content) > LIMIT:
        raise _bad(f"{told} is larger than {LIMIT >> 20} MiB", "keep it to a few pages; details belong into the repo")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _bad(f"{told} is not UTF-8 text", "give a text file such as INTENT.md") from None
    if "\0" in text:
        raise _bad(f"{told} is a binary file", "give a text file such as INTENT.md")
    return stated(text, told)


def stated(text: str, told: str) -> str:
    """What a person wrote, without their comments. Raises SwarmError (intent) when that is nothing, or the example."""
    words = without_comments(text)
    if not words:
        raise _bad(f"{told} is empty", "write what should exist when the work is done; `swarm-tui init` gives a start")
    example = (files("tui") / "templates" / "INTENT.md").read_text(encoding="utf-8")
    if words.split() == without_comments(example).split():
        raise _bad(f"{told} is still the example: say what you want", "replace its text with what should exist")
    return words + "\n"


def _bad(message: str, hint: str) -> SwarmError:
    return SwarmError(ErrorKind.INTENT, message, hint)
