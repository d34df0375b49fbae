"""The agents pane: the tree of agents, one row each with state, activity, tokens and cost."""

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.binding import BindingType

from tui.bridge import Agent, AgentId, Recalled, Snapshot
from tui.format.agent_row import agent_line, column_heads, older_line
from tui.format.filters import Filter, agent_filter
from tui.format.text import Line
from tui.format.tree_rows import BY_ACTIVITY, Order, Row, flatten
from tui.input.handlers import handles
from tui.input.keys_in_force import DEFAULT
from tui.widgets.filtered_list import FilteredList
from tui.widgets.tab_strip import StripWidget

_ORDERS = list(Order)


class TreeHeads(StripWidget):
    """The column headings above the tree."""

    GROUND: ClassVar[str] = "background"

    def lines(self, cells: int) -> list[Line]:
        return [column_heads(self.screen.query_one(AgentTree).cells)]


class AgentTree(FilteredList[Agent]):
    """The tree. The cursor stays on its agent through updates, folding, sorting and filtering."""

    SCOPES: ClassVar[tuple[str, ...]] = ("agents", "list")
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("agents")]
    NOUN: ClassVar[str] = "agent"
    FILTER_HINT: ClassVar[str] = "text  !not  state:paused  role:planner  under:root/parser  model:name"
    EMPTY_TEXT: ClassVar[str] = "The root planner is starting."

    def __init__(self, selected: Callable[[], None], *, id: str | None = None) -> None:
        """`selected` is called as soon as another agent is selected, so that all panes are painted together."""
        super().__init__(id=id)
        self._selected = selected
        self.order = Order.RUNNING
        self._folded: set[AgentId] = set()
        self._rows: list[Row] = []
        self._built: tuple[object, ...] = ()
        self._folds = 0
        # The agent selected last. While a filter or a fold hides it, the cursor is elsewhere and returns later.
        self._wanted: AgentId | None = None
        self._wants_older = False
        """Whether the cursor was on the line of older agents below the agent selected last."""
        self._syncing = False

    # --- rows -------------------------------------------------------------------------------------------------

    def line_count(self) -> int:
        return len(self._rows)

    @property
    def matches(self) -> int:
        """How many agents match the filter; more may show because agents below them match."""
        return sum(row.matched for row in self._rows)

    @property
    def total(self) -> int:
        return self.view.counts.all

    def update(self) -> None:
        """Show the snapshot in view."""
        run = self.view.run
        if run is None:
            return
        filtered = run.seq if self._filter or self.order in BY_ACTIVITY else 0
        built = (len(run.agents), self.view.counts.ended, self._folds, self.filter_text, self.order, filtered)
        if built != self._built:
            self._built = built
            older = self.view.ended_below
            self._rows = flatten(
                run, self.view.counts, folded=self._folded, order=self.order, filter=self._filter, older=older
            )
            self._sync(run)
        self.show()

    def _sync(self, run: Snapshot) -> None:
        """Put the cursor on the selected agent, or on its nearest visible ancestor."""
        self._wanted = self._wanted or run.root
        positions = {row.agent: index for index, row in enumerate(self._rows) if not row.older or self._wants_older}
        above = [agent.id for agent in run.ancestors(self._wanted)] if self._wanted is not None else []
        self._syncing = True
        self.show()
        self.cursor = next((positions[id] for id in above if id in positions), 0)
        self._syncing = False
        self.view.selected = self.current

    @property
    def current(self) -> AgentId | None:
        """The agent under the cursor."""
        return self._rows[self.cursor].agent if 0 <= self.cursor < len(self._rows) else None

    def copied_text(self) -> str:
        """The path of the agent under the cursor, as `swarm-tui send` takes it."""
        return self.view.path_of(self.current)

    def select(self, agent: AgentId) -> None:
        """Put the cursor on an agent, and unfold the planners above it."""
        run = self.view.run
        if run is None or agent not in run.agents:
            return
        above = {a.id for a in run.ancestors(agent)} - {agent}
        if above & self._folded:
            self._folded -= above
            self._folds += 1
        self._wanted = agent
        if self._filter and not self._filter.matches(run.agents[agent]):
            self.set_filter("")
        self._built = ()
        self.update()
        self._selected()

    def _parse_filter(self, text: str) -> Filter[Agent]:
        return agent_filter(text)

    def _show_matches(self) -> None:
        self.update()

    # --- painting ---------------------------------------------------------------------------------------------

    def line(self, index: int, cells: int) -> Line:
        run = self.view.run
        assert run is not None
        row = self._rows[index]
        if row.older:
            return older_line(row, cells)
        return agent_line(
            row,
            run.agents[row.agent],
            self.view.counts.totals[row.agent],
            marked=row.agent in self.view.marked,
            now=self.host.now(),
            cells=cells,
        )

    # --- actions ----------------------------------------------------------------------------------------------

    def on_click(self, event: events.Click) -> None:
        """A click on a planner's triangle folds or unfolds it; a click elsewhere selects the agent."""
        at = event.get_content_offset_capture(self)
        index = self.scroll_offset.y + at.y
        if 0 <= index < len(self._rows):
            row = self._rows[index]
            if row.parent and not self._filter and at.x in (triangle := 1 + 2 * min(row.depth, 10), triangle + 1):
                self._fold(row.agent, not row.folded)
                return
        super().on_click(event)

    def watch_cursor(self, old: int, new: int) -> None:
        if (agent := self.current) is not None:
            self.view.selected = agent
            if not self._syncing:
                self._wanted, self._wants_older = agent, bool(self._rows[new].older)
        super().watch_cursor(old, new)
        if not self._syncing:
            self._selected()

    def _fold(self, agent: AgentId, fold: bool) -> None:
        if fold == (agent in self._folded):
            return
        self._folded ^= {agent}
        self._folds += 1
        self.update()

    def go_left(self) -> None:
        """Fold the planner, or go to its parent."""
        if not self._rows:
            return
        row = self._rows[self.cursor]
        if row.parent and not row.folded and not self._filter:
            self._fold(row.agent, True)
            return
        for index in range(self.cursor - 1, -1, -1):
            if self._rows[index].depth < row.depth:
                self.cursor = index
                return

    def go_right(self) -> None:
        """Unfold the planner, or go to its first child."""
        if not self._rows:
            return
        row = self._rows[self.cursor]
        if row.older:
            self._recall_below(row.agent)
        elif row.folded:
            self._fold(row.agent, False)
        elif row.parent:
            self.move(1)

    def open_line(self) -> None:
        if self._rows and (row := self._rows[self.cursor]).older:
            self._recall_below(row.agent)
        else:
            super().open_line()

    def _recall_below(self, planner: AgentId) -> None:
        """Read more agents below a planner from the journal, and go to the newest of them."""
        run = self.view.run
        if run is None:
            return

        def show(found: Recalled) -> None:
            if found.agents:
                self._wanted, self._wants_older = max(found.agents), False
            self._built = ()
            self.update()
            self._selected()

        self._recall(self.host.session.ended_below(planner, run.children.get(planner, ())), show)

    @handles("agents.fold_all")
    def fold_all(self) -> None:
        if self.view.run is not None:
            self._folded = {id for id in self.view.run.children if id != self.view.run.root}
            self._folds += 1
            self.update()

    @handles("agents.unfold_all")
    def unfold_all(self) -> None:
        self._folded = set()
        self._folds += 1
        self.update()

    @handles("agents.mark")
    def toggle_mark(self) -> None:
        if (agent := self.current) is not None:
            self.view.marked ^= {agent}
            self.show()
            self.move(1)

    @handles("agents.sort")
    def next_order(self) -> None:
        self.order = _ORDERS[(_ORDERS.index(self.order) + 1) % len(_ORDERS)]
        self.update()
        self.host.show_note(f"sorted: {self.order}")

    def next_match(self) -> None:
        self._match(1)

    def previous_match(self) -> None:
        self._match(-1)

    def _match(self, step: int) -> None:
        for offset in range(1, len(self._rows) + 1):
            index = (self.cursor + step * offset) % len(self._rows)
            if self._rows[index].matched:
                self.cursor = index
                return
