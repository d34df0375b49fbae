"""The action registry: complete, without clashes, and remappable."""

import pytest

from tests.tui.apps import app_on, main_of
from tests.tui.swarms import small
from tui.bridge import ROOT, SwarmError
from tui.input.actions_and_keys import ACTIONS, ActionContext
from tui.input.handlers import ActionHandler
from tui.input.keys_in_force import FORBIDDEN, Keymap, shown
from tui.screens.intent import IntentScreen
from tui.widgets.diff import DiffView


def test_every_action_has_an_id_a_description_and_keys() -> None:
    ids = [action.id for action in ACTIONS]
    assert len(ids) == len(set(ids))
    for action in ACTIONS:
        assert "." in action.id
        assert action.keys
        assert action.label
        assert action.description[0].isupper()


def test_every_action_has_a_key_that_reaches_programs_inside_tmux() -> None:
    for action in ACTIONS:
        assert set(action.keys) - FORBIDDEN, action.id


def test_no_two_actions_of_a_scope_share_a_key() -> None:
    assert set(Keymap().keys) == {action.id for action in ACTIONS}


def test_a_remapped_key_is_bound_and_shown() -> None:
    keymap = Keymap({"agents.pause": "ctrl+x z"})
    assert keymap.keys["agents.pause"] == ("ctrl+x", "z")
    assert keymap.shown("agents.pause") == "ctrl+x z"
    binding = next(b for b in keymap.bindings("agents") if b.id == "agents.pause")
    assert binding.key == "ctrl+x,z"


@pytest.mark.parametrize(
    ("keys", "says", "hint"),
    [
        ({"agents.pasue": "x"}, "no such action", "agents.pause"),
        ({"agents.pause": ""}, "no key", "one or more"),
        ({"agents.pause": "ctrl+i"}, "does not reach", "another key"),
        ({"agents.pause": "x"}, "already the key of agents.cancel", "another key"),
    ],
)
def test_invalid_keys_are_refused_with_a_hint(keys: dict[str, str], says: str, hint: str) -> None:
    with pytest.raises(SwarmError) as refused:
        Keymap(keys)
    assert says in refused.value.message
    assert hint in refused.value.hint


def test_an_action_says_why_it_is_not_available() -> None:
    run = small().run.copy()
    pause = next(action for action in ACTIONS if action.id == "agents.pause")
    assert pause.unavailable(ActionContext()) == "no run yet"
    assert pause.unavailable(ActionContext(run=run)) == "no agent selected"
    done = next(agent for agent in run.agents.values() if agent.state == "done")
    assert "is done" in pause.unavailable(ActionContext(run=run, agent=done))
    assert pause.unavailable(ActionContext(run=run, agent=done, read_only="this is a replay")) == "this is a replay"


def test_the_footer_leaves_out_actions_that_are_not_available() -> None:
    keymap = Keymap()
    assert "agents.pause" not in [action.id for action, _ in keymap.footer(("agents",), ActionContext())]


def test_the_footer_has_five_keys_with_urgent_ones_first_and_help_and_quit_last() -> None:
    keymap, run = Keymap(), small().run.copy()
    scopes = ("agents", "list", "global")
    held = next(agent for agent in run.agents.values() if agent.paused)
    calm = [action.id for action, _ in keymap.footer(scopes, ActionContext(run=run, agent=run.agents[run.paths[ROOT]]))]
    assert len(calm) == 5
    assert calm[-2:] == ["global.help", "global.quit"]
    pressed = keymap.footer(scopes, ActionContext(run=run, agent=held, attention=2, marked=3))
    assert [label for _, label in pressed] == ["2 need you", "resume", "steer 3 marked", "help", "quit"]


def test_symbol_keys_are_shown_as_symbols() -> None:
    assert shown("question_mark") == "?"
    assert shown("less_than_sign") == "<"


async def test_every_action_has_a_handler_where_its_key_is_pressed() -> None:
    app = app_on(small())
    async with app.run_test(size=(120, 40)):
        main = main_of(app)
        pressed: dict[str, ActionHandler] = {
            "agents": main.panes.agents,
            "list": main.panes.agents,
            "handoffs": main.panes.handoffs,
            "events": main.panes.event_list,
            "resources": main.panes.resources,
            "diff": main.query_one(DiffView),
            "intent": IntentScreen(""),
        }
        for action in ACTIONS:
            nodes = (pressed.get(action.scope, main), main, app)
            assert any(node.handler_of(action.id) for node in nodes), action.id
