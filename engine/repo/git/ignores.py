"""Which untracked files git would ignore, decided from `.gitignore` texts alone.

The patterns come from agents: each name is matched in time linear in pattern and name, so none can hold the engine up.
"""

import fnmatch
import re
from functools import lru_cache

from msgspec import Struct


class Rule(Struct, frozen=True):
    """One line. `parts` are matched against the names from the `.gitignore`'s folder down; `**` stands for any."""

    parts: tuple[str, ...]
    ignore: bool
    folders_only: bool


Rules = tuple[Rule, ...]
MAX_BYTES = 256 << 10
MAX_PART = 1024
MAX_PARTS = 64
"""Names of one pattern, from the top down; one with more matches nothing."""


def parse(text: bytes) -> Rules:
    """The rules of one `.gitignore`, in its order. What is too large is not read."""
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


def decide(rules: Rules, names: tuple[str, ...], folder: bool) -> bool | None:
    """True: ignored, False: expressly not, None: no rule says. `names` is the path below the rules' folder."""
    for rule in reversed(rules):
        if (folder or not rule.folders_only) and _matches(rule.parts, names):
            return rule.ignore
    return None


def ignored(chain: tuple[Rules, ...], excludes: Rules, path: str, folder: bool) -> bool:
    """Whether git ignores an untracked path. `chain`: the rules of each folder on the way, from the top down."""
    names = tuple(path.split("/"))
    for depth in range(len(chain) - 1, -1, -1):
        said = decide(chain[depth], names[depth:], folder)
        if said is not None:
            return said
    return bool(decide(excludes, names, folder))


def _matches(parts: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """Whether the pattern covers the whole path; `reached` are the counts of names that its parts so far can take."""
    reached = {0}
    for at, part in enumerate(parts):
        if part == "**":
            # At the end it stands for one name at least.
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
    """A glob of one name. The translation of `fnmatch` does not backtrack across stars."""
    glob = re.sub(r"\\(.)", lambda found: f"[{found[1]}]" if found[1] in "*?[" else found[1], part).replace("[^", "[!")
    try:
        return re.compile(fnmatch.translate(glob))
    except re.error:
        return re.compile(r"(?!)")
