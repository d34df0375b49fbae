"""The action registry: each action's id, keys and descriptions, and why it is not available now."""

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from tui.bridge import Agent, Role, RunState, Snapshot


class ActionContext(Struct, frozen=True):
    """What decides whether an action is available. `run` is None before there is one, `agent` is the selected one.

    `read_only` and `no_detach` say why commands are refused and why the app cannot detach; `undo` and `redo` say what
    would be undone and redone. All four are empty otherwise.
    """

    run: Snapshot | None = None
    agent: Agent | None = None
    marked: int = 0
    read_only: str = ""
    no_detach: str = ""
    attention: int = 0
    handoff: bool = False
    replaying: bool = False
    undo: str = ""
    redo: str = ""


def _needs_live_run(c: ActionContext) -> str:
    if c.run is None:
        return "no run yet"
    if c.read_only:
        return c.read_only
    return f"the run is {c.run.state}" if c.run.ended else ""


def _needs_agent(c: ActionContext) -> str:
    return _needs_live_run(c) or ("" if c.agent is not None else "no agent selected")


def _needs_live_agent(c: ActionContext) -> str:
    if reason := _needs_agent(c):
        return reason
    assert c.agent is not None
    return f"{c.agent.path} is {c.agent.state}" if c.agent.ended and c.agent.role is not Role.PLANNER else ""


def _needs_planner(c: ActionContext) -> str:
    if reason := _needs_agent(c):
        return reason
    assert c.agent is not None
    return "" if c.agent.role is Role.PLANNER else "only for planners; select the planner above"


def _needs_subplanner(c: ActionContext) -> str:
    if reason := _needs_planner(c):
        return reason
    assert c.agent is not None
    if c.agent.parent is None:
        return "the root's goal is the intent; press i to edit it"
    return f"{c.agent.path} is {c.agent.state}" if c.agent.gone else ""


def _needs_cancellable(c: ActionContext) -> str:
    if reason := _needs_agent(c):
        return reason
    assert c.agent is not None
    assert c.run is not None
    if c.agent.parent is None:
        return "the root cannot be cancelled; press q to stop the run"
    open_below = any(
        not c.run.tasks[task].ended for below in c.run.subtree(c.agent.id) for task in c.run.tasks_of.get(below.id, ())
    )
    return f"{c.agent.path} is {c.agent.state}" if c.agent.ended and not open_below else ""


def _needs_attention(c: ActionContext) -> str:
    return "" if c.attention else "nothing needs you"


def _needs_note(c: ActionContext) -> str:
    if reason := _needs_live_run(c):
        return reason
    assert c.run is not None
    return "" if c.run.notes_to_person() else "no planner asks or assumes anything"


def _needs_undoable(c: ActionContext) -> str:
    return _needs_live_run(c) or ("" if c.undo else "nothing to undo")


def _needs_redoable(c: ActionContext) -> str:
    return _needs_live_run(c) or ("" if c.redo else "nothing to redo")


def _needs_handoff(c: ActionContext) -> str:
    return "" if c.handoff else "no handoff selected"


def _needs_handoff_of_live_run(c: ActionContext) -> str:
    return _needs_live_run(c) or _needs_handoff(c)


def _needs_replay(c: ActionContext) -> str:
    return "" if c.replaying else "only in a replay: swarm-tui replay RUN"


def _nothing(_: ActionContext) -> str:
    return ""


def _urgent_attention(c: ActionContext) -> str:
    return f"{c.attention} need{'' if c.attention > 1 else 's'} you" if c.attention else ""


def _urgent_answer(c: ActionContext) -> str:
    waits = c.run is not None and not c.read_only and any(note.awaited for note in c.run.notes_to_person())
    return "answer" if waits else ""


def _urgent_resume_all(c: ActionContext) -> str:
    return "resume all" if c.run is not None and c.run.state in (RunState.PAUSING, RunState.PAUSED) else ""


def _urgent_resume(c: ActionContext) -> str:
    return "resume" if c.agent is not None and c.agent.paused else ""


def _urgent_steer_marked(c: ActionContext) -> str:
    return f"steer {c.marked} marked" if c.marked else ""


class Action(Struct, frozen=True):
    """Something that a key does. `keys` are Textual's names of keys.

    `footer` ranks the action there; 0 keeps it out. `unavailable` returns why the action is not available now, or an
    empty string. `urgent` returns its label where it matters more than any other right now, or an empty string.
    """

    id: str
    keys: tuple[str, ...]
    label: str
    description: str
    footer: int = 0
    unavailable: Callable[[ActionContext], str] = _nothing
    urgent: Callable[[ActionContext], str] = _nothing

    @property
    def scope(self) -> str:
        return self.id.partition(".")[0]


ALWAYS = ("global.help", "global.quit")
"""Actions that the footer always shows."""
A = Action
ACTIONS: tuple[Action, ...] = (
    # panes
    A("focus.agents", ("1",), "agents", "Focus the agents"),
    A("focus.detail", ("2",), "detail", "Focus the detail of the selected agent"),
    A("focus.handoffs", ("3",), "handoffs", "Focus the handoffs"),
    A("focus.events", ("4",), "events", "Focus the events"),
    A("focus.resources", ("5",), "resources", "Focus the resources"),
    A("focus.next", ("tab",), "next pane", "Focus the next pane"),
    A("focus.previous", ("shift+tab",), "previous pane", "Focus the previous pane"),
    A("focus.tab_left", ("left_square_bracket",), "previous tab", "Open the previous tab of the detail"),
    A("focus.tab_right", ("right_square_bracket",), "next tab", "Open the next tab of the detail"),
    A("focus.zoom", ("plus",), "zoom", "Show only the focused pane"),
    A("focus.unzoom", ("underscore",), "unzoom", "Show all panes"),
    # everywhere
    A("global.help", ("question_mark", "f1"), "help", "Show the keys of the focused pane", footer=90),
    A(
        "global.attention",
        ("exclamation_mark",),
        "next item",
        "Go to the next item needing you",
        unavailable=_needs_attention,
        urgent=_urgent_attention,
    ),
    A(
        "global.answer",
        ("A",),
        "answer",
        "Answer a planner's question, or correct its assumption",
        unavailable=_needs_note,
        urgent=_urgent_answer,
    ),
    A("global.palette", ("ctrl+p",), "palette", "Find an action by its name"),
    A(
        "global.pause_all",
        ("P",),
        "pause all",
        "Pause or resume the whole run",
        unavailable=_needs_live_run,
        urgent=_urgent_resume_all,
    ),
    A("global.fewer", ("less_than_sign",), "fewer", "Run fewer workers in parallel", unavailable=_needs_live_run),
    A("global.more", ("greater_than_sign",), "more", "Run more workers in parallel", unavailable=_needs_live_run),
    A("global.intent", ("i",), "intent", "Edit the intent, or look at its versions", footer=80),
    A("global.freeze", ("F",), "freeze screen", "Freeze the screen; the run continues"),
    A("global.copy", ("y",), "copy", "Copy the agent's path, the handoff, the text or the diff"),
    A("global.editor", ("e",), "editor", "Open the pane's text in $EDITOR"),
    A("global.pager", ("v",), "pager", "Open the pane's text in $PAGER"),
    A("global.undo", ("u",), "undo", "Undo the last message, pause, setting or intent", unavailable=_needs_undoable),
    A("global.redo", ("U",), "redo", "Redo what was undone", unavailable=_needs_redoable),
    A("global.theme", ("T",), "theme", "Choose a theme, with a preview"),
    A("global.detail_down", ("J",), "scroll detail", "Scroll the detail down from any pane"),
    A("global.detail_up", ("K",), "scroll detail", "Scroll the detail up from any pane"),
    A("global.quit", ("q",), "quit", "Quit: detach from the run, pause it or stop it", footer=99),
    # lists
    A("list.down", ("j", "down"), "down", "Move down"),
    A("list.up", ("k", "up"), "up", "Move up"),
    A("list.top", ("g", "home"), "top", "Move to the top"),
    A("list.bottom", ("G", "end"), "bottom", "Move to the bottom"),
    A("list.half_down", ("ctrl+d", "pagedown"), "half down", "Move down by half a page"),
    A("list.half_up", ("ctrl+u", "pageup"), "half up", "Move up by half a page"),
    A("list.left", ("h", "left"), "left", "Move left; in the tree, fold"),
    A("list.right", ("l", "right"), "right", "Move right; in the tree, unfold"),
    A("list.enter", ("enter",), "open", "Open the selected line", footer=10),
    A("list.back", ("escape",), "back", "Go back, or clear the filter"),
    A("list.filter", ("slash",), "filter", "Filter by text, !not, state:…, role:…, under:…", footer=40),
    A("list.next_match", ("n",), "next match", "Go to the next match"),
    A("list.previous_match", ("N",), "previous match", "Go to the previous match"),
    # agents
    A(
        "agents.pause",
        ("p",),
        "pause",
        "Pause or resume the subtree",
        footer=20,
        unavailable=_needs_live_agent,
        urgent=_urgent_resume,
    ),
    A(
        "agents.freeze_commands",
        ("Z",),
        "freeze",
        "Pause the subtree and suspend its running commands immediately",
        unavailable=_needs_live_agent,
    ),
    A("agents.steer", ("s",), "steer", "Send a message to this agent", footer=30, unavailable=_needs_live_agent),
    A(
        "agents.steer_marked",
        ("S",),
        "steer marked",
        "Send a message to all marked agents",
        unavailable=_needs_agent,
        urgent=_urgent_steer_marked,
    ),
    A(
        "agents.cancel",
        ("x",),
        "cancel",
        "Cancel the subtree, after a confirmation",
        footer=35,
        unavailable=_needs_cancellable,
    ),
    A("agents.model", ("m",), "model", "Change the model of the subtree", unavailable=_needs_live_agent),
    A("agents.priority", ("number_sign",), "priority", "Change a planner's priority", unavailable=_needs_planner),
    A("agents.workers", ("w",), "workers", "Limit the parallel workers below a planner", unavailable=_needs_planner),
    A("agents.rescope", ("R",), "rescope", "Change the goal and scope of a subplanner", unavailable=_needs_subplanner),
    A("agents.mark", ("space",), "mark", "Mark or unmark the agent"),
    A("agents.fold_all", ("minus",), "fold all", "Fold every planner below the root"),
    A("agents.unfold_all", ("equals_sign",), "unfold all", "Unfold every planner"),
    A("agents.sort", ("o",), "sort", "Sort by running, oldest, tokens, cost, latest step or longest idle"),
    # handoffs
    A("handoffs.diff", ("d",), "diff", "Show the diff of its change", footer=20, unavailable=_needs_handoff),
    A("handoffs.task", ("t",), "task", "Show its task", footer=30, unavailable=_needs_handoff),
    A(
        "handoffs.reply",
        ("r",),
        "reply",
        "Send a message to the planner that received it",
        footer=35,
        unavailable=_needs_handoff_of_live_run,
    ),
    A(
        "handoffs.resolve",
        ("m",),
        "resolve",
        "Mark it as resolved or unresolved",
        unavailable=_needs_handoff_of_live_run,
    ),
    # events
    A("events.follow", ("f",), "follow", "Follow the newest event", footer=20),
    A("events.everything", ("a",), "all kinds", "Show or hide routine events", footer=30),
    # resources
    A("resources.stretch", ("r",), "time range", "Change the time range: 1 min, 10 min, 1 h or all", footer=20),
    A("resources.rank", ("o",), "rank", "Rank agents by tokens, cost, memory, CPU or disk", footer=30),
    # replay; in a replay these keys take precedence over a pane's own
    A("replay.play", ("space",), "play", "Play or pause", footer=5, unavailable=_needs_replay),
    A("replay.step", ("full_stop",), "step", "Step to the next event", footer=6, unavailable=_needs_replay),
    A("replay.step_back", ("comma",), "step back", "Step back to the previous event", unavailable=_needs_replay),
    A("replay.slower", ("left_curly_bracket",), "slower", "Play slower", unavailable=_needs_replay),
    A("replay.faster", ("right_curly_bracket",), "faster", "Play faster", footer=7, unavailable=_needs_replay),
    A(
        "replay.seek",
        ("colon",),
        "seek",
        "Go to an event number, a time or an agent",
        footer=8,
        unavailable=_needs_replay,
    ),
    # diff
    A("diff.next_hunk", ("l", "right"), "next hunk", "Go to the next hunk", footer=20),
    A("diff.previous_hunk", ("h", "left"), "previous hunk", "Go to the previous hunk"),
    A("diff.next_file", ("n",), "next file", "Go to the next file", footer=30),
    A("diff.previous_file", ("N",), "previous file", "Go to the previous file"),
    A("diff.split", ("vertical_line",), "split", "Show one column or two", footer=50),
    A("diff.wrap", ("w",), "wrap", "Wrap long lines, or cut them off"),
    A("diff.comment", ("c",), "comment", "Comment on the line to its author", 25, _needs_agent),
    A("diff.refresh", ("r",), "refresh", "Read the workspace again", footer=40),
    # the intent editor
    A("intent.apply", ("f2",), "apply", "Review the changes, then apply them", footer=10),
    A("intent.undo_text", ("f3", "ctrl+z"), "undo", "Undo the last edit"),
    A("intent.redo_text", ("f4", "ctrl+y"), "redo", "Redo the last edit"),
    A("intent.open_editor", ("f5", "e"), "$EDITOR", "Edit the draft in $EDITOR", footer=15),
    A("intent.leave", ("escape",), "leave", "Leave the text, then the editor", footer=20),
)
BY_ID: Mapping[str, Action] = {action.id: action for action in ACTIONS}


def in_scopes(*scopes: str) -> Iterator[Action]:
    """The actions of these scopes, in the order of the registry."""
    return (action for action in ACTIONS if action.scope in scopes)
