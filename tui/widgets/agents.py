"""The agent tree: one row an agent, with its state, what it does now, and what stands below it."""

from typing import ClassVar

from rich.cells import cell_len
from textual.binding import BindingType

from tui.bridge import Agent, AgentId, AgentState, Role, Snapshot
from tui.figures import age, count, dollars
from tui.filters import BadFilter, Filter, agent_filter
from tui.keymap import DEFAULT
from tui.states import AGENT
from tui.text import Line, Span, fit, one_line, width_of
from tui.tree import Order, Row, flatten
from tui.widgets.lines import LineView

_ORDERS = list(Order)
_STATE_CELLS = 11


class AgentTree(LineView):
    """The tree pane's list. The cursor sticks to its agent through updates, folding, order and filters."""

    SCOPES: ClassVar[tuple[str, ...]] = ("agents", "list")
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("agents")]
    EMPTY_TEXT: ClassVar[str] = "The root planner is about to start."

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.order = Order.LIVE
        self.filter_text = ""
        self.filter_error = ""
        self._filter: Filter[Agent] | None = None
        self._folded: set[AgentId] = set()
        self._rows: list[Row] = []
        self._built: tuple[object, ...] = ()
        self._folds = 0
        # What a person chose last. Under a filter or a fold the cursor may stand elsewhere, and comes back to it.
        self._wanted: AgentId | None = None
        self._syncing = False

    # --- rows ------------------------------------------------------------------------------------------------

    def line_count(self) -> int:
        return len(self._rows)

    def empty_line(self, row: int) -> Line:
        if self._filter and row == 1:
            return (Span("  No agent matches. esc clears the filter.", "dim"),)
        return super().empty_line(row)

    @property
    def matches(self) -> int:
        """How many agents the filter matches; all of them without one."""
        return sum(row.matched for row in self._rows)

    def update(self) -> None:
        """Take over the snapshot in view."""
        run = self.view.run
        if run is None:
            return
        filtered = run.seq if self._filter or self.order in (Order.COST, Order.NEWEST) else 0
        built = (len(run.agents), self.view.census.ended, self._folds, self.filter_text, self.order, filtered)
        if built != self._built:
            self._built = built
            self._rows = flatten(
                run, self.view.census, folded=self._folded, order=self.order, filter=self._filter or None
            )
            self._sync(run)
        self.show()

    def _sync(self, run: Snapshot) -> None:
        """Put the cursor on the agent that was chosen, or on the nearest visible one above it."""
        self._wanted = self._wanted or run.root
        positions = {row.agent: index for index, row in enumerate(self._rows)}
        above = [agent.id for agent in run.ancestors(self._wanted)] if self._wanted is not None else []
        self._syncing = True
        with self.prevent(self.Moved):
            self.show()
            self.cursor = next((positions[id] for id in above if id in positions), 0)
        self._syncing = False
        self.view.selected = self.current

    @property
    def current(self) -> AgentId | None:
        """The agent under the cursor."""
        return self._rows[self.cursor].agent if 0 <= self.cursor < len(self._rows) else None

    def taken(self) -> str:
        """The path of the agent under the cursor, as `send` takes it."""
        return self.view.path_of(self.current)

    def select(self, agent: AgentId) -> None:
        """Put the cursor on an agent, opening what is folded above it."""
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
        self.post_message(self.Moved(self, self.cursor))

    def set_filter(self, text: str) -> None:
        """Filter the tree; a bad filter keeps the last good one and says what is wrong."""
        run = self.view.run
        if run is None:
            return
        try:
            self._filter = agent_filter(text, run)
        except BadFilter as error:
            self.filter_error = str(error)
        else:
            self.filter_error = ""
            self.filter_text = self._filter.source
            self.update()

    # --- painting --------------------------------------------------------------------------------------------

    def line(self, index: int, cells: int) -> Line:
        run = self.view.run
        assert run is not None
        row = self._rows[index]
        agent = run.agents[row.agent]
        look = AGENT[agent.state]
        below = self.view.census.below[agent.id]
        planner = agent.role is Role.PLANNER

        mark = Span("◆", "accent") if agent.id in self.view.marked else Span(" ")
        fold = ("▸ " if row.folded else "▾ ") if row.parent else "  "
        right: list[Span] = []
        if cells >= 104:
            right.append(Span(fit(dollars(below.usd if planner else agent.usage.usd), 9, right=True), "dim"))
        if cells >= 92:
            right.append(Span(fit(count(below.tokens), 7, right=True), "dim"))
        if planner and cells >= 46:
            right += _tasks(below.open, below.landed, below.failed)
        elif cells >= 80:
            right.append(Span(" " * 13))
        since = self.host.now() - (agent.stepped_at or agent.spawned_at)
        right.append(Span(fit("" if agent.ended else age(since), 5, right=True), "dim"))

        left_cells = cells - width_of(right) - 1 - _STATE_CELLS
        name_cells = max(14, min((cells - 15) * 11 // 20, 52))
        doing_cells = max(0, left_cells - name_cells)
        name = one_line(agent.path.rpartition("/")[2])
        head = "  " * min(row.depth, 10) + fold
        room = max(0, name_cells - len(head) - 2)
        shown = fit(name, min(room, cell_len(name)))
        name_style = "planner bold" if planner else "dim" if agent.ended else "text"
        title = one_line(agent.title) if not name.startswith(one_line(agent.title)) else ""
        state = Span("held", "paused") if agent.paused else Span(look.word, look.style)
        doing = agent.reason if agent.ended and agent.reason else agent.doing
        if agent.state is AgentState.WAITING and doing_cells < cell_len(doing):
            doing = ""  # the state says it already
        return (
            mark,
            Span(head, "dim"),
            Span(look.glyph + " ", look.style),
            Span(shown, name_style if row.matched else "dim"),
            Span(fit(f" {title}", room - cell_len(shown)), "dim"),
            Span(" " + fit(state.text, _STATE_CELLS - 1), state.style),
            Span(
                fit(one_line(doing), doing_cells), "dim" if agent.ended or agent.state is AgentState.WAITING else "text"
            ),
            *right,
        )

    # --- actions ---------------------------------------------------------------------------------------------

    def watch_cursor(self, old: int, new: int) -> None:
        if (agent := self.current) is not None:
            self.view.selected = agent
            if not self._syncing:
                self._wanted = agent
        super().watch_cursor(old, new)

    def _fold(self, agent: AgentId, fold: bool) -> None:
        if fold == (agent in self._folded):
            return
        self._folded ^= {agent}
        self._folds += 1
        self.update()

    def do_left(self) -> None:
        """Fold the planner, or go to the one above."""
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

    def do_right(self) -> None:
        """Unfold the planner, or go to its first child."""
        if not self._rows:
            return
        row = self._rows[self.cursor]
        if row.folded:
            self._fold(row.agent, False)
        elif row.parent:
            self.move(1)

    def do_fold_all(self) -> None:
        if self.view.run is not None:
            self._folded = {id for id in self.view.run.children if id != self.view.run.root}
            self._folds += 1
            self.update()

    def do_unfold_all(self) -> None:
        self._folded = set()
        self._folds += 1
        self.update()

    def do_mark(self) -> None:
        if (agent := self.current) is not None:
            self.view.marked ^= {agent}
            self.show()
            self.move(1)

    def do_sort(self) -> None:
        self.order = _ORDERS[(_ORDERS.index(self.order) + 1) % len(_ORDERS)]
        self.update()
        self.host.tell(f"order: {self.order}")

    def do_next_match(self) -> None:
        self._match(1)

    def do_previous_match(self) -> None:
        self._match(-1)

    def _match(self, step: int) -> None:
        for offset in range(1, len(self._rows) + 1):
            index = (self.cursor + step * offset) % len(self._rows)
            if self._rows[index].matched:
                self.cursor = index
                return


def _tasks(open_: int, landed: int, failed: int) -> list[Span]:
    """Open, landed and failed tasks below a planner, in 13 cells."""
    return [
        Span(fit(count(open_) if open_ else "·", 4, right=True), "thinking" if open_ else "dim"),
        Span(fit(count(landed) if landed else "·", 5, right=True), "done" if landed else "dim"),
        Span(fit(count(failed) if failed else "·", 4, right=True), "failed" if failed else "dim"),
    ]
