"""The terminal app: `run_app` shows a session, and returns when the person quits."""

import asyncio
import gc
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import ClassVar, TypeVar

from msgspec.structs import replace
from textual import events
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.widgets import Input

from tui.bridge import ExitStatus, Micros, SwarmError
from tui.format.text import clean
from tui.format.view import View
from tui.input.actions_and_keys import ActionContext
from tui.input.drafts import IntentDraft
from tui.input.handlers import ActionHandler, handles, require_handlers
from tui.input.keys_in_force import Keymap
from tui.screens.help import help_lines
from tui.screens.intent import IntentScreen
from tui.screens.main import MainScreen
from tui.screens.modal import Menu, MenuItem, TextPage
from tui.screens.palette import ActionProvider
from tui.screens.start import StartScreen
from tui.screens.themes import ChooseTheme
from tui.sessions.command_sender import CommandSender
from tui.sessions.launch import Launch
from tui.sessions.session import CloseMode, Session
from tui.style.css import css_theme
from tui.style.theme import Themes
from tui.terminal.driver import driver_on
from tui.terminal.key_queue import KeyQueueApp
from tui.terminal.output import Output
from tui.terminal.signals import Signals
from tui.terminal.thread_priority import ScreenSelector, collect_as_usual, prioritise_ui_threads
from tui.widgets.actionable import Actionable

T = TypeVar("T")
PASTED = 4_000
"""The most characters that are pasted into a one-line input."""
DRAFT_S = 0.4
"""Seconds from a change of the draft until it is saved."""


class SwarmApp(ActionHandler, KeyQueueApp, inherit_bindings=False):
    """Holds what all screens share: the session, the view, the palette and the keys."""

    CSS_PATH = "style/swarm.tcss"
    TITLE = "swarm"
    ALLOW_SELECT = False
    """Textual cannot select text in painted lines. `y` copies, and terminals select with shift."""
    COMMANDS: ClassVar[set[Callable[[], type[ActionProvider]]]] = {lambda: ActionProvider}  # type: ignore[assignment]
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "act('global.quit')", "Quit", show=False, priority=True)]

    def __init__(
        self,
        launch: Launch,
        themes: Themes,
        *,
        painted: Callable[[], None] = lambda: None,
        driver_class: type[Driver] | None = None,
    ) -> None:
        """`painted` is called after the main screen is first painted, before the session starts."""
        self._launch = launch
        self._themes = themes
        self._plan = launch.new_run.plan if launch.new_run is not None else None
        self.palette = themes.chosen
        self.keymap = Keymap(launch.settings.keys)
        self.view = View()
        # Without colour Textual's own greys must go too; it drops them only for ANSI colours.
        super().__init__(ansi_color=True if self.palette.plain else None, driver_class=driver_class)
        self._painted = painted
        self._draft = IntentDraft(launch.draft_file, self._plan.draft if self._plan is not None else "")
        self.commands = CommandSender(self)
        self.controllers = (self.commands,)
        self._frozen_at: Micros | None = None
        self.leaving = False
        self.impatient = False
        """Whether the person wants to leave at once."""
        self._end_shown = False
        self._notice_shown = ""
        self._main: MainScreen | None = None
        for palette in themes.all.values():
            self.register_theme(css_theme(palette))
        self.theme = themes.chosen.name
        self.set_keymap({id: ",".join(self.keymap.keys[id]) for id in launch.settings.keys})

    def before_paste(self, event: events.Paste) -> None:
        event.text = clean(event.text)  # the clipboard may hold control characters that an agent printed
        if isinstance(self.focused, Input):
            event.text = self._as_one_line(event.text, min(PASTED, self.focused.max_length or PASTED))

    def _as_one_line(self, text: str, most: int) -> str:
        """A pasted text as one line, cut off at `most` characters: a huge one would block the screen."""
        line = " ".join(text[: 4 * most].split())
        if len(text) > 4 * most or len(line) > most:
            self.show_note(f"pasted only the first {most} characters")
        return line[:most]

    def on_mount(self) -> None:
        if not self.is_headless:
            # ctrl+z would suspend the whole process, and with it the engine.
            signal.signal(signal.SIGTSTP, signal.SIG_IGN)
            self.call_after_refresh(gc.enable)
        for problem in self._themes.broken:
            self.show_note(f"invalid theme: {problem}", error=True)
        if self._launch.new_run is not None and self._plan is not None:
            plan = replace(self._plan, draft=self._draft.text)
            self.push_screen(StartScreen(plan, self._launch.new_run.probe_sandbox))
        else:
            self._begin(None)

    def on_start_screen_begin(self, event: StartScreen.Begin) -> None:
        self._draft.text = event.intent
        if event.check and self._launch.new_run is not None:
            self._launch.new_run.use_check(event.check)
        self.pop_screen()
        self._begin(event.intent)

    def _begin(self, intent: str | None) -> None:
        self.session = self._launch.open_session(intent)
        self._main = MainScreen()
        self.push_screen(self._main)
        # Only once the screen is painted: loading the engine in its thread would delay that.
        self._main.call_after_refresh(self._start_session)

    def _start_session(self) -> None:
        if not self.leaving:
            self._painted()
            self.session.start()

    # --- what panes need --------------------------------------------------------------------------------------

    def show_note(self, text: str, *, error: bool = False) -> None:
        self.notify(clean(text), severity="error" if error else "information", timeout=6 if error else 3, markup=False)

    def when_done(self, future: "Future[T]", then: Callable[["Future[T]"], None]) -> None:
        async def wait() -> None:
            await asyncio.gather(asyncio.wrap_future(future), return_exceptions=True)
            then(future)

        # A worker, because a plain task would swallow what goes wrong in it.
        self.run_worker(wait(), exit_on_error=True)

    def refresh_view(self) -> bool:
        if failure := self.session.failure():
            if not self.leaving:
                self.leaving = True
                self.exit(int(failure.status) if isinstance(failure, SwarmError) else int(ExitStatus.NOT_GREEN))
            return False
        if self.session.notice != self._notice_shown:
            self._notice_shown = self.session.notice
            if self._notice_shown:
                self.show_note(self._notice_shown, error=True)
        if self.view.frozen:
            return False
        version, run = self.session.latest()
        if version == self.view.version:
            return False
        intents = len(self.view.run.intents) if self.view.run is not None else 0
        before = self._running_intent
        self.view.take(version, run)
        if len(run.intents) != intents:  # the draft may be the running intent now
            self._draft.take_answers(before, self._running_intent)
            self._draft.touch()
            self._write_draft()
        if run.ended and not self._end_shown and not self._notice_shown:
            self.show_note(f"the run {run.state}{f': {run.reason}' if run.reason else ''} · press q to quit")
        self._end_shown = run.ended
        return True

    def now(self) -> Micros:
        return self._frozen_at if self._frozen_at is not None else self.session.now()

    def context(self) -> ActionContext:
        view = self.view
        session: Session | None = getattr(self, "session", None)
        return ActionContext(
            run=view.run,
            agent=view.agent,
            marked=len(view.marked),
            read_only=session.read_only if session is not None else "",
            no_detach=session.no_detach if session is not None else "",
            attention=len(view.attention()),
            handoff=view.handoff is not None,
            replaying=session is not None and session.player is not None,
            undo=self.commands.history.undoes,
            redo=self.commands.history.redoes,
        )

    # --- actions ---------------------------------------------------------------------------------------------

    def act(self, id: str) -> None:
        """Run an action by its id on the top screen."""
        screen = self.screen
        if isinstance(screen, MainScreen):
            screen.act(id)
        elif id == "global.quit":
            if self._main is None:
                self.exit(0)
            else:
                self.ask_to_quit()

    @handles("global.help")
    def show_help(self) -> None:
        focused = self.screen.focused
        here = focused.SCOPES if isinstance(focused, Actionable) else ()
        context = self.context()
        self.push_screen(
            TextPage("help", lambda cells: help_lines(self.keymap, context, here, cells), "j k scroll · esc close")
        )

    @handles("global.palette")
    def open_palette(self) -> None:
        self.action_command_palette()

    @handles("global.intent")
    def edit_intent(self) -> None:
        self._draft.text = self._draft.text or self._running_intent
        self.push_screen(IntentScreen(self._draft.text))

    @property
    def _running_intent(self) -> str:
        return self.view.run.intent.text if self.view.run is not None and self.view.run.intent is not None else ""

    def save_draft(self, text: str) -> None:
        self._draft.text = text
        if self._draft.touch():
            self.set_timer(DRAFT_S, self._write_draft)

    def _write_draft(self) -> None:
        if problem := self._draft.save(self._running_intent):
            self.show_note(problem, error=True)

    @handles("global.freeze")
    def toggle_freeze(self) -> None:
        self.view.frozen = not self.view.frozen
        self._frozen_at = self.session.now() if self.view.frozen else None
        self.show_note("screen frozen; the run continues" if self.view.frozen else "screen live again")
        if self._main is not None:
            self._main.refresh_panes()

    @handles("global.theme")
    def choose_theme(self) -> None:
        def use(name: str | None) -> None:
            self.use_theme(name or self.palette.name)
            self.show_note(f"theme: {self.palette.name}")

        self.push_screen(ChooseTheme(self._themes.all, self.palette.name, self._themes.broken), use)

    def use_theme(self, name: str) -> None:
        """Repaint everything in another theme."""
        self.palette = self._themes.all[name]
        self.theme = name
        for screen in self.screen_stack:
            for widget in screen.query("*"):
                widget.refresh()

    @handles("global.quit")
    def ask_to_quit(self) -> None:
        if self.leaving:
            self._leave_at_once()
            return
        if self.session.ended() or self.session.failure() is not None:
            self._quit(CloseMode.STOP)
            return
        if isinstance(self.screen, Menu):
            return
        items = [
            MenuItem("d", "detach", "the run continues without this screen", self.session.no_detach),
            MenuItem("p", "pause and quit", "the run stays paused until you resume it", self.session.read_only),
            MenuItem("s", "stop", "agents stop at safe points; `swarm-tui resume` continues the run", ""),
        ]

        def quit_with(answer: str | None) -> None:
            modes = {"d": CloseMode.DETACH, "p": CloseMode.PAUSE, "s": CloseMode.STOP}
            if answer in modes:
                self._quit(modes[answer])

        self.push_screen(Menu("Quit", "", items), quit_with)

    def _quit(self, mode: CloseMode) -> None:
        if self.leaving:
            return
        self._write_draft()
        self.leaving = True
        if not self.session.ended():
            self.show_note("quitting once agents reach safe points… press q to quit at once")
            if self._main is not None:
                self._main.refresh_panes()
        future = self.session.close(mode)
        self.when_done(future, lambda done: self.exit(self.session.exit_status() or 0))

    def _leave_at_once(self) -> None:
        """While leaving: without safe points, and if that was asked for before, without the engine."""
        if self.impatient:
            self.exit(int(ExitStatus.STOPPED))
        self.impatient = True
        self.show_note("quitting at once…")
        self.session.close(CloseMode.NOW)

    def action_act(self, id: str) -> None:
        self.act(id)

    async def action_quit(self) -> None:
        self.ask_to_quit()


def run_app(launch: Launch, themes: Themes, *, take_terminal: Callable[[], None] = lambda: None) -> int:
    """Show the app; returns the exit status. `take_terminal` is called just before the app takes the terminal.

    Raises SwarmError for invalid keys, and for what broke the session.
    """
    opened: list[Session] = []

    def open_session(intent: str | None) -> Session:
        opened.append(launch.open_session(intent))
        return opened[-1]

    output = Output(sys.stdout)
    app = SwarmApp(
        launch._replace(open_session=open_session),
        themes,
        painted=prioritise_ui_threads,
        driver_class=driver_on(output),
    )
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(ScreenSelector())) as runner:
        loop = runner.get_loop()

        def exit() -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(app.exit)

        take_terminal()
        signals = Signals(exit, output, opened)  # after the first frame, during which the terminal does not echo
        try:
            status = runner.run(app.run_async())
        finally:
            collect_as_usual()
            signals.settle(impatient=app.impatient)
    if opened and (failure := opened[-1].failure()) is not None:
        raise failure
    return status if status is not None else (opened[-1].exit_status() or 0 if opened else 0)


require_handlers()
