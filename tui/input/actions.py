"""The action registry: every action's id, keys, words and scope, and why it cannot run now."""

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from tui.bridge import Agent, Role, RunState, Snapshot


class Context(Struct, frozen=True):
    """What decides whether an action can run now. `agent` is the selected one, `run` is None before there is one."""

    run: Snapshot | None = None
    agent: Agent | None = None
    marked: int = 0
    read_only: str = ""
    no_detach: str = ""
    attention: int = 0
    handoffs: int = 0
    narrow: bool = False
    replaying: bool = False
    undo: str = ""
    redo: str = ""


def _commandable(c: Context) -> str:
    if c.run is None:
        return "no run yet"
    if c.read_only:
        return c.read_only
    return f"the run is {c.run.state}" if c.run.ended else ""


def _on_agent(c: Context) -> str:
    return _commandable(c) or ("" if c.agent is not None else "no agent is selected")


def _on_live_agent(c: Context) -> str:
    if reason := _on_agent(c):
        return reason
    assert c.agent is not None
    return f"{c.agent.path} is {c.agent.state}" if c.agent.ended and c.agent.role is not Role.PLANNER else ""


def _on_planner(c: Context) -> str:
    if reason := _on_agent(c):
        return reason
    assert c.agent is not None
    return "" if c.agent.role is Role.PLANNER else "only planners have queued tasks: choose the one above"


def _rescopable(c: Context) -> str:
    if reason := _on_planner(c):
        return reason
    assert c.agent is not None
    if c.agent.parent is None:
        return "the root's goal is the intent; i edits it"
    return f"{c.agent.path} is {c.agent.state}" if c.agent.gone else ""


def _cancellable(c: Context) -> str:
    if reason := _on_agent(c):
        return reason
    assert c.agent is not None
    assert c.run is not None
    if c.agent.parent is None:
        return "the root cannot be cancelled; q stops the run"
    open_below = any(
        not c.run.tasks[task].ended for below in c.run.subtree(c.agent.id) for task in c.run.tasks_of.get(below.id, ())
    )
    return f"{c.agent.path} is {c.agent.state}" if c.agent.ended and not open_below else ""


def _needs_person(c: Context) -> str:
    return "" if c.attention else "nothing needs you"


def _undoable(c: Context) -> str:
    return _commandable(c) or ("" if c.undo else "nothing to undo")


def _redoable(c: Context) -> str:
    return _commandable(c) or ("" if c.redo else "nothing to redo")


def _has_handoff(c: Context) -> str:
    return "" if c.handoffs else "no handoff is selected"


def _replies(c: Context) -> str:
    return _commandable(c) or _has_handoff(c)


def _replays(c: Context) -> str:
    return "" if c.replaying else "only in a replay: swarm-tui replay RUN"


def _free(_: Context) -> str:
    return ""


def _ordinary(_: Context) -> str:
    return ""


def _to_read(c: Context) -> str:
    return f"{c.attention} need{'' if c.attention > 1 else 's'} you" if c.attention else ""


def _all_held(c: Context) -> str:
    return "resume all" if c.run is not None and c.run.state in (RunState.PAUSING, RunState.PAUSED) else ""


def _held(c: Context) -> str:
    return "resume" if c.agent is not None and c.agent.paused else ""


def _marked(c: Context) -> str:
    return f"steer {c.marked} marked" if c.marked else ""


class Action(Struct, frozen=True):
    """Something that a key does. `keys` are Textual's key names; `footer` ranks it there, 0 keeps it out.

    `unavailable` answers why it cannot run now; an empty string when it can. `pressing` is what it is called where
    it matters more than any other right now; an empty string when it does not.
    """

    id: str
    keys: tuple[str, ...]
    label: str
    description: str
    footer: int = 0
    unavailable: Callable[[Context], str] = _free
    pressing: Callable[[Context], str] = _ordinary

    @property
    def scope(self) -> str:
        return self.id.partition(".")[0]


ALWAYS = ("global.help", "global.quit")
"""Actions that the footer never leaves out."""
A = Action
ACTIONS: tuple[Action, ...] = (
    # focus
    A("focus.agents", ("1",), "agents", "Go to the agents"),
    A("focus.detail", ("2",), "detail", "Go to the detail of the selected agent"),
    A("focus.handoffs", ("3",), "handoffs", "Go to the handoffs"),
    A("focus.events", ("4",), "events", "Go to the events"),
    A("focus.resources", ("5",), "resources", "Go to the resources"),
    A("focus.next", ("tab",), "next pane", "Go to the next pane"),
    A("focus.previous", ("shift+tab",), "previous pane", "Go to the pane before"),
    A("focus.tab_left", ("left_square_bracket",), "tab left", "The pane's tab to the left"),
    A("focus.tab_right", ("right_square_bracket",), "tabs", "The pane's tab to the right"),
    A("focus.zoom", ("plus",), "zoom", "Show the focused pane alone"),
    A("focus.unzoom", ("underscore",), "unzoom", "Show all panes again"),
    # global
    A("global.help", ("question_mark", "f1"), "help", "Keys of the focused pane", footer=90),
    A(
        "global.attention",
        ("exclamation_mark",),
        "needs you",
        "Next that needs a person",
        unavailable=_needs_person,
        pressing=_to_read,
    ),
    A("global.palette", ("ctrl+p",), "palette", "Find an action by its name"),
    A(
        "global.pause_all",
        ("P",),
        "pause all",
        "Pause or resume the whole run",
        unavailable=_commandable,
        pressing=_all_held,
    ),
    A("global.fewer", ("less_than_sign",), "fewer", "One worker less at once", unavailable=_commandable),
    A("global.more", ("greater_than_sign",), "more", "One worker more at once", unavailable=_commandable),
    A("global.intent", ("i",), "intent", "Edit the intent: its versions, and a new one", footer=80),
    A("global.freeze", ("F",), "freeze", "Freeze the screen, not the swarm"),
    A("global.copy", ("y",), "copy", "Copy: the agent's path, the handoff, the text or the patch"),
    A("global.editor", ("e",), "editor", "Open what the pane shows in $EDITOR"),
    A("global.pager", ("v",), "pager", "Open what the pane shows in $PAGER"),
    A("global.undo", ("u",), "undo", "Undo the last steer, pause or intent", unavailable=_undoable),
    A("global.redo", ("U",), "redo", "Do it again", unavailable=_redoable),
    A("global.theme", ("T",), "theme", "Choose a theme, seen at once"),
    A("global.detail_down", ("J",), "scroll detail", "Scroll the detail down from anywhere"),
    A("global.detail_up", ("K",), "scroll detail", "Scroll the detail up from anywhere"),
    A("global.quit", ("q",), "quit", "Leave: stop, pause and quit, or detach", footer=99),
    # moving in every list
    A("list.down", ("j", "down"), "down", "Down"),
    A("list.up", ("k", "up"), "up", "Up"),
    A("list.top", ("g", "home"), "top", "To the top"),
    A("list.bottom", ("G", "end"), "bottom", "To the bottom"),
    A("list.half_down", ("ctrl+d", "pagedown"), "half down", "Half a page down"),
    A("list.half_up", ("ctrl+u", "pageup"), "half up", "Half a page up"),
    A("list.left", ("h", "left"), "left", "To the left; folds in the tree"),
    A("list.right", ("l", "right"), "right", "To the right; unfolds in the tree"),
    A("list.enter", ("enter",), "open", "Open what is selected", footer=10),
    A("list.back", ("escape",), "back", "Back; clears a filter"),
    A("list.filter", ("slash",), "filter", "Filter: text, !not, state:…, role:…, under:…", footer=40),
    A("list.next_match", ("n",), "next match", "Next match"),
    A("list.previous_match", ("N",), "match before", "Match before"),
    # agents
    A(
        "agents.pause",
        ("p",),
        "pause",
        "Pause or resume the subtree",
        footer=20,
        unavailable=_on_live_agent,
        pressing=_held,
    ),
    A(
        "agents.freeze_commands",
        ("Z",),
        "freeze",
        "Pause, with running commands stopped at once",
        unavailable=_on_live_agent,
    ),
    A("agents.steer", ("s",), "steer", "A message to this agent", footer=30, unavailable=_on_live_agent),
    A(
        "agents.steer_marked",
        ("S",),
        "steer marked",
        "A message to all marked agents",
        unavailable=_on_agent,
        pressing=_marked,
    ),
    A("agents.cancel", ("x",), "cancel", "Cancel the subtree, after asking", footer=35, unavailable=_cancellable),
    A("agents.model", ("m",), "model", "Another model for the subtree", unavailable=_on_live_agent),
    A("agents.priority", ("number_sign",), "priority", "Which planner's tasks come first", unavailable=_on_planner),
    A("agents.workers", ("w",), "workers", "How many workers at once below a planner", unavailable=_on_planner),
    A("agents.rescope", ("R",), "re-scope", "Another goal for a subplanner", unavailable=_rescopable),
    A("agents.mark", ("space",), "mark", "Mark or unmark the agent"),
    A("agents.fold_all", ("minus",), "fold all", "Fold every planner below the root"),
    A("agents.unfold_all", ("equals_sign",), "unfold all", "Unfold everything"),
    A("agents.sort", ("o",), "sort", "Next order: running, oldest, tokens, cost, latest step, longest idle"),
    # handoffs
    A("handoffs.diff", ("d",), "diff", "The change that was handed off", footer=20, unavailable=_has_handoff),
    A("handoffs.task", ("t",), "task", "The task it answers", footer=30, unavailable=_has_handoff),
    A("handoffs.reply", ("r",), "reply", "A message to the planner that got it", footer=35, unavailable=_replies),
    A("handoffs.resolve", ("m",), "resolve", "Mark as resolved, or not", unavailable=_replies),
    # events
    A("events.follow", ("f",), "follow", "Follow the newest event again", footer=20),
    A("events.everything", ("a",), "all kinds", "Every kind of event, or without routine steps", footer=30),
    # resources
    A("resources.stretch", ("r",), "time range", "How far back: 1 min, 10 min, 1 h, all", footer=20),
    A("resources.rank", ("o",), "rank", "Rank agents by tokens, cost, memory, cpu or disk", footer=30),
    # replay: there, these come before a pane's own
    A("replay.play", ("space",), "play", "Play or pause", footer=5, unavailable=_replays),
    A("replay.step", ("full_stop",), "step", "The next event", footer=6, unavailable=_replays),
    A("replay.step_back", ("comma",), "step back", "The event before", unavailable=_replays),
    A("replay.slower", ("left_curly_bracket",), "slower", "Slower", unavailable=_replays),
    A("replay.faster", ("right_curly_bracket",), "faster", "Faster", footer=7, unavailable=_replays),
    A("replay.seek", ("colon",), "seek", "Go to an event's number, a time or an agent", footer=8, unavailable=_replays),
    # diff
    A("diff.next_hunk", ("l", "right"), "next hunk", "Next hunk", footer=20),
    A("diff.previous_hunk", ("h", "left"), "hunk before", "Hunk before"),
    A("diff.next_file", ("n",), "next file", "Next file", footer=30),
    A("diff.previous_file", ("N",), "file before", "File before"),
    A("diff.split", ("vertical_line",), "split", "One column or two", footer=50),
    A("diff.wrap", ("w",), "wrap", "Wrap long lines, or cut them"),
    A("diff.comment", ("c",), "comment", "Say something about this line to its author", 25, _on_agent),
    A("diff.refresh", ("r",), "refresh", "Read the copy again", footer=40),
    # the intent editor
    A("intent.apply", ("f2",), "apply", "Compare with the running version, then apply", footer=10),
    A("intent.undo_text", ("f3", "ctrl+z"), "undo", "Undo the last edit"),
    A("intent.redo_text", ("f4", "ctrl+y"), "redo", "Redo it"),
    A("intent.open_editor", ("f5", "e"), "$EDITOR", "Edit the draft in $EDITOR", footer=15),
    A("intent.leave", ("escape",), "leave", "Leave the text, then the editor", footer=20),
)
BY_ID: Mapping[str, Action] = {action.id: action for action in ACTIONS}


def in_scopes(*scopes: str) -> Iterator[Action]:
    """The registry's actions of some scopes, in its order."""
    return (action for action in ACTIONS if action.scope in scopes)
