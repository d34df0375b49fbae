"""The base of every pane: runs actions from the registry, and names what panes need from the app."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import ClassVar, Protocol, TypeVar, cast

from textual.app import App
from textual.dom import DOMNode

from tui.bridge import Micros
from tui.format.view import View
from tui.input.actions_and_keys import BY_ID, ActionContext, in_scopes
from tui.input.handlers import ActionHandler
from tui.input.keys_in_force import Keymap
from tui.sessions.command_sender import CommandSender
from tui.sessions.session import Session
from tui.style.theme import Palette

T = TypeVar("T")


class PaneHost(Protocol):
    """What panes need from the app."""

    palette: Palette
    keymap: Keymap
    view: View
    session: Session
    commands: CommandSender
    leaving: bool

    def context(self) -> ActionContext:
        """The state that decides which actions are available."""

    def when_done(self, future: "Future[T]", then: Callable[["Future[T]"], None]) -> None:
        """Call `then` in the UI thread once the future is done, failed or cancelled."""

    def act(self, id: str) -> None:
        """Run an action by its id on the top screen."""

    def save_draft(self, text: str) -> None:
        """Save unfinished text, so that it survives a crash."""

    def refresh_view(self) -> bool:
        """Show the session's latest snapshot. Returns whether there was a new one."""

    def show_note(self, text: str, *, error: bool = False) -> None:
        """Show a short notification."""

    def use_theme(self, name: str) -> None:
        """Switch to another theme."""

    def now(self) -> Micros:
        """The time that ages are relative to. It stops while the screen is frozen."""


class Actionable(ActionHandler, DOMNode):
    """A node whose bindings are actions of some scopes.

    The node itself does an action if it can, or else its screen, or else the app.
    """

    SCOPES: ClassVar[tuple[str, ...]] = ()

    @property
    def host(self) -> PaneHost:
        return cast("PaneHost", self.app)

    @property
    def palette(self) -> Palette:
        return self.host.palette

    @property
    def view(self) -> View:
        return self.host.view

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In a replay its keys take precedence over a pane's own; elsewhere they do nothing."""
        id = str(parameters[0]) if action == "act" and parameters else ""
        if id not in BY_ID:
            return True
        replaying = self.host.context().replaying
        if BY_ID[id].scope == "replay":
            return replaying
        keys = {key for act in in_scopes("replay") for key in self.host.keymap.keys[act.id]}
        return not (replaying and keys & set(self.host.keymap.keys[id]))

    def action_act(self, id: str) -> None:
        """Run an action, or show why it is not available."""
        action = BY_ID[id]
        if reason := action.unavailable(self.host.context()):
            self.host.show_note(f"{action.label}: {reason}")
            return
        for node in (self, self.screen, self.app):
            if isinstance(node, ActionHandler) and (do := node.handler_of(id)) is not None:
                do()
                return
        self.host.show_note(f"{action.label}: not here")


class Controller(ActionHandler):
    """Does a group of a screen's actions."""

    def __init__(self, screen: Actionable) -> None:
        self._screen = screen

    @property
    def host(self) -> PaneHost:
        return self._screen.host

    @property
    def view(self) -> View:
        return self.host.view

    @property
    def app(self) -> "App[object]":
        return self._screen.app
