"""One agent as a line of the tree: which columns fit, their headings, and what each shows."""

from typing import NamedTuple

from rich.cells import cell_len

from tui.bridge import Agent, AgentState, Micros, Role
from tui.format.numbers import age, count, counted, price
from tui.format.state_styles import AGENT, look_of
from tui.format.text import Line, Span, fit, one_line
from tui.format.tree_rows import Row
from tui.format.view import SubtreeTotals

_MARK, _STATE, _TOKENS, _COST, _AGE = 1, 10, 7, 6, 5
_TITLE = 5
"""Fewest cells in which a title is shown."""
_TASKS = {"open": 5, "landed": 7, "failed": 7}
"""Cells of the columns that count tasks, where there is room for them."""
SILENT = 300_000_000
"""Microseconds without a step after which a working agent is highlighted."""


class Columns(NamedTuple):
    """Cells of each column. `tasks` is 0 where a planner's task counts share the activity column."""

    name: int
    activity: int
    tasks: int


def columns(cells: int) -> Columns:
    """The columns of a tree that is `cells` wide."""
    room = max(0, cells - _MARK - _STATE - _TOKENS - _COST - _AGE)
    name = max(14, min(room * 9 // 20, 48))
    tasks = sum(_TASKS.values())
    tasks = tasks if room - name >= tasks + 24 else 0
    return Columns(name, max(0, room - name - tasks), tasks)


def column_heads(cells: int) -> Line:
    """The columns' headings."""
    at = columns(cells)
    tasks = "".join(fit(name, cells, right=True) for name, cells in _TASKS.items()) if at.tasks else ""
    words = (
        " " * (_MARK + 4) + fit("agent", at.name - 4),
        fit(" state", _STATE),
        fit("activity", at.activity),
        tasks,
        fit("tokens", _TOKENS, right=True),
        fit("cost", _COST, right=True),
        fit("idle", _AGE, right=True),
    )
    return (Span("".join(words), "dim italic"),)


def older_line(row: Row, cells: int) -> Line:
    """The line of agents that have left memory."""
    words = f"{'  ' * min(row.depth, 10)} … {counted(row.older, 'older ended agent')} in the journal: enter shows more"
    return (Span(fit(f" {words}", cells), "dim"),)


def agent_line(row: Row, agent: Agent, totals: SubtreeTotals, *, marked: bool, now: Micros, cells: int) -> Line:
    """The agent's line. Tasks, tokens and cost are totals of its subtree."""
    at = columns(cells)
    planner = agent.role is Role.PLANNER
    quiet = agent.ended or agent.state is AgentState.WAITING
    since = now - (agent.stepped_at or agent.spawned_at)
    silent = since > SILENT and not quiet and not agent.paused
    usd = None if totals.unpriced else totals.usd
    return (
        Span("◆", "accent") if marked else Span(" "),
        *_name(row, agent, at.name),
        *_state(agent),
        *_activity(agent, totals, at, planner=planner, quiet=quiet),
        *(_task_counts(totals) if planner and at.tasks else (Span(" " * at.tasks),)),
        Span(fit(count(totals.tokens) if totals.tokens else "·", _TOKENS, right=True), "dim"),
        Span(fit(price(usd) if usd != 0 else "·", _COST, right=True), "dim"),
        Span(fit(age(since), _AGE, right=True), "paused bold" if silent else "dim"),
    )


def _name(row: Row, agent: Agent, cells: int) -> Line:
    look = AGENT[agent.state]
    head = "  " * min(row.depth, 10) + (("▸ " if row.folded else "▾ ") if row.parent else "  ")
    room = max(0, cells - len(head) - 2)
    name = one_line(agent.path.rpartition("/")[2])
    shown = fit(name, min(room, cell_len(name)))
    title = _title(agent, name) if room - cell_len(shown) > _TITLE else ""
    style = "planner bold" if agent.role is Role.PLANNER else "dim" if agent.ended else "text"
    return (
        Span(head[:cells], "dim"),
        Span(look.glyph + " ", look.style),
        Span(shown, style if row.matched else "dim"),
        Span(fit(f" {title}" if title else "", room - cell_len(shown)), "dim"),
    )


def _title(agent: Agent, name: str) -> str:
    """The agent's title; empty if its name already says the same."""
    title = one_line(agent.title)
    return "" if name.startswith(title) else title


def _state(agent: Agent) -> Line:
    look = look_of(agent)
    return (Span(" " + fit(look.word, _STATE - 1), look.style),)


def _activity(agent: Agent, totals: SubtreeTotals, at: Columns, *, planner: bool, quiet: bool) -> Line:
    spans: list[Span] = []
    if planner and not at.tasks:
        spans = [Span(f"{glyph}{count(number)} ", style) for glyph, number, style in _tasks(totals) if number]
    room = at.activity - sum(cell_len(span.text) for span in spans)
    doing = one_line(agent.reason if agent.ended and agent.reason else agent.doing)
    if agent.ended and not doing:
        doing = _title(agent, one_line(agent.path.rpartition("/")[2]))
    if agent.state is AgentState.WAITING and (spans or room < cell_len(doing)):
        doing = ""  # its state already says so
    if room < 0:
        return (Span(fit("".join(span.text for span in spans), at.activity), "dim"),)
    return (*spans, Span(fit(doing, room), "dim" if quiet else "text"))


def _tasks(totals: SubtreeTotals) -> tuple[tuple[str, int, str], ...]:
    """Open, landed and failed tasks, each with its glyph and style."""
    return (("○", totals.open, "thinking"), ("✓", totals.landed, "done"), ("✗", totals.failed, "failed"))


def _task_counts(totals: SubtreeTotals) -> Line:
    return tuple(
        Span(fit(count(number) if number else "·", cells, right=True), style if number else "dim")
        for (_, number, style), cells in zip(_tasks(totals), _TASKS.values(), strict=True)
    )
