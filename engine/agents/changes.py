"""Messages about a changed intent or slice: what has changed, then what is under way, then the whole text."""

import difflib
import re

from engine.domain.types import Agent, AgentId, Intent
from engine.policy.planner_status import PlannerStatus
from engine.runtime.recorder import RunRecorder

LONG = 2_000
"""Characters from which a text with little left of the old one is not compared with it."""
ALIKE = 0.2
"""The share of equal lines below which little is left."""
ANYWHERE = "whatever the goal requires"
SENTENCE_END = re.compile(r"(?<=[.!?;:]) +")


def intent_changed(run: RunRecorder, planner: AgentId, old: Intent, text: str) -> str:
    """For the root planner: the user has written a new version of the intent."""
    return run.prompts["intent_changed"].render(
        version=old.version + 1,
        difference=difference(old.text, text),
        under_way=under_way(run, planner),
        text=text.strip(),
    )


def slice_changed(run: RunRecorder, child: Agent, goal: str, scope: str, message: str, version: int) -> str:
    """For a subplanner: its planner tells it what has changed."""
    return (
        run.prompts["slice_changed"]
        .render(
            version=version,
            message=message.strip(),
            changed=_changed(child, goal, scope),
            under_way=under_way(run, child.id),
            slice=_slice(child, goal, scope),
        )
        .strip()
    )


def slice_changed_by_user(run: RunRecorder, child: Agent, goal: str, scope: str) -> str:
    """For a subplanner: the user has changed its slice."""
    return (
        run.prompts["rescoped"]
        .render(
            changed=_changed(child, goal, scope), under_way=under_way(run, child.id), slice=_slice(child, goal, scope)
        )
        .strip()
    )


def under_way(run: RunRecorder, planner: AgentId) -> str:
    status = PlannerStatus(run.settings, run.snapshot, planner, run.clock.now())
    return status.under_way() or "Nothing is under way."


def difference(old: str, new: str) -> str:
    """The lines of a text that have changed, as a diff; of longer lines, only the sentences that have changed."""
    before, after = _sentences(old), _sentences(new)
    if len(new) > LONG and difflib.SequenceMatcher(None, before, after, autojunk=False).ratio() < ALIKE:
        return "Little of the old text is left: read all of the new one."
    lines = ["@@" if line.startswith("@@") else line for line in difflib.unified_diff(before, after, n=1, lineterm="")][
        2:
    ]
    return "\n".join(("```diff", *lines, "```")) if lines else "Only blank space at its ends."


def _sentences(text: str) -> list[str]:
    return [sentence for line in text.strip().splitlines() for sentence in SENTENCE_END.split(line)]


def _changed(child: Agent, goal: str, scope: str) -> str:
    """What has changed in a slice."""
    parts = []
    if goal != child.goal:
        parts.append(f"What changed in your goal:\n\n{difference(child.goal, goal)}")
    if scope != child.scope:
        parts.append(f"Your scope is now: {scope or ANYWHERE} (before: {child.scope or ANYWHERE})")
    return "\n\n".join(parts) or "Your goal and scope are unchanged."


def _slice(child: Agent, goal: str, scope: str) -> str:
    """The whole slice, if its goal has changed."""
    return f"## Your whole slice\n\n{goal.strip()}\n\nScope: {scope or ANYWHERE}" if goal != child.goal else ""
