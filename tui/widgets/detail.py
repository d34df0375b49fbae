"""The detail pane: the selected agent, in tabs."""

from concurrent.futures import Future
from enum import StrEnum
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget

from tui.bridge import Agent, AgentId, MessageRow, Role, Scratchpad, Snapshot
from tui.conversation import tell_conversation
from tui.figures import age, count, dollars, span
from tui.keymap import DEFAULT
from tui.states import AGENT, TASK
from tui.text import EMPTY, Line, Span, one_line, wrap
from tui.widgets.acting import Acting
from tui.widgets.diff import DiffView
from tui.widgets.prose import Prose, fact, heading, paragraph
from tui.widgets.strips import TabStrip

PAGE = 60
_LIVE_CHARS = 6000


class Tab(StrEnum):
    NOW = "now"
    MESSAGES = "messages"
    DIFF = "diff"
    TASK = "task"
    SCRATCHPAD = "scratchpad"


_TABS = list(Tab)


class AgentProse(Prose):
    """A detail tab of text; the agents' keys work here too, on the agent that it shows."""

    SCOPES: ClassVar[tuple[str, ...]] = ("agents", "list")
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("agents")]


class Detail(Acting, Vertical):
    """Tabs over what is known of one agent. What must be asked for is asked for only while its tab is open."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.tab = Tab.NOW
        self._shown: AgentId | None = None
        self._asked: tuple[object, ...] = ()
        self._waiting: Future[object] | None = None
        self._said: list[MessageRow] = []
        self._scratchpads: list[Scratchpad] = []

    def compose(self) -> ComposeResult:
        yield TabStrip(_TABS, id="detail-tabs")
        yield AgentProse(id="tab-now", tail=True)
        yield AgentProse(id="tab-messages", tail=True)
        yield DiffView(id="tab-diff")
        yield AgentProse(id="tab-task")
        yield AgentProse(id="tab-scratchpad")

    def on_mount(self) -> None:
        self.open(self.tab)

    @property
    def body(self) -> Widget:
        """The view of the open tab."""
        return self.query_one(f"#tab-{self.tab}")

    def open(self, tab: Tab) -> None:
        """Show a tab; the focus stays in the pane if it was there."""
        had_focus = self.has_focus_within
        self.tab = tab
        for other in _TABS:
            self.query_one(f"#tab-{other}").display = other is tab
        self.query_one(TabStrip).choose(tab)
        self._asked = ()
        if had_focus:
            self.body.focus()
        self.update()

    def turn(self, step: int) -> None:
        """The next tab, round and round."""
        self.open(_TABS[(_TABS.index(self.tab) + step) % len(_TABS)])

    def update(self) -> None:
        """Take over the snapshot in view and the selected agent."""
        run, agent = self.view.run, self.view.agent
        if run is None or agent is None or not self.is_mounted:
            return
        match self.tab:
            case Tab.NOW:
                live = self.host.session.live_text(agent.id)[-_LIVE_CHARS:]
                self._prose(Tab.NOW).set(lambda cells: self._now(run, agent, live, cells), key=agent.id)
            case Tab.TASK:
                self._prose(Tab.TASK).set(lambda cells: self._duty(run, agent, cells), key=agent.id)
            case Tab.MESSAGES:
                self._ask((Tab.MESSAGES, agent.id, agent.steps), agent)
            case Tab.SCRATCHPAD:
                pad = run.scratchpads.get(agent.id)
                self._ask((Tab.SCRATCHPAD, agent.id, pad.version if pad else 0), agent)
            case Tab.DIFF:
                self._ask((Tab.DIFF, agent.id, agent.steps, agent.state), agent)

    def _prose(self, tab: Tab) -> Prose:
        return self.query_one(f"#tab-{tab}", Prose)

    # --- what must be asked for ------------------------------------------------------------------------------

    def _ask(self, asked: tuple[object, ...], agent: Agent) -> None:
        """Ask for a tab's content unless this very thing was asked for already; one question at a time."""
        if asked == self._asked or (
            self._waiting is not None and not self._waiting.done() and asked[:2] == self._asked[:2]
        ):
            return
        another = asked[:2] != self._asked[:2]
        self._asked = asked
        session = self.host.session
        future: Future[object]
        match self.tab:
            case Tab.MESSAGES:
                if another:
                    self._prose(Tab.MESSAGES).set(lambda cells: [EMPTY, (Span("  Reading…", "dim"),)], key=None)
                future = session.messages(agent.id, None, PAGE)  # type: ignore[assignment]
            case Tab.SCRATCHPAD:
                future = session.scratchpads(agent.id)  # type: ignore[assignment]
            case _:
                if another:
                    self.query_one(DiffView).set(None, "Reading the copy…", keep=False)
                future = session.diff(agent.id)  # type: ignore[assignment]
        self._waiting = future
        self.host.after(future, lambda done: self._answered(asked, agent.id, done))

    def _answered(self, asked: tuple[object, ...], agent: AgentId, done: Future[object]) -> None:
        if asked[:2] != self._asked[:2] or not self.is_mounted:
            return  # another agent or tab is looked at by now
        problem = done.exception() if not done.cancelled() else None
        answer = None if problem is not None or done.cancelled() else done.result()
        match asked[0]:
            case Tab.MESSAGES:
                said: list[MessageRow] = answer if isinstance(answer, list) else []
                self._prose(Tab.MESSAGES).set(lambda cells: _messages(said, problem, cells), key=agent)
            case Tab.SCRATCHPAD:
                pads: list[Scratchpad] = answer if isinstance(answer, list) else []
                self._prose(Tab.SCRATCHPAD).set(lambda cells: _scratchpad(pads, problem, cells), key=agent)
            case Tab.DIFF:
                note = (
                    str(problem) if problem is not None else "No change yet: this copy is as trunk was when it began."
                )
                self.query_one(DiffView).set(answer if isinstance(answer, str) else None, note, keep=True)

    def do_refresh(self) -> None:
        self._asked = (*self._asked[:2], "again")
        self.update()

    # --- tabs ------------------------------------------------------------------------------------------------

    def _now(self, run: Snapshot, agent: Agent, live: str, cells: int) -> list[Line]:
        look = AGENT[agent.state]
        now = self.host.now()
        lines: list[Line] = [
            (
                Span(f" {look.glyph} {look.word}", f"{look.style} bold"),
                Span(f"  {one_line(agent.doing or agent.reason)}", "text"),
            )
        ]
        if run.is_paused(agent.id) and not agent.ended:
            above = next((a.path for a in run.ancestors(agent.id) if a.paused), "the run")
            lines.append((Span(f"   held: {above} is paused", "paused"),))
        spent = f"{count(agent.usage.input + agent.usage.output)} tokens · {dollars(agent.usage.usd)}"
        lines += [
            *fact("agent", f"{agent.path} · {agent.role}", cells=cells),
            *fact("model", agent.model, cells=cells),
            *fact(
                "age",
                f"{span((agent.ended_at or now) - agent.spawned_at)} · {agent.steps} steps · {spent}",
                cells=cells,
            ),
        ]
        if agent.tokens_in_context:
            lines += fact("context", f"{count(agent.tokens_in_context)} tokens", cells=cells)
        if agent.title:
            lines += fact("for", agent.title, cells=cells)
        if agent.role is Role.PLANNER:
            lines += self._slice(run, agent, cells)
        inbox = run.inboxes.get(agent.id, [])
        if inbox:
            lines += heading(f"Waiting to be read ({len(inbox)})")
            for message in inbox[-8:]:
                lines.append((Span(f"  {message.source:<9}", "accent"), Span(one_line(message.text[:300]), "text")))
        if live.strip():
            lines += heading("Live")
            lines += paragraph(live, cells)
        elif agent.ended and agent.reason:
            lines += [*heading("How it ended"), *paragraph(agent.reason, cells)]
        return lines

    def _slice(self, run: Snapshot, agent: Agent, cells: int) -> list[Line]:
        tasks = [run.tasks[id] for id in run.tasks_of.get(agent.id, ())]
        if not tasks:
            return []
        open_ = [task for task in tasks if not task.ended]
        lines = heading(f"Tasks: {len(open_)} open of {len(tasks)}")
        for task in [*open_, *[task for task in reversed(tasks) if task.ended]][:30]:
            look = TASK[task.state]
            lines.append(
                (
                    Span(f"  {look.glyph} {look.word:<10}", look.style),
                    Span(one_line(task.spec.title), "text" if not task.ended else "dim"),
                    Span(f"  attempt {task.attempt}" if task.attempt > 1 else "", "paused"),
                )
            )
        return lines

    def _duty(self, run: Snapshot, agent: Agent, cells: int) -> list[Line]:
        task = run.tasks.get(agent.task) if agent.task is not None else None
        if task is None:
            if not (agent.goal or agent.scope):
                return [EMPTY, (Span("  No task: the root planner owns the whole intent (i shows it).", "dim"),)]
            lines: list[Line] = [(Span(f" {one_line(agent.title)}", "text bold"),)]
            lines += [*heading("Goal"), *paragraph(agent.goal, cells)]
            return [*lines, *heading("Scope"), *paragraph(agent.scope or "anywhere", cells)]
        look = TASK[task.state]
        lines = [
            (Span(f" {look.glyph} {look.word}  ", f"{look.style} bold"), Span(one_line(task.spec.title), "text bold")),
            *fact("asked by", f"{self.view.path_of(task.planner)}, intent v{task.intent}", cells=cells),
            *fact("attempt", f"{task.attempt}, {task.failures} failed, {task.losses} lost", cells=cells),
            *fact("queued", f"{age(self.host.now() - task.queued_at)} ago", cells=cells),
            *fact("scope", task.spec.scope or "anywhere", cells=cells),
        ]
        if task.conflicts:
            lines += fact("conflicts", str(task.conflicts), "paused", cells=cells)
        if task.reason:
            lines += fact("because", task.reason, "paused", cells=cells)
        if task.commit:
            lines += fact("landed as", task.commit[:12], "done", cells=cells)
        lines += [*heading("Goal"), *paragraph(task.spec.goal, cells)]
        if task.spec.acceptance:
            lines += [*heading("Acceptance"), *paragraph(task.spec.acceptance, cells)]
        return lines


def _trouble(problem: BaseException, cells: int) -> list[Line]:
    return [EMPTY, *paragraph(str(problem), cells, "failed")]


def _messages(said: list[MessageRow], problem: BaseException | None, cells: int) -> list[Line]:
    if problem is not None:
        return _trouble(problem, cells)
    if not said:
        return [EMPTY, (Span("  Nothing was said yet.", "dim"),)]
    lines = tell_conversation(said, cells)
    if len(said) >= PAGE:
        lines.insert(0, (Span(f"  the last {len(said)} messages", "dim"),))
    return lines


def _scratchpad(pads: list[Scratchpad], problem: BaseException | None, cells: int) -> list[Line]:
    if problem is not None:
        return _trouble(problem, cells)
    if not pads:
        return [EMPTY, (Span("  No scratchpad yet: the agent rewrites it as it learns.", "dim"),)]
    newest = pads[-1]
    lines: list[Line] = [(Span(f" version {newest.version} of {len(pads)}", "accent bold"),), EMPTY]
    return lines + [(Span("  "), *line) for line in wrap(newest.text, cells - 3, "text")]
