"""The scope of a task or a slice: globs, as in `.gitignore`, that its changes should stay within; a guide."""

import re
from functools import lru_cache

import pathspec

HOW = "scope takes globs such as src/parser/**, tests/parser/**; put words into the goal"

_BETWEEN = re.compile(r"(?:,|(?<!\\)\s)+")
_QUOTES = "`'\""
_BULLETS = frozenset("-•")
_OF_A_PATH = re.compile(r"[/*?\[\\_]|^[!.]|\w[.-]\w")
"""What a word has that is a glob or a file's name."""
_ANYTHING = frozenset({"*", "**", "/", "/*", "/**", "**/*"})
_VAGUE = frozenset({"all", "any", "anything", "anywhere", "everything", "everywhere", "none", "nothing", "whatever"})


@lru_cache(maxsize=1_024)
def globs(scope: str) -> tuple[str, ...]:
    """The globs in a scope, which are separated by commas or white space; none if it is words."""
    return () if scope_fault(scope) else _globs(scope)


def scope_fault(scope: str) -> str:
    """Why a text is no scope, and what to write instead; empty if it is one. A glob need not match anything yet."""
    found = _globs(scope)
    words = [glob for glob in found if not _OF_A_PATH.search(glob) and not (glob.isascii() and glob.isupper())]
    alone = len(found) == len(words) == 1 or not re.search(r"\S[^\S\n]+\S", re.sub(r",\s*", ",", scope.strip()))
    if any("{" in glob for glob in found):
        reason = "it has braces, which such globs lack"
    elif words and (not alone or any(word.lower().strip(".:;") in _VAGUE for word in words)):
        reason = f"`{' '.join(words[:3])}` is no glob"
    else:
        try:
            _patterns(found)
            return ""
        except (ValueError, re.error):  # such as [z-a]
            reason = "it has a glob that cannot be read"
    return f"{reason}: {HOW}"


def strays(scope: str, paths: tuple[str, ...]) -> tuple[str, ...]:
    """The paths outside a scope; none if the scope is empty, or words, as those of older runs may be."""
    if not (found := globs(scope)):
        return ()
    inside = _patterns(found)
    return tuple(path for path in paths if not inside.match_file(path))


def claims(scope: str, path: str) -> bool:
    """Whether a scope names this path, rather than anything."""
    return bool(globs(scope)) and _ANYTHING.isdisjoint(globs(scope)) and not strays(scope, (path,))


@lru_cache(maxsize=256)
def _patterns(found: tuple[str, ...]) -> pathspec.GitIgnoreSpec:
    """Raises ValueError and re.error."""
    return pathspec.GitIgnoreSpec.from_lines(found)


def _globs(scope: str) -> tuple[str, ...]:
    words = (word.strip(_QUOTES).removeprefix("./") for word in _BETWEEN.split(scope))
    return tuple(word for word in words if word and word not in _BULLETS)
