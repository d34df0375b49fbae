"""The titles of the panes: counts, filters and states, in their frames."""

from textual.content import Content

from tui.format.state_styles import look_of
from tui.format.text import clean
from tui.screens.layout import PANES, Pane
from tui.screens.panes import Panes
from tui.widgets.agents import AgentTree
from tui.widgets.events import EventList
from tui.widgets.handoffs import HandoffList


def retitle(panes: Panes, *which: Pane) -> None:
    """Update the titles of the named panes, or of all panes if none is named."""
    for number, pane in enumerate(PANES, 1):
        if which and pane not in which:
            continue
        words = [clean(word).replace("\n", " ") for word in _words(panes, pane) if word]
        if panes.zoomed and pane is panes.pane:
            words.append(f"{panes.host.keymap.shown('focus.unzoom')} shows all panes")
        if panes.view.marked and pane is Pane.AGENTS:
            words.append(f"{len(panes.view.marked)} marked")
        title = Content.assemble((f"{number} {pane}", "bold"), *(f" · {word}" for word in words))
        panes.frame(pane).set_titles(title, _breadcrumbs(panes) if pane is Pane.AGENTS else "")


def _words(panes: Panes, pane: Pane) -> list[str]:
    run, agent = panes.view.run, panes.view.agent
    match pane:
        case Pane.AGENTS:
            return [str(panes.agents.total), _filter_note(panes.agents), str(panes.agents.order)]
        case Pane.DETAIL:
            return [f"{look_of(agent).glyph} {look_of(agent).word}", agent.path] if agent is not None else []
        case Pane.HANDOFFS:
            unread = sum(1 for want in panes.view.attention() if want.handoff is not None)
            return [
                str(run.handoff_count if run else 0),
                _filter_note(panes.handoffs),
                f"{unread} to read" if unread else "",
            ]
        case Pane.EVENTS:
            return [
                _filter_note(panes.event_list),
                "all kinds" if panes.event_list.everything else "",
                "following" if panes.event_list.follow else _not_following(panes.event_list),
            ]
        case Pane.RESOURCES:
            return [str(panes.resources.time_range)]


def _breadcrumbs(panes: Panes) -> str:
    """The path of the selected agent, with its planners."""
    agent = panes.view.agent
    return clean(" › ".join(agent.path.split("/"))).replace("\n", " ") if agent is not None else ""


def _not_following(events: EventList) -> str:
    new = f" · {events.behind} new" if events.behind else ""
    return f"not following{new} · f follows"


def _filter_note(view: AgentTree | HandoffList | EventList) -> str:
    if view.filter_error:
        return view.filter_error
    return f"/{view.filter_text} {view.matches} of {view.total}" if view.filter_text else ""
