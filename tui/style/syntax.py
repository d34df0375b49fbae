"""Colours code by its language, a few lines at a time, when they are first looked at.

What is coloured may be hostile: only well-known languages are read, pieces are small, and a file on which the reading
takes long is shown without colours from then on.
"""

import time
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Token, _TokenType

CHUNK = 48
"""Lines that are read together."""
LONGEST_LINE = 400
"""Characters of a line that are read; the rest has no colours."""
LONGEST_S = 0.1
"""A chunk that takes longer than this is the last of its file."""

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
    """Characters from `start` to `end` of a line in one style."""

    start: int
    end: int
    style: str


def language_of(path: str) -> str:
    """The language that a file is written in by its name; empty when it is not one of those that are read."""
    name = PurePosixPath(path).name.lower()
    return _BY_NAME.get(name) or _BY_SUFFIX.get(name.rpartition(".")[2], "")


class Highlighter:
    """Reads the lines of one file. `parts` answers from a cache that is filled in chunks."""

    def __init__(self, path: str) -> None:
        language = language_of(path)
        self._lexer: Lexer | None = get_lexer_by_name(language, stripnl=False, ensurenl=False) if language else None

    def read(self, lines: Sequence[str]) -> list[list[StyledRange]]:
        """The parts of some lines that follow each other."""
        parts: list[list[StyledRange]] = [[] for _ in lines]
        if self._lexer is None:
            return parts
        begun = time.thread_time()
        row = column = 0
        for kind, value in self._lexer.get_tokens("\n".join(line[:LONGEST_LINE] for line in lines)):
            style = _style_of(kind)
            for number, piece in enumerate(value.split("\n")):
                if number:
                    row, column = row + 1, 0
                if style and piece and row < len(parts):
                    parts[row].append(StyledRange(column, column + len(piece), style))
                column += len(piece)
        if time.thread_time() - begun > LONGEST_S:
            self._lexer = None
        return parts


def _style_of(kind: _TokenType | None) -> str:
    while kind is not None:
        if kind in _STYLES:
            return _STYLES[kind]
        kind = kind.parent
    return ""
