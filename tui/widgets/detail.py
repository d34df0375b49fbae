"""The detail pane: tabs about the selected agent."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from enum import StrEnum
from functools import partial
from typing import Any, ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import BindingType

from tui.bridge import Agent, AgentId, Followed, MessageRow, Role
from tui.format.event_line import EventLine
from tui.format.text import EMPTY
from tui.input.keys_in_force import DEFAULT
from tui.widgets.actionable import Actionable
from tui.widgets.agent_details import now_lines, task_lines
from tui.widgets.diff import DiffView
from tui.widgets.frame import Frame
from tui.widgets.handoffs import reply_lines
from tui.widgets.lines import LineView
from tui.widgets.scratchpad import ScratchpadView
from tui.widgets.tab_strip import TabStrip
from tui.widgets.text_view import TextView, paragraph
from tui.widgets.transcript import LogView, MessagesView, Transcript

T = TypeVar("T")
PAGE = 60
READING = "Reading…"


class Tab(StrEnum):
    NOW = "now"
    DIFF = "diff"
    MESSAGES = "messages"
    TASK = "task"
    SCRATCHPAD = "scratchpad"
    LOG = "log"


_TABS = list(Tab)


class AgentTextView(TextView):
    """A tab of text. The agents pane's keys work here too, on the agent that it shows."""

    SCOPES: ClassVar[tuple[str, ...]] = ("agents", "list")
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("agents")]


class Detail(Actionable, Frame):
    """Tabs about one agent. A tab requests its data from the session only while it is open."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.tab = Tab.NOW
        self._shown: tuple[Tab, AgentId] | None = None
        self._requested: object = None
        self._pending: Future[Any] | None = None
        self._logged = 0
        self._followed: Followed | None = None

    def compose(self) -> ComposeResult:
        yield TabStrip(_TABS, id="detail-tabs")
        yield AgentTextView(id="tab-now")
        yield DiffView(id="tab-diff")
        yield MessagesView(id="tab-messages")
        yield AgentTextView(id="tab-task")
        yield ScratchpadView(id="tab-scratchpad")
        yield LogView(id="tab-log")

    def on_mount(self) -> None:
        self.open(self.tab)

    @property
    def body(self) -> LineView:
        """The open tab's view."""
        return self.query_one(f"#tab-{self.tab}", LineView)

    def open(self, tab: Tab) -> None:
        """Show a tab. The focus stays in the pane if it was there."""
        had_focus = self.has_focus_within
        self.tab = tab
        for other in _TABS:
            self.query_one(f"#tab-{other}").display = other is tab
        self.query_one(TabStrip).choose(tab)
        self._shown = self._requested = None
        if had_focus:
            self.body.focus()
        self.update()

    def look_up(self, seq: int) -> None:
        """Show one of the agent's events in its log."""
        self.query_one(LogView).seek(seq)
        self.open(Tab.LOG)

    def turn(self, step: int) -> None:
        """Show the next or previous tab, wrapping around."""
        self.open(_TABS[(_TABS.index(self.tab) + step) % len(_TABS)])

    def update(self) -> None:
        """Show the selected agent from the snapshot in view."""
        run, agent, now = self.view.run, self.view.agent, self.host.now()
        if run is None or agent is None or not self.is_mounted:
            return
        session = self.host.session
        another = self._shown != (self.tab, agent.id)
        self._shown = (self.tab, agent.id)
        match self.tab:
            case Tab.NOW:
                live = session.watch(agent.id)
                view = self.view
                streams = (live.saying or live.running) and not agent.ended
                self._text.set(lambda cells: now_lines(view, run, agent, live, now, cells), key=agent.id, tail=streams)
            case Tab.TASK:
                if another:
                    self._followed = None
                followed = self._followed
                self._text.set(
                    lambda cells: [
                        *task_lines(self.view, run, agent, now, cells),
                        *(reply_lines(followed, cells) if followed is not None else ()),
                    ],
                    key=agent.id,
                )
                last = next((h for h in reversed(run.handoffs.values()) if h.agent == agent.id), None)
                if last is not None and last.to_agent is not None:
                    steps = run.agents[last.to_agent].steps
                    self._request(another, (last.id, steps), lambda: session.followed(last.id), self._show_followed)
            case Tab.MESSAGES:
                self._blank(self.query_one(MessagesView), another)
                self._request(another, agent.steps, lambda: session.messages(agent.id, None, PAGE), self._show_messages)
            case Tab.SCRATCHPAD:
                pad = run.scratchpads.get(agent.id)
                version = pad.version if pad else 0
                show = partial(self.query_one(ScratchpadView).put, another=another)
                self._request(another, version, lambda: session.scratchpads(agent.id), show)
            case Tab.LOG:
                self._blank(self.query_one(LogView), another)
                if another:
                    self._logged = 0
                    self._request(True, 0, lambda: session.log(agent.id, None, PAGE), self._show_log)
                self._extend_log(agent.id)
            case Tab.DIFF:
                if another:
                    self.query_one(DiffView).set(None, "Reading the workspace…", keep=False)
                state = (agent.steps, agent.state)
                self._request(
                    another, state, lambda: session.diff(agent.id), lambda patch: self._show_diff(agent, patch)
                )

    @property
    def _text(self) -> TextView:
        body = self.body
        assert isinstance(body, TextView)
        return body

    @staticmethod
    def _blank(transcript: "Transcript[Any]", another: bool) -> None:
        if another:
            transcript.clear(READING)

    # --- requests to the session ------------------------------------------------------------------------------

    def _request(
        self, another: bool, state: object, request: Callable[[], Future[T]], show: Callable[[T], None]
    ) -> None:
        """Request a tab's content unless it was requested in this state already; one request at a time."""
        busy = self._pending is not None and not self._pending.done()
        if not another and (state == self._requested or busy):
            return
        self._requested = state
        self._then(request(), show)

    def _then(self, future: Future[T], show: Callable[[T], None]) -> None:
        """Show the answer, unless another tab or agent is shown by then."""
        shown = self._shown
        self._pending = future

        def answered(done: Future[T]) -> None:
            if shown != self._shown or not self.is_mounted or done.cancelled():
                return
            if (problem := done.exception()) is not None:
                self._fail(problem)
            else:
                show(done.result())

        self.host.when_done(future, answered)

    def _fail(self, problem: BaseException) -> None:
        body = self.body
        text = str(problem) or type(problem).__name__
        match body:
            case DiffView():
                body.set(None, text, keep=True)
            case Transcript():
                if not body.items:
                    body.clear(text)
            case TextView():
                body.set(lambda cells: [EMPTY, *paragraph(text, cells, "failed")])

    def _show_messages(self, page: Sequence[MessageRow]) -> None:
        transcript = self.query_one(MessagesView)
        transcript.note = "No messages yet."
        transcript.put(page, more=len(page) >= PAGE)

    def _show_followed(self, followed: Followed) -> None:
        if followed != self._followed:
            self._followed = followed
            self.update()

    def _show_log(self, page: Sequence[EventLine]) -> None:
        log = self.query_one(LogView)
        log.note = "No events yet."
        log.put(page, more=len(page) >= PAGE)

    def _extend_log(self, agent: AgentId) -> None:
        """Add the agent's events since the log was read; the session has them in memory."""
        new = self.host.session.events_after(self._logged)
        if new:
            self._logged = new[-1].seq
            if mine := [line for line in new if line.agent == agent]:
                self.query_one(LogView).put(mine)

    def _show_diff(self, agent: Agent, patch: str) -> None:
        if agent.role is Role.PLANNER:
            note = "Planners do not edit files. Select a worker below to see its changes."
        elif agent.ended:
            note = "This agent landed no changes."
        else:
            note = "No changes in this agent's workspace yet."
        self.query_one(DiffView).set(patch, note, keep=True)

    # --- pages ------------------------------------------------------------------------------------------------

    def on_transcript_older(self) -> None:
        agent, session = self.view.agent, self.host.session
        transcript = self.body
        if agent is None or not isinstance(transcript, Transcript) or not transcript.items:
            return
        oldest = transcript.key(transcript.items[0])
        if isinstance(transcript, LogView):
            self._then(session.log(agent.id, oldest, PAGE), self._show_log)
        else:
            self._then(session.messages(agent.id, oldest, PAGE), self._show_messages)

    def on_messages_view_whole_wanted(self, event: MessagesView.WholeWanted) -> None:
        row = event.row
        whole = self.host.session.messages(row.agent, row.id + 1, 1, whole=True)
        self._then(whole, self.query_one(MessagesView).put)

    def reload_diff(self) -> None:
        self._requested = None
        self.update()
