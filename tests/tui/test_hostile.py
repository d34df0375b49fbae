"""What agents, models and repos write cannot reach the terminal as anything but text, and never crashes the app."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
from concurrent.futures import Future
from importlib.resources import files
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.domain.types import AgentId, Role
from tests.tui.apps import app_on, main_of, painted, press, settle, shown_notes
from tests.tui.fake_session import FakeSession, refused
from tests.tui.hostile import EVIL, HUGE, NAME, hostile_session
from tui.bridge import Command
from tui.sessions.launch import RunPlan
from tui.style.theme import load_themes, read_theme

NAMES = {"]": "right_square_bracket", "|": "vertical_line"}
FORBIDDEN = {*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0))}


def hostile_plan() -> RunPlan:
    return RunPlan(
        NAME, NAME, "", {NAME: EVIL}, EVIL, (NAME, HUGE), NAME, "", EVIL, suggested=NAME, keys={NAME: EVIL}
    )  # fmt: skip


class Refusing(FakeSession):
    """Refuses every command with a hostile message."""

    def submit(self, command: Command) -> "Future[None]":
        return refused(NAME, EVIL)


def worker_of(session: FakeSession) -> AgentId:
    return next(agent.id for agent in session.run.agents.values() if agent.role is Role.WORKER)


def check_clean(frame: str) -> None:
    assert not FORBIDDEN & set(frame.replace("\n", ""))
    frame.encode()
    for hidden in "\u202e\u2066\u200b\u200d\u2028":
        assert hidden not in frame


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_every_surface_shows_hostile_text_as_text(size: tuple[int, int]) -> None:
    session = hostile_session()
    async with app_on(session).run_test(size=size) as pilot:
        await settle(pilot)
        seen = [painted(pilot.app)]
        main_of(pilot.app).panes.agents.select(worker_of(session))
        tabs = "2 ] | w c escape ] enter k enter equals_sign ] ] h enter ]"
        lists = "3 enter escape d 3 t 3 r escape m 4 5 1"
        modals = "s escape x n question_mark escape m escape number_sign escape T escape q escape"
        editor = "i escape ] ] ] i f2 escape escape escape exclamation_mark a escape escape A escape F F"
        for keys in (tabs, lists, modals, editor):
            for key in keys.split():
                await press(pilot, NAMES.get(key, key))
                seen.append(painted(pilot.app))
        for frame in seen:
            check_clean(frame)
        assert sum("[/x][bold]" in frame for frame in seen) > len(seen) // 2


async def test_a_refusal_and_a_start_in_hostile_words_are_text() -> None:
    session = hostile_session()
    session.__class__ = Refusing
    app = app_on(session, plan=hostile_plan())
    app._look = lambda: NAME
    async with app.run_test(size=(100, 40)) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()
        check_clean(painted(app))
        assert "[/x][bold]" in painted(app)
        await pilot.press("f8", *"go", "f2")
        await settle(pilot)
        app.screen.query("*")
        await press(pilot, "P", "greater_than_sign")
        check_clean(painted(app))
        assert "[/x][bold]" in shown_notes(app)


async def test_themes_of_hostile_files_are_text(tmp_path: Path) -> None:
    good = read_theme((files("themes") / "midnight.toml").read_text(), "midnight.toml")
    evil_file = tmp_path / "[x][bold]\x1b]0;OWNED\x07\u202e.toml"
    evil_file.write_text('name = "x"\n[colours]\n"[/x][bold]\\u001b[2J" = 1')
    broken = load_themes(tmp_path)[1]
    assert len(broken) == 1
    themes = {good.name: good, "z": replace(good, name="z", description=NAME)}
    app = app_on(hostile_session(), themes=themes, broken_themes=broken)
    async with app.run_test(size=(100, 40)) as pilot:
        await settle(pilot)
        check_clean(painted(app))
        await press(pilot, "T", "j")
        check_clean(painted(app))
        assert "invalid: [x][bold]" in painted(app)


def test_a_real_terminal_gets_no_sequence_that_was_not_the_programs_own(tmp_path: Path) -> None:
    """Runs the app on a pty, walks through its panes, hangs up, and reads every byte that it wrote."""
    main, side = pty.openpty()
    environ = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.tui", "hostile"], stdin=side, stdout=side, stderr=side, env=environ,
        cwd=Path(__file__).parents[2], start_new_session=True,
    ) as app:  # fmt: skip
        os.close(side)
        written = b""
        keys = [bytes([key]) for key in b"2]|w]k=]]h]3\rq4T"] + [b"\x1b", *(bytes([key]) for key in b"5?q1xni")]
        while True:
            ready, _, _ = select.select([main], [], [], 0.4)
            if ready:
                try:
                    chunk = os.read(main, 65536)
                except OSError:
                    break
                if not chunk:
                    break
                written += chunk
            elif keys and b"agents" in written:
                os.write(main, keys.pop(0))
            elif not keys:
                app.send_signal(signal.SIGTERM)
                keys = []
                if app.poll() is not None:
                    break
        os.close(main)
        app.wait(timeout=30)
    poisons = ["\x1b]0;", "\x1b]52;", "\x9b", "\x9d", "\x9c", "\x1bP", "\u202e", "\u2066", "\x00", "\x08"]
    for poison in (text.encode() for text in poisons):
        assert poison not in written
    # Textual itself sets the shape of the mouse pointer. All its other sequences begin with `[`.
    assert not re.findall(rb"\x1b[^\[].{0,20}", re.sub(rb"\x1b\]22;[a-z-]*\x07", b"", written), re.DOTALL)
    assert b"[/x][bold]" in written
