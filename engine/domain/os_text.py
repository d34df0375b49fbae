r"""Turns what the operating system gives as bytes (names, output, arguments, variables) into text, and back.

In `engine/repo` and `engine/sandbox` a path is bytes or, as Python's functions take it, a string whose bytes that are
no UTF-8 are lone surrogates. Everywhere else (tools, events, settings, messages, the screen) it is what `path_text`
makes of it, so there are no lone surrogates to encode, and no control characters to execute.
"""

import re
import shlex
from typing import Protocol
from unicodedata import is_normalized

BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
"""Letters and marks that show nothing."""
_EMOJI_PARTS = "\u180b-\u180f\ufe00-\ufe0f\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef"
"""What the screen leaves out or changes, because terminals disagree about its width."""
_UNSEEN = re.compile(f"[{BLANK}{_EMOJI_PARTS}]")
_ESCAPED = r"x(?:[01][0-9a-f]|20|5c|7f|[89a-f][0-9a-f])"
_ESCAPE = re.compile(rb"\\(%s)" % _ESCAPED.encode(), re.IGNORECASE)
_LIKE_ESCAPE = re.compile(_ESCAPED, re.IGNORECASE)
_BYTE = r"x(?:5c|[89a-f][0-9a-f])"
_BYTE_ESCAPE = re.compile(rb"\\(%s)" % _BYTE.encode(), re.IGNORECASE)
_LIKE_BYTE = re.compile(rf"\\(?={_BYTE})", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")
_SIMPLE = re.compile("[!-\\[\\]-~]*")


class Pathlike(Protocol):
    """A `Path`."""

    def __fspath__(self) -> str: ...


def utf8_text(text: str) -> str:
    r"""The text without lone surrogates, which UTF-8 cannot hold: `\xHH` for a byte, `\uHHHH` for any other."""
    return text if text.isascii() else _SURROGATE.sub(_surrogate, text)


def output_text(data: bytes) -> str:
    r"""What a program printed, with `\xHH` for each byte that is not UTF-8."""
    return data.decode("utf-8", "backslashreplace")


# --- paths ---------------------------------------------------------------------------------------------------


def path_text(path: str | bytes | Pathlike) -> str:
    r"""The path as text that `path_bytes` reads back, and that survives being shown, stored, sent and normalised.

    Bytes that are not UTF-8, and characters that cannot be seen or told apart, are written as `\xHH`. A backslash stays
    as it is, unless it would read as such an escape.
    """
    name = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else str(path)
    return name if _SIMPLE.fullmatch(name) else "/".join(map(_part_text, name.split("/")))


def path_bytes(text: str) -> bytes:
    """The path that `path_text` wrote. Raises UnicodeEncodeError for what no path can be."""
    return _ESCAPE.sub(_byte, text.encode("utf-8", "surrogateescape"))


def path_str(text: str) -> str:
    """The path that `path_text` wrote, as Python's functions take it. Raises UnicodeEncodeError."""
    return path_bytes(text).decode("utf-8", "surrogateescape")


def shell_word(path: str | Pathlike) -> str:
    """The path as a word that can be pasted into a shell."""
    shown = path_text(path)
    if shown == str(path):
        return shlex.quote(shown)
    kept = (chr(byte) if 0x20 <= byte < 0x7F and byte not in b"\\'" else f"\\x{byte:02x}" for byte in path_bytes(shown))
    return f"$'{''.join(kept)}'"


def _part_text(part: str) -> str:
    """One name of a path."""
    written: list[str] = []
    tail = ""
    for at, char in enumerate(part):
        if char == "\\":
            seen = not _LIKE_ESCAPE.match(part, at + 1)
        elif char == " ":
            seen = 0 < at < len(part) - 1 and part[at - 1] != " "
        else:
            seen = (
                char.isprintable() and not _UNSEEN.match(char) and (char.isascii() or is_normalized("NFC", tail + char))
            )
        written.append(char if seen else _escaped(char))
        tail = written[-1] if char.isascii() or not seen else tail + char
    return "".join(written)


def _escaped(char: str) -> str:
    errors = "surrogateescape" if "\udc80" <= char <= "\udcff" else "surrogatepass"
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", errors))


def _surrogate(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def _byte(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[1][1:].decode())


# --- contents of files ---------------------------------------------------------------------------------------


def content_text(data: bytes) -> str:
    r"""A file's content. In one that is not UTF-8, `\xHH` stands for each byte that is not."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return utf8_text(_LIKE_BYTE.sub(r"\\x5c", data.decode("utf-8", "surrogateescape")))


def content_bytes(text: str, file: bytes) -> bytes:
    """The text as a part of a file's content, as `content_text` showed it."""
    data = utf8_text(text).encode()
    try:
        file.decode()
    except UnicodeDecodeError:
        return _BYTE_ESCAPE.sub(_byte, data)
    return data
