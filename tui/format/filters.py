"""The filter language of the lists: `text`, `!not`, `state:paused`, `role:planner`, `under:root/parser`, …"""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from tui.bridge import Agent, AgentId, AgentState, Handoff, HandoffStatus, Role
from tui.format.event_line import EVENT_KINDS, EventLine, Tone

Row = TypeVar("Row")
Test = Callable[[Row], bool]
Field = Callable[[str], Test[Row]]
Find = Callable[[AgentId | None], Agent | None]
"""Looks an agent up by its id in the newest snapshot: a filter outlives the one that it was made under."""


class BadFilter(ValueError):  # noqa: N818 - says what the filter is
    """A filter that cannot be understood; the message says which word and what would do."""


class Filter(Generic[Row]):
    """A parsed filter: every word must hold. Words are split at white space; `!` in front turns one round."""

    def __init__(self, source: str, fields: Mapping[str, Field[Row]], text: Callable[[Row], str]) -> None:
        """Raises BadFilter."""
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
        raise BadFilter(f"{name}: is not one of {', '.join(f'{field}:' for field in fields)}")
    needle = word.casefold()
    return lambda row: needle in text(row).casefold()


def _one_of(name: str, value: str, known: list[str]) -> list[str]:
    found = [word for word in known if word.startswith(value)] if value else []
    if not found:
        raise BadFilter(f"{name}: is one of {' '.join(known)}")
    return found


def agent_filter(source: str) -> Filter[Agent]:
    """A filter of agents. `state:working` stands for all who work. Raises BadFilter."""

    def state(value: str) -> Test[Agent]:
        if value == "working":
            return lambda agent: agent.state in (AgentState.STARTING, AgentState.THINKING, AgentState.ACTING)
        wanted = _one_of("state", value, [str(state) for state in AgentState])
        return lambda agent: agent.state in wanted or (agent.paused and "paused" in wanted)

    def role(value: str) -> Test[Agent]:
        wanted = _one_of("role", value, [str(role) for role in Role])
        return lambda agent: agent.role in wanted

    def under(value: str) -> Test[Agent]:
        path = _path(value)
        return lambda agent: agent.path == path or agent.path.startswith(path + "/")

    def model(value: str) -> Test[Agent]:
        return lambda agent: value in agent.model

    return Filter(
        source,
        {"state": state, "role": role, "under": under, "model": model},
        lambda agent: f"{agent.path} {agent.title} {agent.doing}",
    )


def event_filter(source: str, find: Find) -> Filter[EventLine]:
    """A filter of events, `tone:bad` for example. Raises BadFilter."""

    def kind(value: str) -> Test[EventLine]:
        wanted = _one_of("kind", value, list(EVENT_KINDS))
        return lambda event: event.kind in wanted

    def tone(value: str) -> Test[EventLine]:
        wanted = _one_of("tone", value, [str(tone) for tone in Tone])
        return lambda event: event.tone in wanted

    def path(event: EventLine) -> str:
        agent = find(event.agent)
        return agent.path if agent is not None else str(event.agent or "")

    def under(value: str) -> Test[EventLine]:
        top = _path(value)
        return lambda event: (path(event) + "/").startswith(top + "/")

    def role(value: str) -> Test[EventLine]:
        wanted = _one_of("role", value, [str(role) for role in Role])
        return lambda event: (agent := find(event.agent)) is not None and agent.role in wanted

    return Filter(
        source,
        {"kind": kind, "tone": tone, "under": under, "role": role},
        lambda event: f"{event.kind} {event.text} {path(event)}",
    )


def _path(value: str) -> str:
    path = value.rstrip("/")
    if not path:
        raise BadFilter("under: takes a path, for example under:root")
    return path


def handoff_filter(source: str, find: Find) -> Filter[Handoff]:
    """A filter of handoffs. Raises BadFilter."""

    def words(handoff: Handoff) -> str:
        agent = find(handoff.agent)
        return f"{agent.path} {agent.title}" if agent is not None else str(handoff.agent)

    def path(handoff: Handoff) -> str:
        agent = find(handoff.agent)
        return agent.path if agent is not None else str(handoff.agent)

    sections = ["notes", "concerns", "deviations", "findings", "feedback"]

    def has(value: str) -> Test[Handoff]:
        wanted = _one_of("has", value, sections)
        return lambda handoff: any(getattr(handoff.text, name).strip() for name in wanted)

    def status(value: str) -> Test[Handoff]:
        wanted = _one_of("status", value, [str(status) for status in HandoffStatus])
        return lambda handoff: handoff.text.status in wanted

    def under(value: str) -> Test[Handoff]:
        top = _path(value)
        return lambda handoff: (path(handoff) + "/").startswith(top + "/")

    return Filter(
        source,
        {"has": has, "status": status, "under": under},
        lambda handoff: f"{words(handoff)} {handoff.text.summary}",
    )
