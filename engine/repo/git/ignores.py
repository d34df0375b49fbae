"""Decides which untracked files git would ignore, from the text of `.gitignore` files alone.

Agents write the patterns, so a match takes time linear in the pattern and the name: no pattern can stall the engine.
"""

import fnmatch
import re
from functools import lru_cache

from msgspec import Struct


class Rule(Struct, frozen=True):
    """One line of a `.gitignore`. `parts` match the names below its folder, one each; `**` matches any number."""

    parts: tuple[str, ...]
    ignore: bool
    folders_only: bool


Rules = tuple[Rule, ...]
MAX_BYTES = 256 << 10
MAX_PART = 1024
MAX_PARTS = 64
"""Path parts in one pattern; a pattern with more matches nothing."""


def parse_rules(text: bytes) -> Rules:
    """The rules of one `.gitignore`, in order. Text beyond MAX_BYTES is not read."""
    rules = []
    for raw in text[:MAX_BYTES].decode("utf-8", "surrogateescape").split("\n"):
        rule = _parse_line(raw.rstrip("\r"))
        if rule is not None:
            rules.append(rule)
    return tuple(rules)


def _parse_line(line: str) -> Rule | None:
    while line.endswith(" ") and not line.endswith("\\ "):
        line = line[:-1]
    ignore = True
    if line.startswith("#") or not line:
        return None
    if line.startswith("!"):
        ignore, line = False, line[1:]
    folders_only = line.endswith("/")
    line = line[:-1] if folders_only else line
    if not line or len(line) > MAX_PART or line.endswith("\\"):
        return None
    anchored = "/" in line
    parts = line.removeprefix("/").split("/")
    if not anchored:
        parts = ["**", *parts]
    if len(parts) > MAX_PARTS:
        return None
    merged = [part for at, part in enumerate(parts) if not (part == "**" and at and parts[at - 1] == "**")]
    return Rule(tuple(merged), ignore, folders_only)


def match_rules(rules: Rules, names: tuple[str, ...], folder: bool) -> bool | None:
    """True: ignored, False: re-included, None: no rule matches. `names` is the path below the rules' folder."""
    for rule in reversed(rules):
        if (folder or not rule.folders_only) and _matches(rule.parts, names):
            return rule.ignore
    return None


def is_ignored(chain: tuple[Rules, ...], excludes: Rules, path: str, folder: bool) -> bool:
    """Whether git ignores an untracked path. `chain` has the rules of each folder above it, from the top down."""
    names = tuple(path.split("/"))
    for depth in range(len(chain) - 1, -1, -1):
        verdict = match_rules(chain[depth], names[depth:], folder)
        if verdict is not None:
            return verdict
    return bool(match_rules(excludes, names, folder))


def _matches(parts: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """Whether the pattern matches the whole path. `reached` holds how many names the parts so far can consume."""
    reached = {0}
    for at, part in enumerate(parts):
        if part == "**":
            # A trailing `**` matches at least one name.
            least = min(reached) + (1 if at == len(parts) - 1 else 0)
            reached = set(range(least, len(names) + 1))
        else:
            match = _compiled(part).match
            reached = {count + 1 for count in reached if count < len(names) and match(names[count])}
        if not reached:
            return False
    return len(names) in reached


@lru_cache(maxsize=8192)
def _compiled(part: str) -> re.Pattern[str]:
    """A glob for one name. The regular expressions of `fnmatch` do not backtrack across stars."""
    glob = re.sub(r"\\(.)", lambda found: f"[{found[1]}]" if found[1] in "*?[" else found[1], part).replace("[^", "[!")
    try:
        return re.compile(fnmatch.translate(glob))
    except re.error:
        return re.compile(r"(?!)")
