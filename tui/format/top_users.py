"""Which agents use most, of what a person ranks them by: tokens and money in all, the machine at this moment."""

from collections.abc import Callable, Mapping
from enum import StrEnum

from rich.cells import cell_len

from tui.bridge import Agent, AgentUse, Snapshot
from tui.format.numbers import count, octets, price
from tui.format.text import Line, Span, fit, one_line

_CELLS = 7
"""Of each column of figures; that of the disk has one more, for `/s`."""
_PATH = 48
"""Cells of a path at most."""


class Rank(StrEnum):
    """What agents are ranked by, and the column's name."""

    TOKENS = "tokens"
    COST = "cost"
    MEMORY = "memory"
    CPU = "cpu"
    DISK = "disk"


_OF: Mapping[Rank, Callable[[Agent, AgentUse], float]] = {
    Rank.TOKENS: lambda agent, use: agent.usage.input + agent.usage.output,
    Rank.COST: lambda agent, use: agent.usage.usd or 0.0,
    Rank.MEMORY: lambda agent, use: use.memory,
    Rank.CPU: lambda agent, use: use.cpu,
    Rank.DISK: lambda agent, use: use.disk_read + use.disk_write,
}
_TOLD: Mapping[Rank, Callable[[Agent, float], str]] = {
    Rank.TOKENS: lambda agent, value: count(value),
    Rank.COST: lambda agent, value: price(agent.usage.usd),
    Rank.MEMORY: lambda agent, value: octets(value),
    Rank.CPU: lambda agent, value: f"{value:.0f}%",
    Rank.DISK: lambda agent, value: f"{octets(value)}/s",
}


def top_user_lines(run: Snapshot, rank: Rank, most: int, cells: int) -> list[Line]:
    """A table of at most so many agents, the greatest first, under heads.

    What commands use is known while they run, as of the last look at them.
    """
    none = AgentUse()
    amount = _OF[rank]
    uses = {agent.id: run.uses.get(agent.id, none) for agent in run.agents.values()}
    ranked = sorted(run.agents.values(), key=lambda agent: amount(agent, uses[agent.id]), reverse=True)
    shown = [agent for agent in ranked[:most] if amount(agent, uses[agent.id])]
    if not shown and not any(agent.usage.input + agent.usage.output for agent in ranked):
        return []
    wide = {each: _CELLS + (each is Rank.DISK) for each in Rank}
    heads = [Span(fit(each, wide[each], right=True), "accent bold" if each is rank else "dim italic") for each in Rank]
    room = max(10, min(_PATH, cells - sum(wide.values())))
    lines: list[Line] = [(Span(fit(" uses most", room), "dim"), *heads)]
    if not shown:
        none_used = "nothing has cost anything" if rank is Rank.COST else "no command runs that uses any"
        lines.append((Span(f"   {none_used}", "dim"),))
    for agent in shown:
        values = ((each, _OF[each](agent, uses[agent.id])) for each in Rank)
        figures = [
            Span(fit(_TOLD[each](agent, value) if value else "·", wide[each], right=True), "text" if value else "dim")
            for each, value in values
        ]
        path = one_line(agent.path)
        path = path if cell_len(path) < room - 2 else "…" + path[3 - room :]
        lines.append((Span(fit(f"   {path}", room), "dim" if agent.ended else "text"), *figures))
    return lines
