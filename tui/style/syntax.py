"""Highlights code, a few lines at a time, when they are first shown.

Code may be hostile, so only well-known languages are highlighted, in small chunks, and highlighting stops for a file on
which it is slow.
"""

import time
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Token, _TokenType

CHUNK = 48
"""Lines that are highlighted together."""
LONGEST_LINE = 400
"""Characters of a line that are highlighted."""
LONGEST_S = 0.1
"""If a chunk takes longer than this, it is the last one of its file."""

_LANGUAGES = {
    "bash": "sh bash zsh",
    "c": "c h",
    "cpp": "cc cpp cxx hh hpp",
    "csharp": "cs",
    "css": "css",
    "go": "go",
    "haskell": "hs",
    "html": "html htm",
    "ini": "ini cfg",
    "java": "java",
    "javascript": "js jsx mjs cjs",
    "json": "json",
    "kotlin": "kt kts",
    "lua": "lua",
    "markdown": "md markdown",
    "php": "php",
    "python": "py pyi",
    "ruby": "rb",
    "rust": "rs",
    "scala": "scala",
    "sql": "sql",
    "swift": "swift",
    "toml": "toml",
    "typescript": "ts tsx",
    "xml": "xml svg",
    "yaml": "yaml yml",
    "zig": "zig",
}
_BY_SUFFIX = {suffix: language for language, suffixes in _LANGUAGES.items() for suffix in suffixes.split()}
_BY_NAME = {"makefile": "make", "gnumakefile": "make", "dockerfile": "docker"}
_STYLES: dict[_TokenType, str] = {
    Token.Comment: "comment italic",
    Token.Keyword: "keyword",
    Token.Keyword.Type: "type",
    Token.Operator.Word: "keyword",
    Token.Literal.String: "string",
    Token.Literal.Number: "number",
    Token.Name.Function: "function",
    Token.Name.Class: "type",
    Token.Name.Builtin: "type",
    Token.Name.Decorator: "function",
    Token.Name.Tag: "keyword",
    Token.Name.Attribute: "function",
    Token.Generic.Heading: "keyword bold",
    Token.Generic.Subheading: "keyword bold",
    Token.Generic.Strong: "bold",
    Token.Generic.Emph: "italic",
}


class StyledRange(NamedTuple):
    """The characters from `start` to `end` of a line, in one style."""

    start: int
    end: int
    style: str


def language_of(path: str) -> str:
    """The language of a file, by its name; empty if it is not highlighted."""
    name = PurePosixPath(path).name.lower()
    return _BY_NAME.get(name) or _BY_SUFFIX.get(name.rpartition(".")[2], "")


class Highlighter:
    """Highlights the lines of one file."""

    def __init__(self, path: str) -> None:
        language = language_of(path)
        self._lexer: Lexer | None = get_lexer_by_name(language, stripnl=False, ensurenl=False) if language else None

    def highlight(self, lines: Sequence[str]) -> list[list[StyledRange]]:
        """The styled ranges of each of some consecutive lines."""
        ranges: list[list[StyledRange]] = [[] for _ in lines]
        if self._lexer is None:
            return ranges
        begun = time.thread_time()
        row = column = 0
        for kind, value in self._lexer.get_tokens("\n".join(line[:LONGEST_LINE] for line in lines)):
            style = _style_of(kind)
            for number, piece in enumerate(value.split("\n")):
                if number:
                    row, column = row + 1, 0
                if style and piece and row < len(ranges):
                    ranges[row].append(StyledRange(column, column + len(piece), style))
                column += len(piece)
        if time.thread_time() - begun > LONGEST_S:
            self._lexer = None
        return ranges


def _style_of(kind: _TokenType | None) -> str:
    while kind is not None:
        if kind in _STYLES:
            return _STYLES[kind]
        kind = kind.parent
    return ""
