"""The header: the most important facts about the run in two or three lines, shortened to the width."""

from collections import Counter
from typing import NamedTuple

from tui.bridge import AgentState, Micros, RunState, Snapshot, TaskState
from tui.format.limits import NEAR, budget_of, partial_limits
from tui.format.numbers import age, count, counted, dollars, duration, percent
from tui.format.state_styles import RUN, Look
from tui.format.text import EMPTY, Line, Span, fit, one_line, width_of
from tui.format.title import title
from tui.widgets.tab_strip import StripWidget

TALL = 24
"""Height of a terminal from which the header has a third line."""
_HOUR = 3_600_000_000
_WORTH = 8
"""Fewest cells in which a cut text is still worth showing."""
_SEPARATOR = Span(" │ ", "border")


class HeaderItem(NamedTuple):
    """Spans that belong together. If a line is too long, first the items of the highest rank become `short`, then
    the others, and then whole items are left out, the highest rank first.
    """

    rank: int
    spans: Line
    short: Line


class Header(StripWidget):
    """The run, its agents, and its cost."""

    def lines(self, cells: int) -> list[Line]:
        run = self.view.run
        if run is None or not run.run:
            return [title(f"{self.host.session.opening or 'starting'}…"), EMPTY, EMPTY]
        now = self.host.now()
        swarm, money = _swarm(run, self._counts(), now), _money(run, now)
        if self.size.height < 3:
            return [self._first(run, cells), join([*swarm, *money, *_limits(run)], cells)]
        return [self._first(run, cells), join(swarm, cells), join([*money, *_models(run), *_limits(run)], cells)]

    def _first(self, run: Snapshot, cells: int) -> Line:
        look, ending = _state(run)
        left: list[Span] = [
            Span(" ◆ ", "accent bold"),
            Span(one_line(run.repo.rstrip("/").rpartition("/")[2] or run.repo), "text bold"),
            Span("" if cells < 70 else f" {one_line(run.run if cells >= 100 else run.run[-4:])}", "dim"),
        ]
        for mark in (
            self.host.session.mark,
            "REHEARSAL" if run.rehearsal else "",
            "SCREEN FROZEN" if self.view.frozen else "",
            "QUITTING" if self.host.leaving else "",
        ):
            if mark:
                left += [Span("  "), Span(f" {mark} ", "on:cursor accent bold")]
        left += [
            Span("  "),
            Span(look.glyph if cells < 70 else f"{look.glyph} {look.word}", look.style),
            Span(f", {ending}" if ending and cells >= 100 else "", look.style),
            Span(f" {duration(run.wall(self.host.now()))}", "text"),
        ]
        if run.reason:
            left.append(Span(f" {one_line(run.reason)}", "dim"))
        right: list[Span] = []
        if wants := len(self.view.attention()):
            words = f" ! {wants} need{'' if wants > 1 else 's'} you " if cells >= 100 else f" !{wants} "
            right += [Span(words, "on:cursor failed bold"), Span(" ")]
        level = run.sandbox_level or "?"
        right.append(Span(f"sandbox: {level} ", "failed bold" if level == "off" else "dim"))
        if run.not_guaranteed:
            limits = counted(len(run.not_guaranteed), "limit")
            right.append(Span(f"({limits}: see doctor) " if cells >= 120 else f"({limits}) ", "dim"))
        if run.granted:
            names = f"grants: {', '.join(map(one_line, run.granted))} "
            right.append(Span(names if cells >= 140 else f"{counted(len(run.granted), 'grant')} ", "accent"))
        return _both_ends(left, right, cells)

    def _counts(self) -> tuple[int, int, int]:
        states = self.view.counts.states
        return self.view.counts.working, states[AgentState.WAITING], states[AgentState.PAUSED]


def _state(run: Snapshot) -> tuple[Look, str]:
    """The run's state, and what it still waits for while it is pausing. Pausing the root pauses the run, too."""
    root = run.agents.get(run.root) if run.root is not None else None
    root_paused = run.state is RunState.RUNNING and root is not None and root.paused
    if not root_paused and run.state is not RunState.PAUSING:
        return RUN[run.state], ""
    frozen = root is not None and root.frozen
    states = Counter(agent.state for agent in run.agents.values())
    calls = states[AgentState.STARTING] + states[AgentState.THINKING]
    commands = 0 if frozen else states[AgentState.ACTING]
    if not calls + commands:
        return RUN[RunState.PAUSED]._replace(word="frozen" if frozen else "paused"), ""
    what = "model call" if not commands else "command" if not calls else "step"
    return RUN[RunState.PAUSING], f"{counted(calls + commands, what)} left"


def _swarm(run: Snapshot, agents: tuple[int, int, int], now: Micros) -> list[HeaderItem]:
    """Agents by state, and what they achieved."""
    working, waiting, paused = agents
    # Counts tasks, not agents: agents that ended with their process did not fail, their tasks are queued again.
    failed, landed = run.task_counts[TaskState.FAILED], run.task_counts[TaskState.LANDED]
    unchanged, held = run.task_counts[TaskState.UNCHANGED], run.task_counts[TaskState.HELD]
    per_hour = Span(f" {count(run.landed_per_hour(now))}/h", "text")
    failed_checks = Span(percent(run.error_rate), "failed" if run.error_rate else "text")
    if not run.check_command:
        green = Span("no check", "dim")
    elif run.green_at is None:
        green = Span("not green yet", "dim")
    else:
        green = Span(f"green {age(now - run.green_at)} ago", "done")
    return [
        _counted("●", working, "working", "thinking", 1),
        _counted("◔", waiting, "waiting", "waiting", 3),
        _counted("‖", paused, "paused", "paused", 2 if paused else 5),
        _counted("✗", failed, "failed", "failed", 2 if failed else 5),
        *([_counted("⊠", held, "held", "paused", 2)] if held else []),
        HeaderItem(
            0, (Span(f"↥ {landed}", "done"), Span(" landed", "dim"), per_hour), (Span(f"↥ {landed}", "done"), per_hour)
        ),
        *([_counted("∅", unchanged, "no change", "text", 4)] if unchanged else []),
        HeaderItem(3, (Span("failed checks ", "dim"), failed_checks), (Span("checks ✗ ", "dim"), failed_checks)),
        HeaderItem(3, (green,), (Span(green.text.removesuffix(" ago"), green.style),)),
    ]


def _counted(glyph: str, number: int, word: str, style: str, rank: int) -> HeaderItem:
    short = (Span(f"{glyph} {number}", style if number else "dim"),)
    return HeaderItem(rank, (*short, Span(f" {word}", "dim")), short)


def _money(run: Snapshot, now: Micros) -> list[HeaderItem]:
    """Tokens, cost and time, with their limits. Time shows only if it has one."""
    budget, usage = budget_of(run), run.usage
    tokens, wall = run.tokens, run.wall(now)
    hourly = "" if usage.usd is None or wall < _HOUR // 60 else f"{dollars(usage.usd * _HOUR / wall)}/h"
    token_span = _of_limit(count(tokens), tokens, count(budget.tokens), budget.tokens)
    cost = _of_limit(dollars(usage.usd), usage.usd or 0.0, dollars(budget.usd), budget.usd)
    items = [
        HeaderItem(4, (*token_span, Span(" tokens", "dim")), (*token_span, Span(" tok", "dim"))),
        HeaderItem(1, (*cost, Span(f" {hourly}" if hourly else "", "text")), cost),
    ]
    if budget.wall:
        time = _of_limit(duration(wall), wall, duration(budget.wall), budget.wall)
        items.append(HeaderItem(4, (*time, Span(" of time", "dim")), time))
    return items


def _limits(run: Snapshot) -> list[HeaderItem]:
    """Limits of subtrees and roles: the limit if there is one, or how many there are."""
    limits = list(partial_limits(run))
    if not limits:
        return []
    style = "failed bold" if any(limit.blocking for limit in limits) else "paused"
    number = counted(len(limits), "limit")
    text = one_line(limits[0].text) if len(limits) == 1 else f"{number} in subtrees and roles"
    return [HeaderItem(3, (Span(text, style),), (Span(number, style),))]


def _of_limit(text: str, used: float, limit_text: str, limit: float) -> Line:
    """A number and its limit, highlighted once most of it is used."""
    if not limit:
        return (Span(text, "text"),)
    style = "failed bold" if used >= limit else "paused bold" if used >= NEAR * limit else "text"
    return (Span(text, style), Span(f" of {limit_text}", "dim"))


def _models(run: Snapshot) -> list[HeaderItem]:
    """Each model with the roles that use it."""
    roles: dict[str, list[str]] = {}
    for role, model in run.models.items():
        if model:
            roles.setdefault(one_line(model.partition("?")[0]), []).append(role)
    if len(roles) == 1:
        roles = {model: ["model"] for model in roles}
    return [
        HeaderItem(
            2,
            (Span(f"{', '.join(names)} ", "dim"), Span(model, "text")),
            (Span(f"{names[0]} ", "dim"), Span(model.partition(":")[2] or model, "text")),
        )
        for model, names in roles.items()
    ]


def join(items: list[HeaderItem], cells: int) -> Line:
    """The items in one line, shortened to at most `cells` as `HeaderItem` says."""
    shown: list[HeaderItem | None] = list(items)
    by_rank = sorted(range(len(items)), key=lambda index: (-items[index].rank, -index))
    for index in by_rank:
        if _width(shown) <= cells:
            break
        shown[index] = items[index]._replace(spans=items[index].short)
    for index in by_rank[:-1]:
        if _width(shown) <= cells:
            break
        shown[index] = None
    line: list[Span] = []
    for item in shown:
        if item is not None:
            line += [_SEPARATOR if line else Span(" "), *item.spans]
    return tuple(line)


def _width(items: list[HeaderItem | None]) -> int:
    return 1 + sum(width_of(item.spans) + 3 for item in items if item is not None) - 3


def _both_ends(left: list[Span], right: list[Span], cells: int) -> Line:
    """Spans at both ends of a line. If they do not fit, the left ones are cut."""
    room = cells - width_of(right)
    line: list[Span] = []
    for one in left:
        if width_of([*line, one]) > room - 1:
            if room - width_of(line) <= _WORTH:
                break
            line.append(Span(fit(one.text, max(0, room - 1 - width_of(line))), one.style))
            break
        line.append(one)
    return (*line, Span(" " * max(0, room - width_of(line))), *right)
