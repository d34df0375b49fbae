"""Definitions of link targets, `[label]: target "title"`: taken out before the blocks are read."""

import re

from mdhtml.context import Context
from mdhtml.rules import Lines, Pass

DEFINITION = re.compile(r"""\s{0,3}\[([^\[\]^][^\[\]]*)\]:\s*<?([^\s<>]+)>?(?:\s+"([^"]*)")?\s*$""")


def before(lines: Lines, context: Context) -> Lines:
    kept: Lines = []
    fenced = False
    for line in lines:
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        match = None if fenced else DEFINITION.match(line)
        if match is None:
            kept.append(line)
            continue
        label = " ".join(match[1].split()).casefold()
        context.references.setdefault(label, (match[2], match[3] or ""))
    return kept


RULE = Pass("reference definitions", 20, before=before)
