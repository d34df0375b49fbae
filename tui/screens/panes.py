"""The five panes of the main screen: which are shown, and which has the focus."""

from collections.abc import Callable

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.widget import Widget

from tui.input.handlers import handles
from tui.screens.layout import PANES, TOO_SMALL, Pane, layout_for
from tui.widgets.actionable import Actionable
from tui.widgets.agents import AgentTree, TreeHeads
from tui.widgets.detail import Detail, Tab
from tui.widgets.events import EventList
from tui.widgets.frame import Frame
from tui.widgets.handoffs import HandoffList
from tui.widgets.lines import LineView
from tui.widgets.resources import Resources
from tui.widgets.tab_strip import TabStrip

SCROLLED = 5
"""Lines that the detail scrolls with one key."""


class Panes(Actionable, Container):
    """All panes, side by side or one at a time."""

    def __init__(self, *, agent_selected: Callable[[], None], changed: Callable[[], None]) -> None:
        """`agent_selected` is called after another agent is selected, `changed` after other panes are shown."""
        super().__init__(id="panes")
        self._agent_selected = agent_selected
        self._changed = changed
        self.pane = Pane.AGENTS
        self.zoomed = False
        self.layout_now = TOO_SMALL

    def compose(self) -> ComposeResult:
        with Frame(id="pane-agents"):
            yield TreeHeads(id="tree-heads")
            yield AgentTree(self._agent_selected, id="agents")
        yield Detail(id="pane-detail")
        with Frame(id="pane-events"):
            yield EventList(id="events")
        with Frame(id="pane-resources"):
            yield Resources(id="resources")
        with Frame(id="pane-handoffs"):
            yield HandoffList(id="handoffs")

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

    @property
    def resources(self) -> Resources:
        return self.query_one(Resources)

    def frame(self, pane: Pane) -> Frame:
        return self.query_one(f"#pane-{pane}", Frame)

    def shows(self, pane: Pane) -> bool:
        """Whether the pane is on the screen."""
        return not self.layout_now.one or self.pane is pane

    @property
    def filterable(self) -> AgentTree | HandoffList | EventList:
        """The list that the filter key filters: the focused one if it can be filtered, or else the agents."""
        match self.pane:
            case Pane.HANDOFFS:
                return self.handoffs
            case Pane.EVENTS:
                return self.event_list
            case _:
                return self.agents

    @property
    def readable(self) -> LineView | None:
        """The view whose text an editor opens: the focused one, or the detail if the agents have the focus."""
        focused = self.screen.focused
        if focused is self.agents:
            return self.detail.body
        return focused if isinstance(focused, LineView) else None

    # --- layout ----------------------------------------------------------------------------------------------

    def lay_out(self) -> None:
        """Show the panes that fit in the terminal."""
        size = self.app.size
        layout = layout_for(size.width, size.height, self.zoomed)
        self.screen.set_class(layout is TOO_SMALL, TOO_SMALL.name)
        for name in ("one", "split", "wide"):
            self.screen.set_class(layout.name == name, name)
        self.layout_now = layout
        if layout is not TOO_SMALL and self.screen.focused is None and self.screen.is_mounted:
            self.call_after_refresh(self._view_of(self.pane).focus)  # a hidden pane loses the focus
        self._show()

    def _show(self) -> None:
        for pane in PANES:
            self.frame(pane).display = self.shows(pane)
        self.screen.query_one("#pane-tabs", TabStrip).choose(self.pane)

    def _view_of(self, pane: Pane) -> Widget:
        return {
            Pane.AGENTS: self.agents,
            Pane.DETAIL: self.detail.body,
            Pane.HANDOFFS: self.handoffs,
            Pane.EVENTS: self.event_list,
            Pane.RESOURCES: self.resources,
        }[pane]

    def _zoom(self, zoomed: bool) -> None:
        self.zoomed = zoomed
        self.lay_out()
        self.call_after_refresh(self._changed)

    @handles("focus.zoom")
    def toggle_zoom(self) -> None:
        self._zoom(not self.zoomed)

    @handles("focus.unzoom")
    def unzoom(self) -> None:
        self._zoom(False)

    # --- focus -----------------------------------------------------------------------------------------------

    def go(self, pane: Pane) -> None:
        """Focus a pane, and show it if it is hidden."""
        self.pane = pane
        self.frame(pane).display = True
        self._view_of(pane).focus()  # before hiding others: a focused pane that hides passes the focus to any widget
        self._show()
        self._changed()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        for pane in PANES:
            if event.widget in self.frame(pane).query("*"):
                self.pane = pane

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
        self.go(PANES[PANES.index(self.pane) - 1])

    # --- the detail, from any pane ---------------------------------------------------------------------------

    def show_detail(self, tab: Tab) -> None:
        self.detail.open(tab)
        self.go(Pane.DETAIL)

    @handles("focus.tab_left")
    def tab_left(self) -> None:
        self.detail.turn(-1)

    @handles("focus.tab_right")
    def tab_right(self) -> None:
        self.detail.turn(1)

    @handles("global.detail_down")
    def scroll_detail_down(self) -> None:
        self._scroll_detail(SCROLLED)

    @handles("global.detail_up")
    def scroll_detail_up(self) -> None:
        self._scroll_detail(-SCROLLED)

    def _scroll_detail(self, by: int) -> None:
        body = self.detail.body
        body.scroll_to(y=body.scroll_offset.y + by, animate=False)

    @handles("diff.refresh")
    def reload_diff(self) -> None:
        self.detail.reload_diff()
