"""Describes each event in one short line of text. The engine's thread makes the line, once for each event."""

from collections.abc import Callable
from typing import Any

from tui import bridge as b
from tui.bridge import Event, LandingState, events
from tui.format.event_line import EventLine, Tone
from tui.format.numbers import count, counted, dollars, size
from tui.format.text import one_line

_LONGEST = 1_000

Words = tuple[Tone, str]
_DESCRIBE: dict[type, Callable[[Any], Words]] = {}

PATHOLOGIES = {
    b.Pathology.SLEEPS: "waiting for nothing",
    b.Pathology.DOES_THE_WORK: "planner edited files",
    b.Pathology.ONE_AT_A_TIME: "tasks spawned one at a time",
    b.Pathology.CLAIMS_COMPLETION: "said done too early",
    b.Pathology.NEVER_MERGES: "tasks that land nothing",
    b.Pathology.SPAWNS_WITHOUT_END: "too many agents spawned",
    b.Pathology.LEAVES_SCOPE: "edited outside its scope",
    b.Pathology.PILES_UP: "repeated failure",
}
REMEDIES = {b.Remedy.NUDGE: "agent told", b.Remedy.LIMIT: "blocked", b.Remedy.TOLD: "planner told"}
_BUDGETS = {"room": "has room again", "near": "is nearly used up", "reached": "is used up"}
_AUTHORS = {"person": "a person", "governor": "the governor", "settings": "the settings", "planner": "its planner"}


def describe(event: Event) -> EventLine:
    """The event's line."""
    tone, text = _DESCRIBE[type(event.body)](event.body)
    return EventLine(event.seq, event.at, event.kind, tone, one_line(text[:_LONGEST]), event.agent, event.task)


def load_limit(limit: b.LoadLimit) -> str:
    """What the governor allows, in one line."""
    builds = counted(limit.builds, "build")
    if limit.workers is None:
        return f"governor: at most {builds} at once: {limit.reason}"
    return f"governor: at most {counted(limit.workers, 'worker')} and {builds} at once: {limit.reason}"


def _describes(kind: type) -> Callable[[Callable[[Any], Words]], Callable[[Any], Words]]:
    def register(words: Callable[[Any], Words]) -> Callable[[Any], Words]:
        _DESCRIBE[kind] = words
        return words

    return register


def _by(author: str) -> str:
    return f"by {_AUTHORS.get(author, author)}"


def _behind(behind: dict[str, b.AgentPath]) -> str:
    return ", ".join(f"{path} after {agent}" for path, agent in behind.items())


def note_line(note: b.Note) -> str:
    """What a planner assumes or asks, in one line with its options."""
    to = " its planner" if note.to_agent else ""
    options = f" ({' / '.join(note.options)})" if note.options else ""
    return f"{'asks' if note.kind is b.NoteKind.QUESTION else 'assumes'}{to}: {note.text}{options}"


def _answer(e: events.NoteAnswered) -> str:
    if e.taken_back:
        return f"answer to note {e.note} taken back"
    return (
        f"note {e.note} answered {_by(e.by)}: {e.answer}"
        if e.answer
        else f"note {e.note} left to the planner {_by(e.by)}"
    )


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


_describes(events.RunCreated)(lambda e: (Tone.GOOD, f"run created on {e.branch or 'a detached head'} at {e.base[:10]}"))
_describes(events.WorkersLimited)(
    lambda e: (
        Tone.WARN if e.by == "governor" else Tone.PLAIN,
        f"workers limited to {e.workers} {_by(e.by)}{_because(e.reason)}",
    )
)
_describes(events.BudgetMarked)(
    lambda e: (
        Tone.GOOD if e.mark == "room" else Tone.WARN,
        f"the budget of {e.part} {_BUDGETS[e.mark]}: {e.limit}",
    )
)
_describes(events.Warned)(lambda e: (Tone.WARN, e.text))
_describes(events.AgentsSampled)(
    lambda e: (Tone.ROUTINE, f"sampled: {counted(len(e.uses), 'agent')} with a running command")
)
_describes(events.LoadLimited)(lambda e: (Tone.WARN, load_limit(e.limit)))
_describes(events.Sampled)(
    lambda e: (Tone.ROUTINE, f"sampled: memory {size(e.sample.memory)}, CPU {e.sample.cpu:.0f}%")
)
_describes(events.IntentVersioned)(lambda e: (Tone.GOOD, f"intent version {e.intent.version} {_by(e.intent.author)}"))
_describes(events.MessageQueued)(
    lambda e: (Tone.WARN if e.message.source == "steer" else Tone.QUIET, _message(e.message))
)
_describes(events.NoteMade)(lambda e: (Tone.WARN, note_line(e.note)))
_describes(events.NoteAnswered)(lambda e: (Tone.GOOD, _answer(e)))
_describes(events.AnswersOverdue)(lambda e: (Tone.WARN, f"decides without an answer: {e.reason}"))
_describes(events.AgentSpawned)(lambda e: (Tone.PLAIN, f"spawned {e.spawned.role}: {e.spawned.title}"))
_describes(events.SubtreePaused)(lambda e: (Tone.WARN, f"{'frozen' if e.freeze else 'paused'} {_by(e.by)}"))
_describes(events.SubtreeResumed)(lambda e: (Tone.GOOD, f"resumed {_by(e.by)}"))
_describes(events.SubtreeLimited)(
    lambda e: (Tone.PLAIN, "workers no longer limited" if e.workers is None else f"workers limited to {e.workers}")
)
_describes(events.PriorityChanged)(lambda e: (Tone.PLAIN, f"priority set to {e.priority:+}"))
_describes(events.ModelChanged)(lambda e: (Tone.PLAIN, f"model changed to {e.model}"))
_describes(events.Rescoped)(lambda e: (Tone.PLAIN, f"new scope: {e.goal}"))
_describes(events.ScratchpadRewritten)(lambda e: (Tone.QUIET, f"scratchpad version {e.version}"))
_describes(events.ModelCallRetried)(lambda e: (Tone.WARN, f"model call: retry in {e.wait_s:.1f} s: {e.reason}"))
_describes(events.AnswersDropped)(lambda e: (Tone.QUIET, f"context compacted: tool results dropped, {e.kept} kept"))
_describes(events.ContextCompacted)(lambda e: (Tone.PLAIN, "context compacted: conversation restarted"))
_describes(events.ToolStarted)(lambda e: (Tone.QUIET, f"{e.tool} {e.target}"))
_describes(events.WorkspaceUpdated)(
    lambda e: (
        Tone.WARN if e.conflicts else Tone.QUIET,
        f"workspace updated to {e.base[:10]}{_because(', '.join(e.conflicts))}",
    )
)
_describes(events.TaskQueued)(lambda e: (Tone.PLAIN, f"task queued: {e.queued.spec.title}"))
_describes(events.TaskHeld)(lambda e: (Tone.WARN, f"task held: it comes after {e.behind}, which did not land"))
_describes(events.TaskReleased)(lambda e: (Tone.GOOD, "task no longer held"))
_describes(events.TaskAmended)(lambda e: (Tone.PLAIN, f"task amended ({', '.join(e.changed)}): {e.spec.title}"))
_describes(events.TaskDirected)(
    lambda e: (Tone.WARN, f"a person {'takes back' if e.taken_back else 'tells the worker'}: {e.text}")
)
_describes(events.TaskStarted)(lambda e: (Tone.PLAIN, f"task started, attempt {e.attempt}"))
_describes(events.AttemptContinued)(
    lambda e: (Tone.QUIET, f"attempt continues after {'a crash' if e.crashed else 'a stop'}")
)
_describes(events.TaskRequeued)(lambda e: (Tone.WARN, f"task queued again: {e.reason}"))
_describes(events.TaskUnwanted)(lambda e: (Tone.WARN, f"task cancelled while landing: {e.reason}"))
_describes(events.LandingStarted)(lambda e: (Tone.QUIET, f"landing started: {e.change[:10]}"))
_describes(events.LandingWaits)(lambda e: (Tone.QUIET, f"landing waits: {_behind(e.behind)}"))
_describes(events.PrecedenceGiven)(lambda e: (Tone.QUIET, f"precedence on {', '.join(e.paths)}"))
_describes(events.PrecedenceEnded)(lambda e: (Tone.WARN, "precedence ended: the conflict was not resolved in time"))
_describes(events.PathologySeen)(
    lambda e: (
        Tone.BAD if e.remedy == "limit" else Tone.WARN,
        f"{PATHOLOGIES[e.pathology]} ({REMEDIES[e.remedy]}): {e.detail}",
    )
)
_describes(events.FailureNoted)(lambda e: (Tone.ROUTINE, f"failure: {e.failure}"))
_describes(events.FailureShared)(lambda e: (Tone.WARN, f"same failure in {counted(e.agents, 'agent')}: {e.failure}"))
_describes(events.HotFilesTold)(lambda e: (Tone.WARN, f"new tasks meet in {', '.join(e.files)}: planner told"))
_describes(events.Pivoted)(lambda e: (Tone.WARN, f"new approach: {e.reason}"))
_describes(events.BreakTraced)(lambda e: (Tone.WARN, f"check broken {_suspects(e.broken)}"))
_describes(events.FixupsExhausted)(
    lambda e: (Tone.BAD, f"check still fails after {counted(e.fixups, 'fixup')}: planners told")
)
_describes(events.HandoffResolved)(
    lambda e: (Tone.PLAIN, f"handoff marked {'resolved' if e.resolved else 'unresolved'}")
)
_describes(events.GreenMoved)(
    lambda e: (Tone.GOOD, f"green moved to {e.commit[:10]}") if e.commit else (Tone.BAD, "green taken back")
)


@_describes(events.EpochStarted)
def _(e: events.EpochStarted) -> Words:
    missing = f"; not guaranteed: {'; '.join(e.not_guaranteed)}" if e.not_guaranteed else ""
    return Tone.QUIET, f"process {e.pid} owns the run; sandbox: {e.sandbox_level}{missing}"


@_describes(events.RunStateChanged)
def _(e: events.RunStateChanged) -> Words:
    tone = {b.RunState.FAILED: Tone.BAD, b.RunState.RUNNING: Tone.GOOD, b.RunState.FINISHED: Tone.GOOD}
    return tone.get(e.state, Tone.WARN), f"run {e.state}{_because(e.reason)}"


@_describes(events.AgentStateChanged)
def _(e: events.AgentStateChanged) -> Words:
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
            return Tone.ROUTINE, f"{e.state} {e.doing}"  # the tree shows it, and so does the turn or tool that follows


@_describes(events.TurnTaken)
def _(e: events.TurnTaken) -> Words:
    said = e.message.text or ", ".join(call.tool for call in e.message.calls)
    usage = f"{count(e.usage.input)} tokens in, {count(e.usage.output)} out, {dollars(e.usage.usd)}"
    return Tone.QUIET, f"turn: {said[:160]} ({usage})"


@_describes(events.ToolFinished)
def _(e: events.ToolFinished) -> Words:
    if e.state is b.ToolCallState.OK:
        return (Tone.ROUTINE if e.wall_s < 1 else Tone.QUIET), f"{e.tool} took {e.wall_s:.1f} s"
    return Tone.WARN, f"{e.tool} {e.state}: {e.answer[:160]}"


@_describes(events.TaskEnded)
def _(e: events.TaskEnded) -> Words:
    if e.state == b.TaskState.UNCHANGED:
        return Tone.WARN, "task ended without a change"
    tone = {"landed": Tone.GOOD, "failed": Tone.BAD}.get(e.state, Tone.WARN)
    return tone, f"task {e.state}{_because('' if e.reason == 'done' else e.reason)}"


@_describes(events.LandingFinished)
def _(e: events.LandingFinished) -> Words:
    landing = e.landing
    if landing.state is LandingState.CONFLICTED:
        return Tone.WARN, f"merge conflict in {', '.join(landing.conflicts)}"
    if landing.state is LandingState.REFUSED:
        return Tone.BAD, f"landing refused: {landing.reason}"
    if landing.state is LandingState.EMPTY:
        return Tone.WARN, "no change: nothing landed"
    return Tone.GOOD, f"landing {landing.state}{_because(counted(len(landing.paths), 'file') if landing.paths else '')}"


@_describes(events.HandedOff)
def _(e: events.HandedOff) -> Words:
    text = e.handoff.text
    tone = {"done": Tone.GOOD, "failed": Tone.BAD}.get(text.status, Tone.WARN)
    return tone, f"handoff {text.status}: {text.summary}"


@_describes(events.BaseSurveyed)
def _(e: events.BaseSurveyed) -> Words:
    survey = e.survey
    if survey.check.passed:
        return Tone.GOOD, f"the base passes in a clean copy{', as an earlier run found' if survey.kept else ''}"
    return Tone.BAD, "; ".join((f"the check fails in a clean copy: {survey.check.outcome}", *survey.advice))


@_describes(events.EnvironmentSurveyed)
def _(e: events.EnvironmentSurveyed) -> Words:
    return Tone.WARN if e.environment.gap else Tone.QUIET, f"environment: {'; '.join(b.found_lines(e.environment))}"


@_describes(events.CheckFinished)
def _(e: events.CheckFinished) -> Words:
    verdict = "timed out" if e.check.exit is None else f"failed with exit status {e.check.exit}"
    tone, verdict = (Tone.GOOD, "passed") if e.check.passed else (Tone.BAD, verdict)
    return tone, f"check {verdict} on {e.check.commit[:10]} in {e.check.wall_s:.1f} s{_how_checked(e.check)}"


@_describes(events.Published)
def _(e: events.Published) -> Words:
    if e.left_alone:
        return Tone.WARN, f"not published: {e.left_alone}"
    return Tone.ROUTINE, f"published trunk {e.trunk[:10]}{f' and green {e.green[:10]}' if e.green else ''}"


def _how_checked(check: b.Check) -> str:
    """What a check started from, as the end of its line; empty in journals that do not say."""
    if check.overrules:
        return f", from nothing; it {'failed' if check.passed else 'passed'} on earlier builds, which were discarded"
    if check.clean:
        return ", from nothing"
    return ", on earlier builds" if check.command else ""


def _message(message: b.InboxMessage) -> str:
    """The message's source and text. A handoff is only named: its own event has the text."""
    text = message.text
    if message.source == "handoff":
        text = text.lstrip().partition("\n")[0].removeprefix("# Handoff: ")
    return f"{message.source}: {text}"


def _suspects(broken: b.Break) -> str:
    names = ", ".join(commit[:10] for commit in broken.suspects)
    return f"by {names}" if len(broken.suspects) == 1 else f"by one of {names}"
