"""The first frame: painted before anything heavy is loaded, and removed if the app fails to start."""

import fcntl
import gc
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

import pytest
from rich.console import Console

from tests.tui.apps import app_on, painted
from tests.tui.command_line import Person
from tests.tui.fake_session import FakeSession
from tests.tui.swarms import small
from tui.bridge import Settings, Snapshot
from tui.commands import show_app as module
from tui.sessions.launch import Launch
from tui.style.theme import Themes, choose_theme, colours_of
from tui.terminal.first_frame import first_frame

HEAVY = (
    *("textual", "rich.console", "pygments", "tui.app", "tui.screens", "tui.widgets"),
    *(
        "engine.wiring",
        "engine.orchestrator.swarm",
        "engine.agents",
        "engine.models.rehearsal.provider",
        "engine.sandbox.probe",
    ),
    *("anthropic", "openai", "httpx2", "genai_prices", "pydantic", "http.client"),
    *("pygit2", "git", "psutil", "aiosqlite", "zstandard", "pathspec"),
)
ENGINES = (
    "engine.wiring",
    "engine.orchestrator.swarm",
    "anthropic",
    "openai",
    "httpx2",
    "pygit2",
    "git",
    "psutil",
    "zstandard",
)
"""What importing the app must not load either; its session loads this after the screen is painted."""
PROGRAM = f"""
import sys
from tui.terminal import first_frame as module
from tui.cli import main
from tui.commands import open as command

def paint(*_):
    print("BEFORE", *(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)
    import tui.app
    print("AFTER", *(name for name in {ENGINES!r} if name in sys.modules), file=sys.stderr)
    sys.stderr.flush()
    raise SystemExit

module._paint = paint
command.require_terminal = lambda _: None
main([])
"""
THEMES = choose_theme("midnight", None, {"COLORTERM": "truecolor"})


class Pty(NamedTuple):
    """A terminal of 30 columns and 8 rows: the end of the program, and the end of the person."""

    program: TextIO
    person: int

    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.program)[3] & termios.ECHO)

    def painted(self) -> str:
        """The output since the last call."""
        self.program.flush()
        return os.read(self.person, 1 << 16).decode()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pty]:
    person, program = pty.openpty()
    fcntl.ioctl(program, termios.TIOCSWINSZ, struct.pack("HHHH", 8, 30, 0, 0))
    with open(program, "w", encoding="utf-8", closefd=True) as stream:
        monkeypatch.setattr(sys, "__stderr__", stream)
        monkeypatch.setattr(sys, "__stdout__", stream)  # the size is read from this stream
        for name in ("COLUMNS", "LINES"):
            monkeypatch.delenv(name, raising=False)
        yield Pty(stream, person)
    os.close(person)


def test_the_first_frame_loads_nothing_heavy_and_the_app_loads_no_engine(person: Person, terminal: Pty) -> None:
    person.commit()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=person.repo,
        env={**person.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdin=terminal.program,
        stdout=terminal.program,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stderr.splitlines() == ["BEFORE", "AFTER"]


def test_the_first_frame_fills_the_screen_and_shows_the_header(terminal: Pty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    with first_frame(THEMES.chosen, "a new run") as taken:
        assert not terminal.echoes()
        painted = terminal.painted()
        taken()
        assert terminal.echoes()
    assert painted.startswith("\x1b[?1049h")
    rows = re.split(r"\x1b\[\d+;1H", painted)[1:]
    shown = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", row) for row in rows]
    assert shown == [" ◆ swarm a new run".ljust(30), *[" " * 30] * 7]
    assert all("48;2;" in row for row in rows)


def test_the_launch_is_prepared_after_the_first_frame_while_the_app_is_loaded(
    terminal: Pty, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, launch, happened = threading.Event(), Launch(lambda _: FakeSession(), Settings()), list[str]()

    def prepare() -> Launch:
        happened.append("prepared" if terminal.painted() else "prepared too early")
        begun.set()
        return launch

    class Commands:
        @property
        def app(self) -> "Commands":
            assert begun.wait(60)
            happened.append("loaded")
            return self

        def run_app(self, shown: Launch, themes: Themes, *, take_terminal: Callable[[], None]) -> int:
            assert shown is launch
            take_terminal()
            return 7

    monkeypatch.setattr(module, "commands", Commands())
    try:
        assert module.show_app("midnight", prepare) == 7
    finally:
        gc.enable()
    assert happened == ["prepared", "loaded"]


def test_the_terminal_is_restored_if_the_app_fails_to_start(terminal: Pty) -> None:
    def begin() -> None:
        with first_frame(THEMES.chosen, "starting…"):
            terminal.painted()
            raise KeyError

    with pytest.raises(KeyError):
        begin()
    assert terminal.painted().endswith("\x1b[?1049l\x1b[?25h")
    assert terminal.echoes()


def test_without_a_terminal_there_is_no_first_frame(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+") as file:
        monkeypatch.setattr(sys, "__stderr__", file)
        with first_frame(THEMES.chosen, "starting…") as taken:
            taken()
        assert file.tell() == 0


@pytest.mark.parametrize("term", ["xterm-256color", "xterm-kitty", "linux", "dumb", "unknown", "screen", ""])
@pytest.mark.parametrize("more", ["truecolor", "24bit", "", "yes"])
def test_the_number_of_colours_is_the_one_that_rich_detects(term: str, more: str) -> None:
    environ = {"TERM": term, "COLORTERM": more}
    console = Console(force_terminal=True, _environ=environ)
    assert colours_of(environ) is console._color_system


async def test_a_run_is_shown_as_soon_as_its_first_snapshot_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.screens.main.POLL_S", 3600.0)
    session = small()
    read = session.latest()
    monkeypatch.setattr(session, "latest", lambda: (0, Snapshot()))
    app = app_on(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert "starting…" in painted(app)
        monkeypatch.setattr(session, "latest", lambda: read)
        while f"· {len(read[1].agents)} ·" not in painted(app):
            await pilot.pause(0.02)


async def test_a_slow_opening_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    session = small()
    session.opening = "migrating the journal: 45%"
    monkeypatch.setattr(session, "latest", lambda: (1, Snapshot()))
    app = app_on(session)
    async with app.run_test(size=(120, 40)) as pilot:
        while "migrating the journal: 45%…" not in painted(app):
            await pilot.pause(0.02)
