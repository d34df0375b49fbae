"""What agents, models and repos write cannot reach the terminal as anything but text, and never crashes the app."""

import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine import events as e
from engine.journal.rows import CallRow, MessageRow
from engine.types import AgentId, AgentState, HandoffStatus, HandoffText, Intent, Role
from tests.tui.apps import app_on, main_of, painted, press, settle
from tests.tui.fake_session import FakeSession
from tests.tui.swarms import begin, hand_off, spawn, task
from tui.bridge import Live
from tui.widgets.detail import Tab

EVIL = (
    "[/x][bold]\x1b]0;OWNED\x07\x1b]52;c;T1dORUQ=\x1b\\\x9b2J\x1b[2J\x9d0;OWNED\x9c\x1bP1$r\x1b\\"
    "\u202e\u2066\u200d\x00\x08\r👩\u200d💻日本"
)
FORBIDDEN = {*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0))}


def hostile_session() -> FakeSession:
    """A swarm in which every text that someone else wrote is hostile."""
    session = FakeSession()
    root = begin(session)
    session.record(e.IntentVersioned(Intent(2, session.at, EVIL, EVIL)))
    planner = spawn(session, f"root/p{EVIL}", root, Role.PLANNER, EVIL)
    id = task(session, planner, EVIL, EVIL)
    worker = spawn(session, f"root/p{EVIL}/w-1", planner, Role.WORKER, EVIL, task=id)
    session.record(e.TaskStarted(worker, 1), agent=worker, task=id)
    session.record(e.AgentStateChanged(AgentState.ACTING, EVIL), agent=worker)
    session.record(e.ScratchpadRewritten(1, EVIL), agent=worker)
    session.record(e.Warned(EVIL))
    session.record(e.WorkersLimited(3, EVIL, EVIL))
    text = HandoffText(HandoffStatus.FAILED, EVIL, EVIL, EVIL, EVIL, EVIL, EVIL)
    hand_off(session, worker, id, text, None)
    session.patches[worker] = (
        f"diff --git a/{EVIL} b/{EVIL}\n--- a/{EVIL}\n+++ b/{EVIL}\n@@ -1 +1 @@ {EVIL}\n-{EVIL}\n+{EVIL}\n"
    )
    session.live[worker] = Live(EVIL * 20, True, EVIL, EVIL * 20, True, 0, EVIL)
    session.said[worker] = [
        MessageRow(1, 3, session.at, worker, "user", EVIL, EVIL, 9, True),
        MessageRow(2, 4, session.at, worker, "assistant", "model", EVIL, 9, True, calls=(CallRow("c", EVIL, EVIL),)),
        MessageRow(3, 5, session.at, worker, "tool", EVIL, EVIL, 9, True, EVIL, None, "error"),
    ]
    return session


def worker_of(session: FakeSession) -> AgentId:
    return next(agent.id for agent in session.run.agents.values() if agent.role is Role.WORKER)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_every_surface_shows_hostile_text_as_text(size: tuple[int, int]) -> None:
    session = hostile_session()
    async with app_on(session).run_test(size=size) as pilot:
        await settle(pilot)
        seen = [painted(pilot.app)]
        main_of(pilot.app).agents.select(worker_of(session))
        await press(pilot, "2")
        for _ in Tab:
            await press(pilot, "right_square_bracket")
            seen.append(painted(pilot.app))
        for keys in (
            ("3",),
            ("enter",),
            ("escape",),
            ("4",),
            ("5",),
            ("1",),
            ("s",),
            ("escape",),
            ("x",),
            ("n",),
            ("question_mark",),
            ("escape",),
        ):
            await press(pilot, *keys)
            seen.append(painted(pilot.app))
        await press(pilot, "i")
        seen.append(painted(pilot.app))
        await press(pilot, "escape", "right_square_bracket")
        seen.append(painted(pilot.app))
        for frame in seen:
            assert not FORBIDDEN & set(frame.replace("\n", ""))
            assert "\u202e" not in frame
        assert any("[/x][bold]" in frame for frame in seen)


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
        keys = [b"2", b"]", b"]", b"]", b"]", b"3", b"\r", b"q", b"4", b"1"]
        while True:
            ready, _, _ = select.select([main], [], [], 1.0)
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
    assert b"[/x][bold]" in written
