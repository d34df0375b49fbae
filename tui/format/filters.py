"""The filter language of the lists: `text`, `!not`, `state:paused`, `role:planner`, `under:root/parser` and so on."""

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from tui.bridge import Agent, AgentId, AgentState, Handoff, HandoffStatus, Role
from tui.format.event_line import EVENT_KINDS, EventLine, Tone

Row = TypeVar("Row")
Test = Callable[[Row], bool]
Field = Callable[[str], Test[Row]]
Find = Callable[[AgentId | None], Agent | None]
"""Looks up an agent by its id in the newest snapshot. A filter outlives the snapshot it was typed under."""


class FilterError(ValueError):
    """An invalid filter; the message names the word and the valid choices."""


class Filter(Generic[Row]):
    """A parsed filter. Words are separated by white space and must all match; `!` in front of a word negates it."""

    def __init__(self, source: str, fields: Mapping[str, Field[Row]], text: Callable[[Row], str]) -> None:
        """Raises FilterError."""
        self.source = source.strip()
        self._tests: list[tuple[bool, Test[Row]]] = []
        for word in self.source.split():
            wanted = not word.startswith("!")
            self._tests.append((wanted, _test(word.removeprefix("!"), fields, text)))

    def __bool__(self) -> bool:
        return bool(self._tests)

    def matches(self, row: Row) -> bool:
        return all(test(row) == wanted for wanted, test in self._tests)


def _test(word: str, fields: Mapping[str, Field[Row]], text: Callable[[Row], str]) -> Test[Row]:
    name, colon, value = word.partition(":")
    if colon and name in fields:
        return fields[name](value)
    if colon and name.isalpha() and "/" not in word:
        raise FilterError(f"unknown {name}:, use {', '.join(f'{field}:' for field in fields)}")
    needle = word.casefold()
    return lambda row: needle in text(row).casefold()


def _choice(name: str, known: Iterable[str], matches: Callable[[Row, list[str]], bool]) -> Field[Row]:
    """A field that takes the beginning of a known word; `matches` gets all the words that begin so."""
    words = [str(word) for word in known]

    def field(value: str) -> Test[Row]:
        wanted = [word for word in words if word.startswith(value)] if value else []
        if not wanted:
            raise FilterError(f"{name}: must be {', '.join(words)}")
        return lambda row: matches(row, wanted)

    return field


def _under(path_of: Callable[[Row], str]) -> Field[Row]:
    """A field that takes the path of an agent, and matches it and everything below it."""

    def field(value: str) -> Test[Row]:
        top = value.rstrip("/")
        if not top:
            raise FilterError("under: needs a path, such as under:root")
        return lambda row: f"{path_of(row)}/".startswith(f"{top}/")

    return field


def agent_filter(source: str) -> Filter[Agent]:
    """A filter for agents. `state:working` matches every working agent. Raises FilterError."""
    by_state: Field[Agent] = _choice(
        "state", AgentState, lambda agent, wanted: agent.state in wanted or (agent.paused and "paused" in wanted)
    )

    def state(value: str) -> Test[Agent]:
        if value == "working":
            return lambda agent: agent.state in (AgentState.STARTING, AgentState.THINKING, AgentState.ACTING)
        return by_state(value)

    return Filter(
        source,
        {
            "state": state,
            "role": _choice("role", Role, lambda agent, wanted: agent.role in wanted),
            "under": _under(lambda agent: agent.path),
            "model": lambda value: lambda agent: value in agent.model,
        },
        lambda agent: f"{agent.path} {agent.title} {agent.doing}",
    )


def event_filter(source: str, find: Find) -> Filter[EventLine]:
    """A filter for events, such as `tone:bad`. Raises FilterError."""

    def path(event: EventLine) -> str:
        agent = find(event.agent)
        return agent.path if agent is not None else str(event.agent or "")

    def has_role(event: EventLine, wanted: list[str]) -> bool:
        agent = find(event.agent)
        return agent is not None and agent.role in wanted

    return Filter(
        source,
        {
            "kind": _choice("kind", EVENT_KINDS, lambda event, wanted: event.kind in wanted),
            "tone": _choice("tone", Tone, lambda event, wanted: event.tone in wanted),
            "under": _under(path),
            "role": _choice("role", Role, has_role),
        },
        lambda event: f"{event.kind} {event.text} {path(event)}",
    )


def handoff_filter(source: str, find: Find) -> Filter[Handoff]:
    """A filter for handoffs. Raises FilterError."""

    def path(handoff: Handoff) -> str:
        agent = find(handoff.agent)
        return agent.path if agent is not None else str(handoff.agent)

    def title(handoff: Handoff) -> str:
        agent = find(handoff.agent)
        return agent.title if agent is not None else ""

    def has(handoff: Handoff, wanted: list[str]) -> bool:
        return any(name in handoff.text.sections for name in wanted)

    sections = ("notes", "concerns", "deviations", "findings", "feedback")
    return Filter(
        source,
        {
            "has": _choice("has", sections, has),
            "status": _choice("status", HandoffStatus, lambda handoff, wanted: handoff.text.status in wanted),
            "under": _under(path),
        },
        lambda handoff: f"{path(handoff)} {title(handoff)} {handoff.text.summary}",
    )
