"""Keeps an agent on course: counts its steps, reminds it of its goal, nudges it out of repetition, then gives up."""

import hashlib
import re
from collections import Counter

from engine.agents.openings import reminder_of
from engine.agents.transcript import Transcript
from engine.domain.conversation import Message, StopReason, ToolCall
from engine.domain.errors import AttemptFailed
from engine.domain.types import Pathology
from engine.policy.pathologies import found

SILENT_TURNS = 3
"""Turns in a row without a tool call that get a nudge; one more fails the attempt."""
MALFORMED_TURNS = 3
"""Turns in a row with nothing but malformed calls that fail the attempt."""
REPEATS_NUDGED = 3
REPEATS_FAILED = 6
"""How often the same call gets the same answer until it is nudged, and until the attempt fails."""
GOAL_SHOWN = 6_000
"""Characters of the goal that a reminder repeats."""


class Nudges:
    """Watches one agent. Any method may raise AttemptFailed: the agent should not continue."""

    def __init__(self, transcript: Transcript, max_steps: int) -> None:
        self._transcript = transcript
        self._max_steps = max_steps
        self._malformed = 0
        self._repeats: Counter[bytes] = Counter()

    def start_over(self) -> None:
        """Reset the step count: the agent continues with a message that it has waited for."""
        self._transcript.conversation.start_over()

    def messages_read(self) -> None:
        """Allow earlier calls again: new messages may be the reason for them."""
        self._repeats.clear()

    def step(self) -> None:
        """Count the next model call, and add the reminders that are due."""
        transcript, host = self._transcript, self._transcript.host
        steps = transcript.conversation.steps + 1
        if steps > self._max_steps:
            self._note_no_handoff(f"{self._max_steps} steps without a handoff", limit=True)
            raise AttemptFailed(f"no handoff within {self._max_steps} steps")
        self._remind_of_goal(transcript.conversation.turns + 1)
        left = min(host.settings.budget.grace_steps, self._max_steps // 10)
        if transcript.agent.task is not None and self._max_steps - steps == left - 1:
            self._note_no_handoff(f"{steps} of {self._max_steps} steps without a handoff")
            transcript.remind("hand_off_now", limit=f"{self._max_steps} steps per attempt", steps=left)

    def observe(self, message: Message, stop: StopReason | None, malformed: list[str]) -> None:
        """Count turns in a row without a valid tool call. `malformed`: what is wrong with each invalid one."""
        calls = len(message.calls)
        if calls and stop is not StopReason.LENGTH:
            # However many calls a turn makes, it counts once: the model only sees the errors after the turn.
            self._malformed = self._malformed + 1 if len(malformed) == calls else 0
            if self._malformed >= MALFORMED_TURNS:
                raise AttemptFailed(f"{self._malformed} turns in a row of malformed tool calls: {malformed[-1]}")
            return
        silent = self._transcript.conversation.silent
        if silent > SILENT_TURNS:
            raise AttemptFailed(f"{silent} turns in a row called no tool")
        self._transcript.remind("nudge_cut" if stop is StopReason.LENGTH else "nudge_no_call")

    def call_answered(self, call: ToolCall, answer: str, *, writes: bool) -> None:
        """Count how often a call has got the same answer since the agent last changed something."""
        outcome = re.sub(r"\A(.*?) after [\d.]+ s.*", r"\1", answer)
        if call.tool == "status":  # ages and what is used change with every look
            outcome = re.sub(r"[\d.,]+ (s|min|h|tokens|model calls|USD|of)\b", r"\1", answer)
        key = hashlib.sha256("\0".join((call.tool, call.arguments, outcome)).encode()).digest()
        if writes and not self._repeats[key]:
            self._repeats.clear()
        self._repeats[key] += 1
        times = self._repeats[key]
        if times >= REPEATS_FAILED:
            raise AttemptFailed(f"the same call to {call.tool} got the same answer {times} times")
        if times >= REPEATS_NUDGED:
            self._transcript.remind("nudge_repeat", tool=call.tool, times=times)

    def _remind_of_goal(self, turn: int) -> None:
        """Ask the agent to reflect from time to time, and less often show it its goal again."""
        front, agent = self._transcript.prompt.front, self._transcript.agent
        if front.align_every and turn % front.align_every == 0:
            intent = self._transcript.host.snapshot.intent
            asked = intent.text if agent.parent is None and intent is not None else agent.goal
            if agent.task is not None:
                asked = reminder_of(self._transcript.host.snapshot.tasks[agent.task])
            self._transcript.remind("align", steps=turn, asked=asked.strip()[:GOAL_SHOWN])
        elif front.reflect_every and turn % front.reflect_every == 0:
            self._transcript.remind("reflect", steps=turn)

    def _note_no_handoff(self, detail: str, *, limit: bool = False) -> None:
        """Record that an agent works on a task without handing it off."""
        transcript = self._transcript
        if transcript.agent.task is not None:
            finding = found(transcript.host.snapshot, transcript.agent_id, Pathology.NEVER_MERGES, detail, limit=limit)
            transcript.host.record(finding.draft)
