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


def test_every_action_has_an_id_words_and_keys() -> None:
    ids = [action.id for action in ACTIONS]
    assert len(ids) == len(set(ids))
    for action in ACTIONS:
        assert "." in action.id
        assert action.keys
        assert action.label
        assert action.description[0].isupper()


def test_no_action_depends_on_a_key_that_tmux_keeps() -> None:
    for action in ACTIONS:
        assert set(action.keys) - FORBIDDEN, action.id


def test_the_registry_has_no_clash_within_a_scope() -> None:
    assert set(Keymap().keys) == {action.id for action in ACTIONS}


def test_a_remapped_key_is_in_force_everywhere() -> None:
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
def test_keys_that_cannot_work_are_refused_with_a_hint(keys: dict[str, str], says: str, hint: str) -> None:
    with pytest.raises(SwarmError) as refused:
        Keymap(keys)
    assert says in refused.value.message
    assert hint in refused.value.hint


def test_a_disabled_action_says_why() -> None:
    run = small().run.copy()
    pause = next(action for action in ACTIONS if action.id == "agents.pause")
    assert pause.unavailable(ActionContext()) == "no run yet"
    assert pause.unavailable(ActionContext(run=run)) == "no agent selected"
    done = next(agent for agent in run.agents.values() if agent.state == "done")
    assert "is done" in pause.unavailable(ActionContext(run=run, agent=done))
    assert pause.unavailable(ActionContext(run=run, agent=done, read_only="this is a replay")) == "this is a replay"


def test_the_footer_leaves_out_what_cannot_run_now() -> None:
    keymap = Keymap()
    assert "agents.pause" not in [action.id for action, _ in keymap.footer(("agents",), ActionContext())]


def test_the_footer_has_five_keys_what_presses_first_help_and_quit_always() -> None:
    keymap, run = Keymap(), small().run.copy()
    scopes = ("agents", "list", "global")
    held = next(agent for agent in run.agents.values() if agent.paused)
    calm = [action.id for action, _ in keymap.footer(scopes, ActionContext(run=run, agent=run.agents[run.paths[ROOT]]))]
    assert len(calm) == 5
    assert calm[-2:] == ["global.help", "global.quit"]
    pressed = keymap.footer(scopes, ActionContext(run=run, agent=held, attention=2, marked=3))
    assert [label for _, label in pressed] == ["2 need you", "resume", "steer 3 marked", "help", "quit"]


def test_symbols_are_shown_as_a_person_types_them() -> None:
    assert shown("question_mark") == "?"
    assert shown("less_than_sign") == "<"


async def test_every_action_is_done_where_its_key_is_pressed() -> None:
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
