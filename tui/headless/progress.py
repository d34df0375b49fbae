"""Progress of a run as lines for a plain terminal or a log: what landed, failed or changed, and a heartbeat."""

from functools import singledispatch
from textwrap import wrap

from tui.bridge import Event, HandoffStatus, LandingState, LoadLimit, Micros, Role, Snapshot, TaskState, events
from tui.format.event_lines import describe, note_line
from tui.format.numbers import count, counted, dollars
from tui.format.text import clean, one_line
from tui.terminal.output import Output

LINES_PER_SECOND = 10
"""Of ordinary news. What exceeds this is counted instead of written."""
OPENING_S = 2.0
"""Seconds between two lines about a slow opening of the journal."""
WIDTH = 160
OUTPUT_LINES = 20
"""Lines of the output, the last ones, that are written if the base fails the check."""


class Progress:
    """Writes lines to an output. The run continues if nobody reads them or the output is closed; lines that nobody
    takes are counted."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._second = -1
        self._written = 0
        self._dropped = 0

    def start(self, snapshot: Snapshot) -> None:
        """The first lines: which run, on what, with which models."""
        different = dict.fromkeys(snapshot.models.values())
        models = [f"{role} {model}" for role, model in snapshot.models.items()] if len(different) > 1 else different
        self._write(f"run {snapshot.run} on {snapshot.repo}")
        self._write(f"{'rehearsal (scripted models)' if snapshot.rehearsal else 'models'}: {', '.join(models)}")
        self._write(f"sandbox: {snapshot.sandbox_level}, workspaces: {snapshot.copy_method}")
        if snapshot.granted:
            self._write(f"commands may also reach: {', '.join(snapshot.granted)}")
        if snapshot.tools:
            self._write(f"commands may read, because it is on your PATH: {', '.join(snapshot.tools)}")
        if snapshot.sandbox_level == "off":
            self._write("warning: agents' commands run without a sandbox and can do everything that you can")

    def report(self, event: Event, snapshot: Snapshot) -> None:
        """Writes an event's line, if it has one. Failures and warnings are always written, the rest within a rate."""
        news = news_of(event.body, event, snapshot)
        if news is None:
            return
        text, urgent = news
        second = event.at // 1_000_000
        if second != self._second:
            self._catch_up(event.at, snapshot)
            self._second, self._written = second, 0
        if not urgent and self._written >= LINES_PER_SECOND:
            self._dropped += 1
            return
        self._written += 1
        self._timed(event.at, snapshot, text)
        if isinstance(event.body, events.BaseSurveyed) and not event.body.survey.check.passed:
            survey = event.body.survey
            for line in (survey.check.output.rstrip() or "(no output)").split("\n")[-OUTPUT_LINES:]:
                self._write(clean(line.rstrip()), prefix="  | ")
            for advice in survey.advice:
                for number, line in enumerate(wrap(one_line(advice), WIDTH - 6)):
                    self._write(line, prefix="      " if number else "hint: ")

    def heartbeat(self, snapshot: Snapshot, now: Micros) -> None:
        """Writes one line about how the run is doing."""
        self._catch_up(now, snapshot)
        self._timed(now, snapshot, heartbeat_line(snapshot, now))

    def note(self, text: str) -> None:
        """Writes a line about this process. It is not cut, because commands in it are to be copied."""
        self._write(text, whole=True)

    def _catch_up(self, at: Micros, snapshot: Snapshot) -> None:
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._timed(at, snapshot, f"… and {dropped} more")

    def _timed(self, at: Micros, snapshot: Snapshot, text: str) -> None:
        seconds = max(0, at - snapshot.created_at) // 1_000_000
        self._write(f"[{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}] {text}")

    def _write(self, text: str, prefix: str = "", *, whole: bool = False) -> None:
        line = prefix + (text if prefix else one_line(text))
        if not self._output.offer(f"{line if whole or len(line) <= WIDTH else line[: WIDTH - 1] + '…'}\n"):
            self._dropped += 1


def heartbeat_line(snapshot: Snapshot, now: Micros) -> str:
    """How a run is doing, in one line."""
    tasks, load, waiting = snapshot.task_counts, snapshot.load_limit, len(snapshot.waiting_landings)
    parts = [
        f"{tasks[TaskState.WORKING] + tasks[TaskState.LANDING] - waiting} working",
        *([f"{waiting} waiting to land"] if waiting else []),
        f"{tasks[TaskState.QUEUED]} queued",
        *([f"{tasks[TaskState.HELD]} held"] if tasks[TaskState.HELD] else []),
        f"{tasks[TaskState.LANDED]} landed",
        *([f"{tasks[TaskState.UNCHANGED]} without a change"] if tasks[TaskState.UNCHANGED] else []),
        *([f"{tasks[TaskState.FAILED]} failed"] if tasks[TaskState.FAILED] else []),
        f"{snapshot.landed_per_hour(now):.0f}/h",
        f"{count(snapshot.tokens)} tokens",
        *([] if snapshot.rehearsal else [dollars(snapshot.usage.usd)]),
        *([counted(snapshot.retries, "retry", "retries")] if snapshot.retries else []),
        *([_governed(load)] if load is not None and load.workers is not None else []),
    ]
    return " · ".join(parts)


def _governed(load: LoadLimit) -> str:
    if load.workers == 0:
        return f"nothing starts: {load.reason}"
    return f"at most {counted(load.workers or 0, 'worker')}: {load.reason}"


News = tuple[str, bool] | None
"""A line, and whether it is written whatever the rate; None: not worth a line."""


_AS_ON_SCREEN: dict[type, bool] = {
    events.RunStateChanged: True,
    events.WorkersLimited: False,
    events.BudgetMarked: True,
    events.LoadLimited: True,
    events.IntentVersioned: True,
    events.GreenMoved: False,
    events.TaskAmended: False,
    events.EnvironmentSurveyed: False,
}
"""Events whose line is the same as on the screen, and whether it is written whatever the rate."""


@singledispatch
def news_of(body: object, event: Event, snapshot: Snapshot) -> News:
    """An event's line."""
    urgent = _AS_ON_SCREEN.get(type(body))
    return (describe(event).text, urgent) if urgent is not None else None


def _who(event: Event, snapshot: Snapshot) -> str:
    agent = snapshot.agents.get(event.agent) if event.agent is not None else None
    return agent.path if agent is not None else "the engine"


def _title(event: Event, snapshot: Snapshot) -> str:
    task = snapshot.tasks.get(event.task) if event.task is not None else None
    return task.spec.title if task is not None else ""


@news_of.register
def _(body: events.EpochStarted, event: Event, snapshot: Snapshot) -> News:
    return f"sandbox: {body.sandbox_level}, workspaces: {body.copy_method}, process {body.pid}", True


@news_of.register
def _(body: events.SubtreeLimited, event: Event, snapshot: Snapshot) -> News:
    limited = "no longer limited" if body.workers is None else f"limited to {body.workers}"
    return f"workers below {_who(event, snapshot)} {limited}", False


@news_of.register
def _(body: events.Warned, event: Event, snapshot: Snapshot) -> News:
    return f"warning: {body.text}", True


@news_of.register
def _(body: events.NoteMade, event: Event, snapshot: Snapshot) -> News:
    note = body.note
    how = f" · to answer: swarm-tui send {snapshot.run} answer {note.number} TEXT"
    line = f"{_who(event, snapshot)} {note_line(note)}"
    return (f"{line[: WIDTH - len(how) - 16]}{how}", True) if note.to_agent is None else (line, False)


@news_of.register
def _(body: events.NoteAnswered | events.AnswersOverdue, event: Event, snapshot: Snapshot) -> News:
    return f"{_who(event, snapshot)}: {describe(event).text}", False


@news_of.register
def _(body: events.AgentSpawned, event: Event, snapshot: Snapshot) -> News:
    agent = body.spawned
    planner_below = agent.role is Role.PLANNER and agent.parent is not None
    return (f"new planner {agent.path}: {agent.title}", False) if planner_below else None


@news_of.register
def _(body: events.LandingFinished, event: Event, snapshot: Snapshot) -> News:
    landing, what = body.landing, f"{_who(event, snapshot)}: {_title(event, snapshot)}"
    match landing.state:
        case LandingState.MERGED | LandingState.RESOLVED:
            resolved = ", after a conflict" if landing.state is LandingState.RESOLVED else ""
            return (
                f"landed {(landing.commit or '')[:9]} {what} ({counted(len(landing.paths), 'file')}{resolved})",
                False,
            )
        case LandingState.EMPTY:
            return f"no change: {what}", False
        case LandingState.CONFLICTED:
            return f"merge conflict: {what} ({counted(len(landing.conflicts), 'file')})", False
        case LandingState.REFUSED:
            return f"landing refused: {what}: {landing.reason}", True


@news_of.register
def _(body: events.LandingWaits, event: Event, snapshot: Snapshot) -> News:
    path, agent = next(iter(body.behind.items()))
    return f"waits to land: {_who(event, snapshot)}: {_title(event, snapshot)} (after {agent}: {path})", False


@news_of.register
def _(body: events.HandedOff, event: Event, snapshot: Snapshot) -> News:
    handoff = body.handoff
    agent = snapshot.agents.get(handoff.agent)
    if agent is None or (agent.role is not Role.PLANNER and handoff.text.status is HandoffStatus.DONE):
        return None  # a worker's handoff shows as its landing
    first = handoff.text.summary.strip().split("\n")[0]
    return f"handoff {agent.path} {handoff.text.status}: {first}", handoff.text.status is HandoffStatus.FAILED


@news_of.register
def _(body: events.TaskRequeued, event: Event, snapshot: Snapshot) -> News:
    return f"task queued again: {_title(event, snapshot)}: {body.reason}", False


@news_of.register
def _(body: events.TaskHeld, event: Event, snapshot: Snapshot) -> News:
    return f"task held: {_title(event, snapshot)}: after {snapshot.tasks[body.behind].spec.title}", False


@news_of.register
def _(body: events.TaskEnded, event: Event, snapshot: Snapshot) -> News:
    if body.state in (TaskState.LANDED, TaskState.UNCHANGED):
        return None
    return f"task {body.state}: {_title(event, snapshot)}: {body.reason}", body.state == TaskState.FAILED


@news_of.register
def _(body: events.BaseSurveyed, event: Event, snapshot: Snapshot) -> News:
    if body.survey.check.passed:
        return describe(event).text, False
    return f"warning: the check fails in a clean copy: {body.survey.check.outcome}", True


@news_of.register
def _(body: events.CheckFinished, event: Event, snapshot: Snapshot) -> News:
    return describe(event).text, not body.check.passed


@news_of.register
def _(body: events.ModelCallRetried, event: Event, snapshot: Snapshot) -> News:
    # An outage brings thousands of these: one in 20 shows why nothing moves, the heartbeat has the number.
    return (
        (f"retrying a model call in {body.wait_s:.0f} s: {body.reason}", False) if snapshot.retries % 20 == 1 else None
    )
