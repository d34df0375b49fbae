"""The glyph, word and style of each state, the same on every pane."""

from typing import NamedTuple

from tui.bridge import Agent, AgentState, HandoffStatus, LandingState, RunState, TaskState
from tui.format.event_line import Tone


class Look(NamedTuple):
    glyph: str
    word: str
    style: str


AGENT = {
    AgentState.STARTING: Look("◌", "starting", "dim"),
    AgentState.THINKING: Look("●", "thinking", "thinking"),
    AgentState.ACTING: Look("▶", "acting", "acting"),
    AgentState.WAITING: Look("◔", "waiting", "waiting"),
    AgentState.PAUSED: Look("‖", "paused", "paused"),
    AgentState.DONE: Look("✓", "done", "done"),
    AgentState.FAILED: Look("✗", "failed", "failed"),
    AgentState.CANCELLED: Look("⊘", "cancelled", "cancelled"),
}


def look_of(agent: Agent) -> Look:
    """How an agent's state looks. While its subtree is paused the word says so, and the glyph shows the state."""
    look = AGENT[agent.state]
    return look._replace(word="paused", style="paused") if agent.paused and not agent.ended else look


TASK = {
    TaskState.QUEUED: Look("○", "queued", "dim"),
    TaskState.HELD: Look("⊠", "held", "paused"),
    TaskState.WORKING: Look("●", "working", "thinking"),
    TaskState.LANDING: Look("↥", "landing", "acting"),
    TaskState.LANDED: Look("✓", "landed", "done"),
    TaskState.UNCHANGED: Look("∅", "no change", "dim"),
    TaskState.FAILED: Look("✗", "failed", "failed"),
    TaskState.CANCELLED: Look("⊘", "cancelled", "cancelled"),
}
HANDOFF = {
    HandoffStatus.DONE: Look("✓", "done", "done"),
    HandoffStatus.PARTIAL: Look("◐", "partial", "paused"),
    HandoffStatus.FAILED: Look("✗", "failed", "failed"),
    HandoffStatus.CANCELLED: Look("⊘", "cancelled", "cancelled"),
}
LANDING = {
    LandingState.MERGED: Look("↥", "merged", "done"),
    LandingState.RESOLVED: Look("⤨", "resolved", "acting"),
    LandingState.CONFLICTED: Look("≠", "conflicted", "paused"),
    LandingState.EMPTY: Look("∅", "no change", "dim"),
    LandingState.REFUSED: Look("✗", "refused", "failed"),
}
RUN = {
    RunState.RUNNING: Look("●", "running", "done"),
    RunState.PAUSING: Look("‖", "pausing", "paused"),
    RunState.PAUSED: Look("‖", "paused", "paused"),
    RunState.FINISHED: Look("✓", "finished", "done"),
    RunState.STOPPED: Look("■", "stopped", "paused"),
    RunState.FAILED: Look("✗", "failed", "failed"),
}
TONE = {
    Tone.ROUTINE: Look(" ", "", "dim"),
    Tone.QUIET: Look("·", "", "dim"),
    Tone.PLAIN: Look("•", "", "text"),
    Tone.GOOD: Look("✓", "", "done"),
    Tone.WARN: Look("!", "", "paused"),
    Tone.BAD: Look("✗", "", "failed"),
}
