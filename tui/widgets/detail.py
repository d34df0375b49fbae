"""The detail pane: the selected agent, in tabs."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from enum import StrEnum
from typing import Any, ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import BindingType

from tui.bridge import Agent, AgentId, Followed, MessageRow, Role, Scratchpad
from tui.format.event_line import EventLine
from tui.format.text import EMPTY
from tui.input.keymap import DEFAULT
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
    """A detail tab of text; the agents' keys work here too, on the agent that it shows."""

    SCOPES: ClassVar[tuple[str, ...]] = ("agents", "list")
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("agents")]


class Detail(Actionable, Frame):
    """Tabs over what is known of one agent. What must be asked for is asked for only while its tab is open."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.tab = Tab.NOW
        self._shown: tuple[Tab, AgentId] | None = None
        self._asked: object = None
        self._waiting: Future[Any] | None = None
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
        """The view of the open tab."""
        return self.query_one(f"#tab-{self.tab}", LineView)

    def open(self, tab: Tab) -> None:
        """Show a tab; the focus stays in the pane if it was there."""
        had_focus = self.has_focus_within
        self.tab = tab
        for other in _TABS:
            self.query_one(f"#tab-{other}").display = other is tab
        self.query_one(TabStrip).choose(tab)
        self._shown = self._asked = None
        if had_focus:
            self.body.focus()
        self.update()

    def look_up(self, seq: int) -> None:
        """Show an event of the agent in its log."""
        self.query_one(LogView).seek(seq)
        self.open(Tab.LOG)

    def turn(self, step: int) -> None:
        """The next tab, round and round."""
        self.open(_TABS[(_TABS.index(self.tab) + step) % len(_TABS)])

    def update(self) -> None:
        """Take over the snapshot in view and the selected agent."""
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
                self._prose.set(lambda cells: now_lines(view, run, agent, live, now, cells), key=agent.id, tail=streams)
            case Tab.TASK:
                if another:
                    self._followed = None
                followed = self._followed
                self._prose.set(
                    lambda cells: [
                        *task_lines(self.view, run, agent, now, cells),
                        *(reply_lines(followed, cells) if followed is not None else ()),
                    ],
                    key=agent.id,
                )
                last = next((h for h in reversed(run.handoffs.values()) if h.agent == agent.id), None)
                if last is not None and last.to_agent is not None:
                    steps = run.agents[last.to_agent].steps
                    self._ask(another, (last.id, steps), lambda: session.followed(last.id), self._take_followed)
            case Tab.MESSAGES:
                self._blank(self.query_one(MessagesView), another)
                self._ask(another, agent.steps, lambda: session.messages(agent.id, None, PAGE), self._take_messages)
            case Tab.SCRATCHPAD:
                pad = run.scratchpads.get(agent.id)
                version = pad.version if pad else 0
                take = self._take_new_scratchpads if another else self._take_scratchpads
                self._ask(another, version, lambda: session.scratchpads(agent.id), take)
            case Tab.LOG:
                self._blank(self.query_one(LogView), another)
                if another:
                    self._logged = 0
                    self._ask(True, 0, lambda: session.log(agent.id, None, PAGE), self._take_log)
                self._log_on(agent.id)
            case Tab.DIFF:
                if another:
                    self.query_one(DiffView).set(None, "Reading the copy…", keep=False)
                state = (agent.steps, agent.state)
                self._ask(another, state, lambda: session.diff(agent.id), lambda patch: self._take_diff(agent, patch))

    @property
    def _prose(self) -> TextView:
        body = self.body
        assert isinstance(body, TextView)
        return body

    @staticmethod
    def _blank(transcript: "Transcript[Any]", another: bool) -> None:
        if another:
            transcript.clear(READING)

    # --- what must be asked for ------------------------------------------------------------------------------

    def _ask(self, another: bool, state: object, ask: Callable[[], Future[T]], take: Callable[[T], None]) -> None:
        """Ask for a tab's content unless it was asked for in this state already; one question at a time."""
        busy = self._waiting is not None and not self._waiting.done()
        if not another and (state == self._asked or busy):
            return
        self._asked = state
        self._then(ask(), take)

    def _then(self, future: Future[T], take: Callable[[T], None]) -> None:
        """Take the answer over if the same thing is looked at by then."""
        shown = self._shown
        self._waiting = future

        def answered(done: Future[T]) -> None:
            if shown != self._shown or not self.is_mounted or done.cancelled():
                return
            if (problem := done.exception()) is not None:
                self._fail(problem)
            else:
                take(done.result())

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

    def _take_messages(self, page: Sequence[MessageRow]) -> None:
        transcript = self.query_one(MessagesView)
        transcript.note = "Nothing was said yet."
        transcript.put(page, more=len(page) >= PAGE)

    def _take_followed(self, followed: Followed) -> None:
        if followed != self._followed:
            self._followed = followed
            self.update()

    def _take_log(self, page: Sequence[EventLine]) -> None:
        log = self.query_one(LogView)
        log.note = "Nothing has happened to it yet."
        log.put(page, more=len(page) >= PAGE)

    def _log_on(self, agent: AgentId) -> None:
        """What happened since the log was read is in memory."""
        new = self.host.session.events_after(self._logged)
        if new:
            self._logged = new[-1].seq
            if mine := [line for line in new if line.agent == agent]:
                self.query_one(LogView).put(mine)

    def _take_scratchpads(self, pads: Sequence[Scratchpad], another: bool = False) -> None:
        self.query_one(ScratchpadView).put(pads, another=another)

    def _take_new_scratchpads(self, pads: Sequence[Scratchpad]) -> None:
        self._take_scratchpads(pads, True)

    def _take_diff(self, agent: Agent, patch: str) -> None:
        if agent.role is Role.PLANNER:
            note = "A planner changes nothing itself: the changes are those of the workers below it."
        elif agent.ended:
            note = "Nothing of this agent landed."
        else:
            note = "No change yet: this copy is as trunk was when it began."
        self.query_one(DiffView).set(patch, note, keep=True)

    # --- pages -----------------------------------------------------------------------------------------------

    def on_transcript_older(self) -> None:
        agent, session = self.view.agent, self.host.session
        transcript = self.body
        if agent is None or not isinstance(transcript, Transcript) or not transcript.items:
            return
        oldest = transcript.key(transcript.items[0])
        if isinstance(transcript, LogView):
            self._then(session.log(agent.id, oldest, PAGE), self._take_log)
        else:
            self._then(session.messages(agent.id, oldest, PAGE), self._take_messages)

    def on_messages_view_whole_wanted(self, event: MessagesView.WholeWanted) -> None:
        row = event.row
        whole = self.host.session.messages(row.agent, row.id + 1, 1, whole=True)
        self._then(whole, self.query_one(MessagesView).put)

    def reload_diff(self) -> None:
        self._asked = None
        self.update()
