"""The main screen: the panes of one run, with a header above and a footer of keys below."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.timer import Timer

from tui.format.text import Line, Span
from tui.input.handlers import handles
from tui.input.keys_in_force import DEFAULT
from tui.screens.agent_settings import AgentSettings
from tui.screens.clipboard_and_editor import ClipboardAndEditor
from tui.screens.handoff import HandoffReader
from tui.screens.handoff_actions import HandoffActions
from tui.screens.layout import PANES, Pane
from tui.screens.notes import Notes
from tui.screens.pane_titles import retitle
from tui.screens.panes import Panes
from tui.screens.red_base import RedBase
from tui.screens.replay_bar import ReplayControls, Timeline
from tui.screens.steering import Steering
from tui.terminal.painting import PaintingScreen
from tui.widgets.actionable import Actionable
from tui.widgets.detail import Tab
from tui.widgets.diff import DiffView
from tui.widgets.filter_line import FilterLine
from tui.widgets.header import TALL, Header
from tui.widgets.lines import LineView
from tui.widgets.tab_strip import Footer, StripWidget, TabStrip

POLL_S = 0.2
FIRST_POLL_S = 0.02
"""The interval until the first snapshot arrives, so that it shows without delay."""
DETAIL_S = 0.1
"""The shortest time between the details of two agents."""
KEY_STEPS = 3
"""The steps of the event loop from the arrival of a key to its paint."""


class TooSmall(StripWidget):
    """Shown instead of the panes in a terminal that is too small for them."""

    def lines(self, cells: int) -> list[Line]:
        size = self.app.size
        return [
            (),
            (Span(" This terminal is too small: ", "paused"), Span(f"{size.width}x{size.height}", "text bold")),
            (Span(" Enlarge it to 60x15 or more. The run continues.", "dim"),),
        ]


class MainScreen(Actionable, PaintingScreen[None]):
    """Keeps the panes up to date, and moves between them."""

    SCOPES: ClassVar[tuple[str, ...]] = ("focus", "global")
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("focus", "global", "replay")]

    def __init__(self) -> None:
        super().__init__()
        self.panes = Panes(agent_selected=self._agent_selected, changed=self.refresh_panes)
        self._steering = Steering(self)
        self._red_base = RedBase(self)
        self._notes = Notes(self)
        self.controllers = (
            self.panes,
            self._steering,
            self._notes,
            AgentSettings(self),
            HandoffActions(self.panes, self._steering),
            ClipboardAndEditor(self, self._readable),
            ReplayControls(self),
        )
        self._attention = -1
        self._next_detail: Timer | None = None
        self._detail_at = -DETAIL_S
        self._ticks = 0

    def compose(self) -> ComposeResult:
        yield Header(id="header")
        yield Timeline(id="timeline")
        yield TabStrip(PANES, id="pane-tabs", prefix=lambda index: f"{index + 1} ")
        yield self.panes
        yield TooSmall(id="too-small")
        yield FilterLine(id="filter")
        yield Footer(id="footer")

    def on_mount(self) -> None:
        self.query_one(Timeline).display = self.host.session.player is not None
        self._lay_out()
        self.panes.agents.focus()
        self.host.refresh_view()
        self.refresh_panes()
        self.set_interval(POLL_S, self.poll)
        self._waiting = self.set_interval(FIRST_POLL_S, self._wait_for_run)

    def on_resize(self, event: events.Resize) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        self.query_one(Header).styles.height = 3 if self.app.size.height >= TALL else 2
        self.panes.lay_out()

    # --- what is shown ---------------------------------------------------------------------------------------

    async def poll(self) -> None:
        """Show what is new; without news, update ages once a second. Keys are handled between two panes."""
        self._ticks += 1
        changed = self.host.refresh_view()
        if not self.is_current and not changed:
            return
        if self.app.screen is self:  # letters typed in a dialog would answer the one that opens over it
            self._red_base.look()
        if self.is_current:
            self._notes.look()
        slow = self._ticks % 5 == 1
        if changed or slow:
            for update in self._updates():
                for _ in range(KEY_STEPS):
                    await asyncio.sleep(0)
                update()
        elif not self.view.frozen:
            self.panes.detail.update()

    async def _wait_for_run(self) -> None:
        if self.host.session.latest()[1].run:
            await self.poll()
            self._waiting.stop()  # this cancels the running callback, so it comes last

    def refresh_panes(self) -> None:
        """Bring all visible panes up to date with the view."""
        for update in self._updates():
            update()

    def _updates(self) -> Iterator[Callable[[], None]]:
        panes = self.panes
        # The tree's selection and the number of handoffs are needed even while another pane is shown.
        yield panes.agents.update
        yield panes.handoffs.update
        if panes.shows(Pane.DETAIL):
            yield panes.detail.update
        if panes.shows(Pane.RESOURCES):
            yield panes.resources.update
        if not self.view.frozen:
            yield panes.event_list.update
        yield self.query_one(Header).update
        yield self.query_one(Timeline).update
        yield lambda: retitle(panes)
        yield self._show_keys

    def _show_keys(self) -> None:
        """Show the keys of the focused pane in the footer."""
        focused = self.focused
        scopes = (*(focused.SCOPES if isinstance(focused, Actionable) else ()), "replay")
        self.query_one(Footer).set_scopes(scopes, self.host.context())

    def _agent_selected(self) -> None:
        """Name the selected agent and show its detail: immediately, or ten times a second while a key is held."""
        retitle(self.panes, Pane.DETAIL)
        if self._next_detail is not None:
            return
        left = self._detail_at + DETAIL_S - time.monotonic()
        if left > 0:
            self._next_detail = self.set_timer(left, self._show_detail)
        else:
            self._show_detail()

    def _show_detail(self) -> None:
        self._next_detail, self._detail_at = None, time.monotonic()
        self.panes.detail.update()
        retitle(self.panes)
        self._show_keys()

    def _readable(self) -> LineView | None:
        """What an editor opens: the detail of the selected agent even if another is still shown."""
        self.panes.detail.update()
        return self.panes.readable

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self._show_keys()

    # --- moving between panes --------------------------------------------------------------------------------

    def on_tab_strip_chosen(self, event: TabStrip.Chosen) -> None:
        if event.strip.id == "pane-tabs":
            self.panes.go(Pane(event.name))
        else:
            self.panes.detail.open(Tab(event.name))

    def on_line_view_opened(self, event: LineView.Opened) -> None:
        view, panes = event.view, self.panes
        if view is panes.agents:
            panes.go(Pane.DETAIL)
        elif view is panes.handoffs:
            self.app.push_screen(HandoffReader(panes.handoffs), self._after_reading)
        elif view is panes.event_list:
            happened = panes.event_list.current
            if happened is not None and happened.agent is not None:
                panes.agents.select(happened.agent)
                panes.detail.look_up(happened.seq)
                panes.go(Pane.DETAIL)

    def _after_reading(self, action: str | None) -> None:
        self.panes.go(Pane.HANDOFFS)
        if action is not None:
            self.panes.handoffs.action_act(action)

    @handles("list.back")
    def go_back(self) -> None:
        """Clear the filter or the marks, or else unzoom, or else focus the agents."""
        panes, filtered = self.panes, self.panes.filterable
        if self.focused is filtered and filtered.filter_text:
            filtered.set_filter("")
            retitle(panes)
        elif self.view.marked and self.focused is panes.agents:
            self.view.marked.clear()
            self.refresh_panes()
        elif panes.zoomed:
            panes.unzoom()
        else:
            panes.go(Pane.AGENTS)

    @handles("global.attention")
    def next_attention(self) -> None:
        wants = self.view.attention()
        if not wants:
            return
        self._attention = (self._attention + 1) % len(wants)
        want = wants[self._attention]
        if want.handoff is not None:
            self.panes.handoffs.select(want.handoff)
            self.panes.go(Pane.HANDOFFS)
        elif want.agent is not None:
            self.panes.agents.select(want.agent)
            self.panes.go(Pane.AGENTS)
        if want.note is not None and not self.host.context().read_only:
            self._notes.open(want.note)
            return
        self.host.show_note(f"{self._attention + 1} of {len(wants)}: {want.text}")

    @handles("list.filter")
    def open_filter(self) -> None:
        filtered = self.panes.filterable
        label = Pane.AGENTS if filtered is self.panes.agents else self.panes.pane
        self.query_one(FilterLine).open(filtered, label)

    def on_filter_line_filtered(self, event: FilterLine.Filtered) -> None:
        if event.closed:
            self.refresh_panes()
        else:
            retitle(self.panes)

    def on_diff_view_commented(self, event: DiffView.Commented) -> None:
        self._steering.comment_on(event.place)

    def act(self, id: str) -> None:
        """Run an action by its id, on the pane that it belongs to."""
        nodes: dict[str, Actionable] = {
            "agents": self.panes.agents,
            "handoffs": self.panes.handoffs,
            "events": self.panes.event_list,
            "resources": self.panes.resources,
            "diff": self.query_one(DiffView),
        }
        here = self.focused if isinstance(self.focused, Actionable) else self
        nodes.get(id.partition(".")[0], here).action_act(id)
