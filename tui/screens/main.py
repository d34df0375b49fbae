"""The main screen: five panes on one run."""

import asyncio
from collections.abc import Callable, Iterator
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

from tui.format.state_styles import look_of
from tui.format.text import Line, Span, clean
from tui.input.handlers import handles
from tui.input.keymap import DEFAULT
from tui.screens.clipboard_and_editor import Outside
from tui.screens.handoff import HandoffReader
from tui.screens.layout import PANES, TOO_SMALL, Layout, Pane, layout_for
from tui.screens.replay_bar import Replaying, Timeline
from tui.screens.steering import Steering
from tui.widgets.actionable import Actionable
from tui.widgets.agents import AgentTree, TreeHeads
from tui.widgets.detail import Detail, Tab
from tui.widgets.diff import DiffView
from tui.widgets.events import EventList
from tui.widgets.filter_line import FilterLine
from tui.widgets.frame import Frame
from tui.widgets.handoffs import HandoffList, mark_resolved
from tui.widgets.header import TALL, Header
from tui.widgets.lines import LineView
from tui.widgets.resources import Resources
from tui.widgets.tab_strip import Footer, StripWidget, TabStrip

POLL_S = 0.2
FIRST_POLL_S = 0.02
"""Until there is a run to show: nothing is as long as waiting for the first."""
KEY_S = 0.005
PATIENCE = 20
"""How often a poll looks again whether a key is answered, before it goes on nevertheless."""


class TooSmall(StripWidget):
    """Says that the terminal is too small for panes."""

    def lines(self, cells: int) -> list[Line]:
        size = self.app.size
        return [
            (),
            (Span(" This terminal is too small: ", "paused"), Span(f"{size.width}x{size.height}", "text bold")),
            (Span(" 60x15 or more shows the panes. The swarm goes on.", "dim"),),
        ]


class MainScreen(Steering, Replaying, Outside, Screen[None]):
    """Panes, which of them is in front, and how one leads to another."""

    SCOPES: ClassVar[tuple[str, ...]] = ("focus", "global")
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("focus", "global", "replay")]

    def __init__(self) -> None:
        super().__init__()
        self.pane = Pane.AGENTS
        self.zoomed = False
        self.layout_now = TOO_SMALL
        self._attention = -1
        self._ticks = 0

    def compose(self) -> ComposeResult:
        yield Header(id="header")
        yield Timeline(id="timeline")
        yield TabStrip(PANES, id="pane-tabs", prefix=lambda index: f"{index + 1} ")
        with Container(id="panes"):
            with Frame(id="pane-agents"):
                yield TreeHeads(id="tree-heads")
                yield AgentTree(self._selected, id="agents")
            yield Detail(id="pane-detail")
            with Frame(id="pane-events"):
                yield EventList(id="events")
            with Frame(id="pane-resources"):
                yield Resources(id="resources")
            with Frame(id="pane-handoffs"):
                yield HandoffList(id="handoffs")
        yield TooSmall(id="too-small")
        yield FilterLine(id="filter")
        yield Footer(id="footer")

    def on_mount(self) -> None:
        self.query_one(Timeline).display = self.host.session.player is not None
        self._lay_out()
        self.agents.focus()
        self.host.refresh_view()
        self.refresh_panes()
        self.set_interval(POLL_S, self.poll)
        self._waiting = self.set_interval(FIRST_POLL_S, self._wait_for_run)

    # --- parts -----------------------------------------------------------------------------------------------

    @property
    def agents(self) -> AgentTree:
        return self.query_one(AgentTree)

    @property
    def detail(self) -> Detail:
        return self.query_one(Detail)

    @property
    def handoffs(self) -> HandoffList:
        return self.query_one(HandoffList)

    @property
    def event_list(self) -> EventList:
        return self.query_one(EventList)

    def _view_of(self, pane: Pane) -> Widget:
        return {
            Pane.AGENTS: self.agents,
            Pane.DETAIL: self.detail.body,
            Pane.HANDOFFS: self.handoffs,
            Pane.EVENTS: self.event_list,
            Pane.RESOURCES: self.query_one(Resources),
        }[pane]

    # --- what is shown ---------------------------------------------------------------------------------------

    async def poll(self) -> None:
        """Take over what is new, a few times a second; ages go on once a second. A key goes before the next pane."""
        patience = PATIENCE
        self._ticks += 1
        changed = self.host.refresh_view()
        if not self.is_current and not changed:
            return
        slow = self._ticks % 5 == 1
        if changed or slow:
            for update in self._updates():
                await asyncio.sleep(0)
                while self.host.handling_key and patience:
                    patience -= 1
                    await asyncio.sleep(KEY_S)
                update()
        elif not self.view.frozen:
            self.detail.update()

    async def _wait_for_run(self) -> None:
        if self.host.session.latest()[1].run:
            await self.poll()
            self._waiting.stop()  # and with it whoever does this

    def refresh_panes(self) -> None:
        """Bring every visible pane up to the snapshot in view."""
        for update in self._updates():
            update()

    def _updates(self) -> Iterator[Callable[[], None]]:
        # The tree follows the selection and the handoffs are counted even while another pane stands in front.
        yield self.agents.update
        yield self.handoffs.update
        if not self.layout_now.one or self.pane is Pane.DETAIL:
            yield self.detail.update
        if not self.layout_now.one or self.pane is Pane.RESOURCES:
            yield self.query_one(Resources).update
        if not self.view.frozen:
            yield self.event_list.update
        yield self.query_one(Header).update
        yield self.query_one(Timeline).update
        yield self.retitle
        yield self._point

    def retitle(self) -> None:
        run, view = self.view.run, self.view
        agent = view.agent
        total = len(run.agents) if run is not None else 0
        unread = sum(1 for want in view.attention() if want.handoff is not None)
        parts = {
            Pane.AGENTS: [str(total), self._filter_note(self.agents), str(self.agents.order)],
            Pane.DETAIL: [f"{look_of(agent).glyph} {look_of(agent).word}", agent.path] if agent is not None else [],
            Pane.HANDOFFS: [
                str(run.handoff_count if run else 0),
                self._filter_note(self.handoffs),
                f"{unread} to read" if unread else "",
            ],
            Pane.EVENTS: [
                self._filter_note(self.event_list),
                "all kinds" if self.event_list.everything else "",
                "following" if self.event_list.follow else self._not_following(),
            ],
            Pane.RESOURCES: [str(self.query_one(Resources).time_range)],
        }
        if self.zoomed:
            parts[self.pane].append(f"{self.host.keymap.shown('focus.unzoom')} shows all panes")
        if view.marked:
            parts[Pane.AGENTS].append(f"{len(view.marked)} marked")
        for number, pane in enumerate(PANES, 1):
            words = [clean(word).replace("\n", " ") for word in parts[pane] if word]
            title = Content.assemble((f"{number} {pane}", "bold"), *(f" · {word}" for word in words))
            below = self._breadcrumbs() if pane is Pane.AGENTS else ""
            self.query_one(f"#pane-{pane}", Frame).set_titles(title, below)

    def _breadcrumbs(self) -> str:
        """The way from the root to the selected agent."""
        agent = self.view.agent
        return clean(" › ".join(agent.path.split("/"))).replace("\n", " ") if agent is not None else ""

    def _not_following(self) -> str:
        new = f" · {self.event_list.behind} new" if self.event_list.behind else ""
        return f"not following{new} · f follows"

    def _filter_note(self, widget: AgentTree | HandoffList | EventList) -> str:
        if widget.filter_error:
            return widget.filter_error
        return f"/{widget.filter_text} {widget.matches} of {widget.total}" if widget.filter_text else ""

    def _point(self) -> None:
        focused = self.focused
        scopes = (*(focused.SCOPES if isinstance(focused, Actionable) else ()), "replay")
        self.query_one(Footer).set_scopes(scopes, self.host.context())

    # --- layout and focus ------------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        size = self.app.size
        layout = layout_for(size.width, size.height, self.zoomed)
        self.set_class(layout is TOO_SMALL, TOO_SMALL.name)
        self.query_one(Header).styles.height = 3 if size.height >= TALL else 2
        for name in ("one", "split", "wide"):
            self.set_class(layout.name == name, name)
        self.layout_now = layout
        if layout is not TOO_SMALL and self.focused is None and self.is_mounted:
            self.call_after_refresh(self._view_of(self.pane).focus)  # it was hidden, and lost the keys
        self._show_panes(layout)

    def _show_panes(self, layout: Layout) -> None:
        for pane in PANES:
            self.query_one(f"#pane-{pane}").display = not layout.one or pane is self.pane
        self.query_one("#pane-tabs", TabStrip).choose(self.pane)

    def go(self, pane: Pane) -> None:
        """Focus a pane; in a small terminal it takes the place of the other."""
        self.pane = pane
        self.query_one(f"#pane-{pane}").display = True
        self._view_of(pane).focus()  # before the others hide: what hides with the focus hands it to anyone
        self._show_panes(self.layout_now)
        self.refresh_panes()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        for pane in PANES:
            if event.widget in self.query_one(f"#pane-{pane}").query("*"):
                self.pane = pane
        self._point()

    def on_tab_strip_chosen(self, event: TabStrip.Chosen) -> None:
        if event.strip.id == "pane-tabs":
            self.go(Pane(event.name))
        else:
            self.detail.open(Tab(event.name))

    @handles("focus.agents")
    def focus_agents(self) -> None:
        self.go(Pane.AGENTS)

    @handles("focus.detail")
    def focus_detail(self) -> None:
        self.go(Pane.DETAIL)

    @handles("focus.handoffs")
    def focus_handoffs(self) -> None:
        self.go(Pane.HANDOFFS)

    @handles("focus.events")
    def focus_events(self) -> None:
        self.go(Pane.EVENTS)

    @handles("focus.resources")
    def focus_resources(self) -> None:
        self.go(Pane.RESOURCES)

    @handles("focus.next")
    def focus_next_pane(self) -> None:
        self.go(PANES[(PANES.index(self.pane) + 1) % len(PANES)])

    @handles("focus.previous")
    def focus_previous_pane(self) -> None:
        self.go(PANES[(PANES.index(self.pane) - 1) % len(PANES)])

    @handles("focus.tab_left")
    def tab_left(self) -> None:
        self.detail.turn(-1)

    @handles("focus.tab_right")
    def tab_right(self) -> None:
        self.detail.turn(1)

    @handles("focus.zoom")
    def toggle_zoom(self) -> None:
        self.zoomed = not self.zoomed
        self._lay_out()
        self.call_after_refresh(self.refresh_panes)

    @handles("focus.unzoom")
    def unzoom(self) -> None:
        self.zoomed = False
        self._lay_out()
        self.call_after_refresh(self.refresh_panes)

    @handles("global.detail_down")
    def scroll_detail_down(self) -> None:
        self._scroll_detail(5)

    @handles("global.detail_up")
    def scroll_detail_up(self) -> None:
        self._scroll_detail(-5)

    def _scroll_detail(self, by: int) -> None:
        body = self.detail.body
        body.scroll_to(y=body.scroll_offset.y + by, animate=False)

    # --- lists -----------------------------------------------------------------------------------------------

    def _selected(self) -> None:
        """Another agent was chosen."""
        self.detail.update()
        self.retitle()
        self._point()

    def on_line_view_opened(self, event: LineView.Opened) -> None:
        view = event.view
        if view is self.agents:
            self.go(Pane.DETAIL)
        elif view is self.handoffs:
            self.app.push_screen(HandoffReader(self.handoffs), self._after_reading)
        elif view is self.event_list:
            happened = self.event_list.current
            if happened is not None and happened.agent is not None:
                self.agents.select(happened.agent)
                self.detail.look_up(happened.seq)
                self.go(Pane.DETAIL)

    def _after_reading(self, action: str | None) -> None:
        self.go(Pane.HANDOFFS)
        if action is not None:
            self.handoffs.action_act(action)

    @handles("list.back")
    def go_back(self) -> None:
        """Clear the filter of the list; else back to the agents."""
        focused = self.focused
        if isinstance(focused, (AgentTree, HandoffList, EventList)) and focused.filter_text:
            focused.set_filter("")
            self.retitle()
        elif self.view.marked and focused is self.agents:
            self.view.marked.clear()
            self.refresh_panes()
        elif self.zoomed:
            self.unzoom()
        else:
            self.go(Pane.AGENTS)

    def _filtered(self) -> AgentTree | HandoffList | EventList:
        match self.pane:
            case Pane.HANDOFFS:
                return self.handoffs
            case Pane.EVENTS:
                return self.event_list
            case _:
                return self.agents

    @handles("list.filter")
    def open_filter(self) -> None:
        target = self._filtered()
        self.query_one(FilterLine).open(target, self.pane if target is not self.agents else Pane.AGENTS)

    def on_filter_line_filtered(self, event: FilterLine.Filtered) -> None:
        if event.closed:
            self.refresh_panes()
        else:
            self.retitle()

    # --- handoffs --------------------------------------------------------------------------------------------

    @handles("handoffs.diff")
    def show_diff(self) -> None:
        self._open_tab_of_handoff(Tab.DIFF)

    @handles("handoffs.task")
    def show_task(self) -> None:
        self._open_tab_of_handoff(Tab.TASK)

    def _open_tab_of_handoff(self, tab: Tab) -> None:
        if (handoff := self.handoffs.current) is not None:
            self.agents.select(handoff.agent)
            self.detail.open(tab)
            self.go(Pane.DETAIL)

    @handles("handoffs.reply")
    def reply(self) -> None:
        handoff, run = self.handoffs.current, self.view.run
        if handoff is None or run is None:
            return
        planner = run.agents.get(handoff.to_agent) if handoff.to_agent is not None else None
        if planner is None:
            self.host.show_note("reply: this handoff went to you")
            return
        self.ask_and_steer([planner.path], f"reply to {planner.path}")

    @handles("handoffs.resolve")
    def toggle_resolved(self) -> None:
        if (handoff := self.handoffs.current) is not None:
            mark_resolved(self.host, handoff)

    @handles("global.attention")
    def next_attention(self) -> None:
        wants = self.view.attention()
        if not wants:
            return
        self._attention = (self._attention + 1) % len(wants)
        want = wants[self._attention]
        if want.handoff is not None:
            self.handoffs.select(want.handoff)
            self.go(Pane.HANDOFFS)
        elif want.agent is not None:
            self.agents.select(want.agent)
            self.go(Pane.AGENTS)
        self.host.show_note(f"{self._attention + 1} of {len(wants)}: {want.text}")

    # --- other -----------------------------------------------------------------------------------------------

    def to_read(self) -> tuple[str, str]:
        """What the focused pane shows; from the tree, what the detail shows of the agent."""
        focused = self.detail.body if self.focused is self.agents else self.focused
        name = "change.diff" if isinstance(focused, DiffView) else "text.md"
        return name, focused.copied_text() if isinstance(focused, LineView) else ""

    def on_diff_view_commented(self, event: DiffView.Commented) -> None:
        self.comment_on(event.place)

    @handles("diff.refresh")
    def reload_diff(self) -> None:
        self.detail.reload_diff()

    def act(self, id: str) -> None:
        """Do an action by its id, on the pane that it belongs to."""
        scope = id.partition(".")[0]
        nodes = {
            "agents": self.agents,
            "handoffs": self.handoffs,
            "events": self.event_list,
            "resources": self.query_one(Resources),
            "diff": self.query_one(DiffView),
        }
        node = nodes.get(scope, self.focused if isinstance(self.focused, Actionable) else self)
        assert isinstance(node, Actionable)
        node.action_act(id)
