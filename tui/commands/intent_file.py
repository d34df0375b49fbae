"""Reads the intent that a person gives to a command, from a file or stdin, and rejects what is not one."""

import os
import sys
from importlib.resources import files

from tui.bridge import ErrorKind, SwarmError, path_text, without_comments

LIMIT = 1 << 20
"""Bytes. A longer text would fill a model's context before the work begins."""


def read_intent(name: str) -> str:
    """The text of the file `name`, or of stdin for `-`. Raises SwarmError (intent) if it is not an intent."""
    source = "the intent on stdin" if name == "-" else f"the intent {path_text(name)}"
    try:
        if name == "-":
            content = sys.stdin.buffer.read(LIMIT + 1)
        else:
            with open(os.path.expanduser(name), "rb") as stream:
                content = stream.read(LIMIT + 1)
    except FileNotFoundError:
        raise _bad(
            f"no such file: {path_text(name)}", "write what you want into a file; `swarm-tui init` creates an example"
        ) from None
    except OSError as error:
        raise _bad(f"cannot read {source}: {os.strerror(error.errno or 0)}", "give a readable text file") from error
    if len(content) > LIMIT:
        raise _bad(
            f"{source} is larger than {LIMIT >> 20} MiB", "keep it to a few pages; details belong in the repository"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _bad(f"{source} is not UTF-8 text", "give a text file such as INTENT.md") from None
    if "\0" in text:
        raise _bad(f"{source} is a binary file", "give a text file such as INTENT.md")
    return stated(text, source)


def stated(text: str, source: str) -> str:
    """What a person wrote, without comments. Raises SwarmError (intent) if it is empty or still the example."""
    words = without_comments(text)
    if not words:
        raise _bad(
            f"{source} is empty", "write what should exist when the work is done; `swarm-tui init` creates an example"
        )
    example = (files("tui") / "templates" / "INTENT.md").read_text(encoding="utf-8")
    if words.split() == without_comments(example).split():
        raise _bad(f"{source} is still the example", "replace its text with what you want")
    return words + "\n"


def _bad(message: str, hint: str) -> SwarmError:
    return SwarmError(ErrorKind.INTENT, message, hint)
