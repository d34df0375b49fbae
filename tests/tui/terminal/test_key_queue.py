"""Keys that are typed ahead wait for the one before, however long it takes, and never go to the wrong pane."""

import asyncio
import time
from collections.abc import Callable

import pytest
from textual import events
from textual.message import Message
from textual.widget import Widget
from textual.widgets import TextArea

from tests.tui.apps import app_on, main_of, settle
from tests.tui.swarms import small
from tui.app import SwarmApp
from tui.screens.intent import IntentScreen
from tui.screens.modal import Menu
from tui.terminal import key_queue

LETTERS = "xjPuq"
"""As commands these would cancel an agent, move, pause the run, roll back, and close the editor."""
SIZE = (120, 40)
LONGEST_S = 60.0


class Held:
    """Keeps back what follows the first key, so that the key goes on being handled."""

    def __init__(self) -> None:
        self.kept: list[tuple[Widget, Message]] = []
        self._post = Widget.post_message

    def post(self, widget: Widget, message: Message) -> bool:
        if isinstance(message, SwarmApp.Handled) and not self.kept:
            self.kept.append((widget, message))
            return True
        return self._post(widget, message)

    def release(self) -> None:
        self._post(*self.kept[0])


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """The first key is slow."""
    monkeypatch.setattr(key_queue, "STUCK_S", 0.01)
    held = Held()
    monkeypatch.setattr(Widget, "post_message", lambda widget, message: held.post(widget, message))
    return held


async def test_letters_typed_while_an_editor_opens_slowly_become_its_text(held: Held) -> None:
    session = small()
    app = app_on(session)
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        selected = app.view.selected
        await _type(app, "i", *LETTERS)
        assert isinstance(app.screen, IntentScreen)
        assert len(app._queue) == len(LETTERS)
        held.release()
        await _until(lambda: LETTERS in app.screen.query_one(TextArea).text)
        assert not session.commands
        assert app.view.selected == selected


async def test_letters_typed_during_a_slow_key_go_to_what_it_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_queue, "STUCK_S", 0.01)
    session = small()
    app = app_on(session)
    edit = SwarmApp.edit_intent

    def edit_slowly(app: SwarmApp) -> None:
        for letter in LETTERS:
            _send(app, letter)
        time.sleep(0.1)  # longer than STUCK_S
        edit(app)

    monkeypatch.setattr(SwarmApp, "edit_intent", edit_slowly)
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await _type(app, "i")
        await _until(lambda: isinstance(app.screen, IntentScreen) and LETTERS in app.screen.draft)
        assert not session.commands


async def test_pasted_text_comes_after_what_was_typed_before_it(held: Held) -> None:
    session = small()
    app = app_on(session)
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await _type(app, "i", *"ab")
        app.post_message(events.Paste("pasted"))
        await _type(app, *"yz")
        held.release()
        await _until(lambda: isinstance(app.screen, IntentScreen) and "yz" in app.screen.draft)
        assert "abpastedyz" in app.screen.query_one(TextArea).text


async def test_the_interrupt_key_goes_before_keys_that_wait_and_drops_them(held: Held) -> None:
    session = small()
    app = app_on(session)
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await _type(app, "j", *LETTERS, "ctrl+c")
        await _until(lambda: isinstance(app.screen, Menu))
        assert not app._queue
        assert not session.commands
        held.release()  # it comes too late to matter
        await _type(app, "escape", "i", *LETTERS)
        await _until(lambda: isinstance(app.screen, IntentScreen) and LETTERS in app.screen.draft)
        assert app.screen.query_one(TextArea).text.count(LETTERS) == 1
        assert not session.commands


async def test_a_key_whose_dialog_is_gone_does_not_hold_up_the_next(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_on(small())
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        selected = app.view.selected
        app.ask_to_quit()
        await settle(pilot)
        await _type(app, "escape", "j")
        await _until(lambda: app.screen is main_of(app) and app.view.selected != selected)
        assert held.kept


def _send(app: SwarmApp, key: str) -> None:
    app.post_message(events.Key(key, key if len(key) == 1 else None))


async def _type(app: SwarmApp, *keys: str) -> None:
    """Send the keys at a person's pace, whatever they do."""
    for key in keys:
        _send(app, key)
        await asyncio.sleep(0.02)


async def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST_S
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_dialog_that_the_interrupt_key_opens_can_be_used_although_the_pane_below_is_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_queue, "STUCK_S", 0.01)
    app, freed = app_on(small()), asyncio.Event()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        assert app.focused is not None
        app.focused.call_later(freed.wait)
        try:
            await _type(app, "j", "ctrl+c")
            await _until(lambda: isinstance(app.screen, Menu))
            await _type(app, "escape")
            await _until(lambda: app.screen is main_of(app))
        finally:
            freed.set()
