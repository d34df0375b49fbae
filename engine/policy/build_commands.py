"""Decides which commands are builds, by matching the simple commands in a shell line with the settings' globs."""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from posixpath import basename

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_NUMBER = re.compile(r"-?\d+(\.\d+)?[smhd]?")
_PREFIXES = frozenset({"env", "time", "nice", "ionice", "nohup", "timeout", "stdbuf", "exec", "command", "setsid"}) | {
    *("xargs", "sudo", "!", "{", "if", "then", "else", "elif", "do", "while", "until")
}
_WORD = re.compile(r"""(?:[^\s'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*"|['"\\])+""", re.DOTALL)
_TAKES_VALUE = {"nice": {"-n"}, "ionice": {"-c", "-n"}, "env": {"-u", "-C"}, "timeout": {"-k", "-s"}}
_RUNNERS = frozenset({"uv", "poetry", "pipenv", "pdm", "hatch", "rye"})
_SHELLS = frozenset({"sh", "bash", "dash", "zsh"})
_PYTHON = re.compile(r"python[\d.]*")


def is_build(command: str, patterns: Sequence[str]) -> bool:
    """Whether a command line, or any simple command in it, matches one of the globs.

    `cd x && CC=gcc nice make -j4 | tee log` is matched as `make -j4`. `/usr/bin/make`, `python -m pytest` and `uv run
    pytest` are also matched as the program that they run, and the text after `sh -c` as a command line.
    """
    written = command.strip()
    return _matches(written, patterns) or any(_matches(form, patterns) for form in forms(written))


def simple_commands(command: str) -> list[str]:
    """The parts between unquoted `;`, `&`, `|`, parentheses, backquotes and line ends, in order."""
    return [piece for piece, _ in commands_and_operators(command)]


def commands_and_operators(command: str) -> list[tuple[str, str]]:
    """The simple commands of a command line, in order, each with the operators that follow it, such as `&&` or `)|`."""
    found: list[tuple[str, str]] = []
    piece, quote, at = "", "", 0
    while at < len(command):
        character = command[at]
        redirects = character == "&" and (command[at - 1 : at] in ("<", ">") or command[at + 1 : at + 2] == ">")
        if character == "\\" and quote != "'":
            piece += command[at : at + 2]
            at += 1
        elif quote:
            piece += character
            quote = "" if character == quote else quote
        elif character in "'\"":
            piece += character
            quote = character
        elif character in ";&|()\n`" and not redirects:
            if piece.strip():
                found.append((piece.strip(), ""))
            if found:
                found[-1] = (found[-1][0], found[-1][1] + character)
            piece = ""
        else:
            piece += character
        at += 1
    return [*found, (piece.strip(), "")] if piece.strip() else found


def forms(command: str, depth: int = 0) -> Iterator[str]:
    """Each simple command without its prefixes, and its other forms."""
    for piece in simple_commands(command):
        words = _without_prefixes(_WORD.findall(piece))
        if not words:
            continue
        name, rest = basename(words[0].strip("'\"")), words[1:]
        yield " ".join(words)
        yield " ".join([name, *rest])
        if rest[:1] == ["-m"] and _PYTHON.fullmatch(name):
            yield " ".join(rest[1:])
        if rest[:1] == ["run"] and name in _RUNNERS:
            yield " ".join(rest[1:])
        if name in _SHELLS and depth < 3 and (script := re.search(r"\s-\w*c\s+(['\"])(.*)\1", piece, re.DOTALL)):
            yield from forms(script[2], depth + 1)


def _without_prefixes(words: list[str]) -> list[str]:
    """The words from the program's name on, without assignments, `env`, `time`, `nice -n 5` and the like before it."""
    at = 0
    prefix = ""
    while at < len(words):
        word = words[at]
        if word in _PREFIXES:
            prefix = word
        elif prefix and word in _TAKES_VALUE.get(prefix, ()):
            at += 1
        elif not (_ASSIGNMENT.match(word) or (prefix and (word.startswith("-") or _NUMBER.fullmatch(word)))):
            break
        at += 1
    return words[at:]


def _matches(form: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(form, pattern) for pattern in patterns)
