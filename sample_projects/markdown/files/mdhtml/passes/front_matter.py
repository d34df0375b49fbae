"""Front matter: `key: value` lines between two lines of dashes at the very beginning."""

from mdhtml.context import Context
from mdhtml.rules import Lines, Pass

FENCE = "---"


def before(lines: Lines, context: Context) -> Lines:
    if not lines or lines[0].rstrip() != FENCE:
        return lines
    for end in range(1, len(lines)):
        if lines[end].rstrip() == FENCE:
            return lines[end + 1 :]
        key, colon, value = lines[end].partition(":")
        if not colon or not key.strip():
            break
        context.facts[key.strip()] = value.strip()
    context.facts.clear()
    return lines


RULE = Pass("front matter", 10, before=before)
