"""The findings that agents marked as worth sharing: kept for the planner they report to, told in its whole slice."""

import re

from engine.domain.handoff_facts import SharedFinding
from engine.domain.os_text import BLANK
from engine.domain.types import AgentId, Handoff
from engine.state.snapshot import Snapshot

MOST = 40
"""Findings that are kept for one planner, and that one agent is told: the newest."""
LINE = 200
"""Characters of one finding."""
_MARKUP = re.compile(r"^(?:[\s#>|=*~+-]|`{3,})+|`{3,}|~{3,}")


def share(s: Snapshot, handoff: Handoff, seq: int) -> None:
    """Add what a handoff shares, as the newest. A finding that is known already becomes the newest again."""
    if handoff.to_agent is None:
        return
    lines = [(line_of(found.text), found.seen is True) for found in handoff.text.found if found.share]
    new = {_key(text): SharedFinding(seq, text, seen) for text, seen in lines if text}
    if new:
        known = (each for each in s.shared_findings.get(handoff.to_agent, ()) if _key(each.text) not in new)
        s.shared_findings[handoff.to_agent] = (*known, *new.values())[-MOST:]


def shared_with(s: Snapshot, agent: AgentId) -> list[SharedFinding]:
    """What is shared in the slices that an agent is in, newest first."""
    found = [each for above in s.ancestors(agent) for each in s.shared_findings.get(above.id, ())]
    oldest_first = {_key(each.text): each for each in sorted(found, key=lambda each: each.seq)}
    return sorted(oldest_first.values(), key=lambda each: each.seq, reverse=True)[:MOST]


def line_of(text: str) -> str:
    """The text as one line that is no heading, quote or list item, and neither begins nor ends a block of code."""
    seen = "".join(char if char.isprintable() and char not in BLANK else " " for char in text[: 10 * LINE])
    line = " ".join(_MARKUP.sub("", seen.strip()).split())
    return line if len(line) <= LINE else f"{line[: LINE - 1].rstrip()}…"


def _key(text: str) -> str:
    return text.casefold().rstrip(" .")
