"""Events in a person's words: one short line each, made once, on the engine's side."""

from collections.abc import Callable
from typing import Any

from tui import bridge as b
from tui.bridge import Event, LandingState
from tui.format.event_line import EventLine, Tone
from tui.format.numbers import count, dollars, size
from tui.format.text import one_line

_LONGEST = 1_000

Words = tuple[Tone, str]
_TELL: dict[type, Callable[[Any], Words]] = {}


def describe(event: Event) -> EventLine:
    """The event's line."""
    tone, text = _TELL[type(event.body)](event.body)
    return EventLine(event.seq, event.at, event.kind, tone, one_line(text[:_LONGEST]), event.agent, event.task)


def _took_over(started: b.EpochStarted) -> str:
    """Who works on the run from here on, and what the sandbox it found does not promise."""
    short = (f"not guaranteed: {promise}" for promise in started.not_guaranteed)
    return "; ".join((f"process {started.pid} took the run; sandbox {started.sandbox_level}", *short))


def load_limit(limit: b.LoadLimit) -> str:
    """What the governor allows, in one line."""
    workers = "any number of" if limit.workers is None else "no" if limit.workers == 0 else str(limit.workers)
    return f"the governor allows {workers} workers and {limit.builds} builds at once: {limit.reason}"


def _tells(kind: type) -> Callable[[Callable[[Any], Words]], Callable[[Any], Words]]:
    def register(tell: Callable[[Any], Words]) -> Callable[[Any], Words]:
        _TELL[kind] = tell
        return tell

    return register


_MARKS = {"room": "has room again", "near": "is nearly used up", "reached": "is used up"}

_tells(b.RunCreated)(lambda e: (Tone.GOOD, f"run created on {e.branch or 'a detached head'} at {e.base[:10]}"))
_tells(b.EpochStarted)(lambda e: (Tone.QUIET, _took_over(e)))
_tells(b.WorkersLimited)(
    lambda e: (
        Tone.WARN if e.by == "governor" else Tone.PLAIN,
        f"workers limited to {e.workers} by {e.by}{': ' + e.reason if e.reason else ''}",
    )
)
_tells(b.BudgetMarked)(
    lambda e: (
        Tone.GOOD if e.mark == "room" else Tone.WARN,
        f"the budget of {e.part} {_MARKS[e.mark]}: {e.limit}",
    )
)
_tells(b.Warned)(lambda e: (Tone.WARN, e.text))
_tells(b.AgentsSampled)(lambda e: (Tone.ROUTINE, f"measured: {len(e.uses)} agents run commands"))
_tells(b.LoadLimited)(lambda e: (Tone.WARN, load_limit(e.limit)))
_tells(b.Sampled)(lambda e: (Tone.ROUTINE, f"measured: {size(e.sample.memory)} in use, processor {e.sample.cpu:.0f}%"))
_tells(b.IntentVersioned)(lambda e: (Tone.GOOD, f"intent version {e.intent.version} by {e.intent.author}"))
_tells(b.MessageQueued)(lambda e: (Tone.WARN if e.message.source == "steer" else Tone.QUIET, _message(e.message)))
_tells(b.AgentSpawned)(lambda e: (Tone.PLAIN, f"spawned {e.spawned.role}: {e.spawned.title}"))
_tells(b.SubtreePaused)(lambda e: (Tone.WARN, f"{'frozen' if e.freeze else 'paused'} by {e.by}"))
_tells(b.SubtreeResumed)(lambda e: (Tone.GOOD, f"resumed by {e.by}"))
_tells(b.SubtreeLimited)(
    lambda e: (Tone.PLAIN, "workers no longer limited" if e.workers is None else f"workers limited to {e.workers}")
)
_tells(b.PriorityChanged)(lambda e: (Tone.PLAIN, f"priority {e.priority:+}"))
_tells(b.ModelChanged)(lambda e: (Tone.PLAIN, f"model is now {e.model}"))
_tells(b.Rescoped)(lambda e: (Tone.PLAIN, f"new scope: {e.goal}"))
_tells(b.ScratchpadRewritten)(lambda e: (Tone.QUIET, f"scratchpad version {e.version}"))
_tells(b.ModelCallRetried)(lambda e: (Tone.WARN, f"model call again in {e.wait_s:.1f} s: {e.reason}"))
_tells(b.AnswersDropped)(lambda e: (Tone.QUIET, f"old tool answers dropped, {e.kept} kept"))
_tells(b.ContextCompacted)(lambda e: (Tone.PLAIN, "context compacted"))
_tells(b.ToolStarted)(lambda e: (Tone.QUIET, f"{e.tool} {e.target}"))
_tells(b.TaskQueued)(lambda e: (Tone.PLAIN, f"task queued: {e.queued.spec.title}"))
_tells(b.TaskStarted)(lambda e: (Tone.PLAIN, f"task started, attempt {e.attempt}"))
_tells(b.TaskRequeued)(lambda e: (Tone.WARN, f"task queued again: {e.reason}"))
_tells(b.TaskUnwanted)(lambda e: (Tone.WARN, f"taken back while it lands: {e.reason}"))
_tells(b.LandingStarted)(lambda e: (Tone.QUIET, f"landing {e.change[:10]}"))
_tells(b.PathologySeen)(
    lambda e: (
        Tone.BAD if e.remedy == "limit" else Tone.WARN,
        f"{e.pathology.replace('_', ' ')} ({e.remedy}): {e.detail}",
    )
)
_tells(b.FailureNoted)(lambda e: (Tone.ROUTINE, f"met a failure: {e.failure}"))
_tells(b.FailureShared)(lambda e: (Tone.WARN, f"{e.agents} agents met the same failure: {e.failure}"))
_tells(b.Pivoted)(lambda e: (Tone.WARN, f"changes course: {e.reason}"))
_tells(b.BreakTraced)(lambda e: (Tone.WARN, f"trunk broke: {_suspects(e.broken)}"))
_tells(b.FixupsExhausted)(lambda e: (Tone.BAD, f"{e.fixups} fixups left trunk red: its planners are told"))
_tells(b.HandoffResolved)(lambda e: (Tone.PLAIN, f"handoff {'resolved' if e.resolved else 'to be read again'}"))
_tells(b.GreenMoved)(lambda e: (Tone.GOOD, f"green is at {e.commit[:10]}"))


@_tells(b.RunStateChanged)
def _(e: b.RunStateChanged) -> Words:
    tone = {b.RunState.FAILED: Tone.BAD, b.RunState.RUNNING: Tone.GOOD, b.RunState.FINISHED: Tone.GOOD}
    return tone.get(e.state, Tone.WARN), f"run {e.state}{': ' + e.reason if e.reason else ''}"


@_tells(b.AgentStateChanged)
def _(e: b.AgentStateChanged) -> Words:
    match e.state:
        case b.AgentState.FAILED:
            return Tone.BAD, f"agent failed: {e.reason}"
        case b.AgentState.CANCELLED:
            return Tone.WARN, f"agent cancelled: {e.reason}"
        case b.AgentState.DONE:
            return Tone.GOOD, "agent done"
        case b.AgentState.PAUSED | b.AgentState.WAITING:
            return Tone.QUIET, f"{e.state} {e.doing}"
        case _:
            return Tone.ROUTINE, f"{e.state} {e.doing}"  # shows in the tree, and with the turn or tool that follows


@_tells(b.TurnTaken)
def _(e: b.TurnTaken) -> Words:
    said = e.message.text or ", ".join(call.tool for call in e.message.calls)
    usage = f"{count(e.usage.input)} in, {count(e.usage.output)} out, {dollars(e.usage.usd)}"
    return Tone.QUIET, f"turn: {said[:160]} ({usage})"


@_tells(b.ToolFinished)
def _(e: b.ToolFinished) -> Words:
    if e.state is b.ToolCallState.OK:
        return (Tone.ROUTINE if e.wall_s < 1 else Tone.QUIET), f"{e.tool} took {e.wall_s:.1f} s"
    return Tone.WARN, f"{e.tool} {e.state}: {e.answer[:160]}"


@_tells(b.TaskEnded)
def _(e: b.TaskEnded) -> Words:
    tone = {"landed": Tone.GOOD, "failed": Tone.BAD}.get(e.state, Tone.WARN)
    return tone, f"task {e.state}{': ' + e.reason if e.reason not in ('', 'done') else ''}"


@_tells(b.LandingFinished)
def _(e: b.LandingFinished) -> Words:
    landing = e.landing
    if landing.state is LandingState.CONFLICTED:
        return Tone.WARN, f"conflict in {', '.join(landing.conflicts)}"
    if landing.state is LandingState.REFUSED:
        return Tone.BAD, f"landing refused: {landing.reason}"
    return Tone.GOOD, f"landing {landing.state}{f': {_files(len(landing.paths))}' if landing.paths else ''}"


@_tells(b.HandedOff)
def _(e: b.HandedOff) -> Words:
    text = e.handoff.text
    tone = {"done": Tone.GOOD, "failed": Tone.BAD}.get(text.status, Tone.WARN)
    return tone, f"handoff {text.status}: {text.summary}"


@_tells(b.CheckFinished)
def _(e: b.CheckFinished) -> Words:
    verdict = "passed" if e.check.passed else "failed"
    tone = Tone.GOOD if e.check.passed else Tone.BAD
    return tone, f"check {verdict} on {e.check.commit[:10]} in {e.check.wall_s:.1f} s"


@_tells(b.Published)
def _(e: b.Published) -> Words:
    if e.left_alone:
        return Tone.WARN, f"not published: {e.left_alone}"
    return Tone.ROUTINE, f"published trunk {e.trunk[:10]}{f' and green {e.green[:10]}' if e.green else ''}"


def _message(message: b.InboxMessage) -> str:
    """A handoff was told in full by who handed it off: here it is named."""
    text = message.text
    if message.source == "handoff":
        text = text.lstrip().partition("\n")[0].removeprefix("# Handoff: ")
    return f"{message.source}: {text}"


def _files(number: int) -> str:
    return f"{number} file{'' if number == 1 else 's'}"


def _suspects(broken: b.Break) -> str:
    names = ", ".join(commit[:10] for commit in broken.suspects)
    return f"by {names}" if len(broken.suspects) == 1 else f"by one of {names}"
