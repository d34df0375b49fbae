"""A table of the agents that use most: tokens and money in total, memory, CPU and disk right now."""

from collections.abc import Callable, Mapping
from enum import StrEnum

from tui.bridge import Agent, AgentUse, Snapshot
from tui.format.numbers import count, price, short_size
from tui.format.text import Line, Span, fit, fit_end, one_line

_CELLS = 7
"""Width of a column of numbers. The disk's column has one more, for `/s`."""
_PATH = 48
"""Cells of the longest path."""


class Rank(StrEnum):
    """What agents are ranked by; also the column's heading."""

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
_FORMAT: Mapping[Rank, Callable[[Agent, float], str]] = {
    Rank.TOKENS: lambda agent, value: count(value),
    Rank.COST: lambda agent, value: price(agent.usage.usd),
    Rank.MEMORY: lambda agent, value: short_size(value),
    Rank.CPU: lambda agent, value: f"{value:.0f}%",
    Rank.DISK: lambda agent, value: f"{short_size(value)}/s",
}


def top_user_lines(run: Snapshot, rank: Rank, most: int, cells: int) -> list[Line]:
    """A table of at most `most` agents, the largest user first.

    Memory, CPU and disk are known only while an agent's command runs, as of the last sample.
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
    lines: list[Line] = [(Span(fit(" top users", room), "dim"), *heads)]
    if not shown:
        none_used = "no cost yet" if rank is Rank.COST else f"no running command uses {rank}"
        lines.append((Span(f"   {none_used}", "dim"),))
    for agent in shown:
        values = ((each, _OF[each](agent, uses[agent.id])) for each in Rank)
        numbers = [
            Span(fit(_FORMAT[each](agent, value) if value else "·", wide[each], right=True), "text" if value else "dim")
            for each, value in values
        ]
        path = fit_end(one_line(agent.path), room - 3)
        lines.append((Span(fit(f"   {path}", room), "dim" if agent.ended else "text"), *numbers))
    return lines
