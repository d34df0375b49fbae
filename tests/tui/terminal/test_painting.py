"""A key costs no layout, one frame, and only the rows that changed; the result is what a full repaint would show."""

import gc
import random
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from rich.cells import cell_len
from textual._compositor import CompositorUpdate
from textual.events import Key
from textual.geometry import Region
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widget import Widget

from engine.domain import events as e
from tests.tui.apps import app_on, main_of, painted, press, settle
from tests.tui.fake_session import FakeSession
from tests.tui.swarms import small, swarm, turn
from tui.app import SwarmApp
from tui.format.text import Span
from tui.terminal.sgr import shortened
from tui.widgets.text_view import TextView

_PIECE = re.compile("\x1b\\[(\\d+);(\\d+)H|\x1b\\[[0-9;?]*[A-Za-z]|(.)", re.DOTALL)
SIZE = (120, 40)


class Picture:
    """The text that a terminal shows after all frames so far."""

    def __init__(self) -> None:
        self.cells = [[" "] * SIZE[0] for _ in range(SIZE[1])]
        self.frames: list[str] = []

    def take(self, frame: str) -> None:
        self.frames.append(frame)
        row = column = 0
        for y, x, character in _PIECE.findall(frame):
            if y:
                row, column = int(y) - 1, int(x) - 1
            elif character == "\n":
                row, column = row + 1, 0
            elif character >= " ":
                self.cells[row][column] = character
                column += cell_len(character)

    @property
    def text(self) -> str:
        return "\n".join("".join(row) for row in self.cells)


@pytest.fixture
def picture(monkeypatch: pytest.MonkeyPatch) -> Picture:
    """Follows what the app paints. The app asks for no news by itself."""
    monkeypatch.setattr("tui.screens.main.POLL_S", 3600.0)
    kept = Picture()
    display = SwarmApp._display

    def take(app: SwarmApp, screen: Any, update: Any) -> None:
        if isinstance(update, CompositorUpdate):
            kept.take(shortened(update.render_segments(app.console)))
        display(app, screen, update)

    monkeypatch.setattr(SwarmApp, "_display", take)
    return kept


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """The rows that each widget rendered."""
    rows: Counter[str] = Counter()
    render = Widget.render_lines

    def count(widget: Widget, crop: Any) -> list[Strip]:
        rows[widget.id or type(widget).__name__] += crop.height
        return render(widget, crop)

    monkeypatch.setattr(Widget, "render_lines", count)
    return rows


def session() -> FakeSession:
    return swarm(300)


async def test_a_key_is_painted_in_one_frame_without_a_layout(
    picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_on(session())
    async with app.run_test(size=SIZE) as pilot:
        await _paint(pilot)
        main = main_of(app)
        layouts: list[bool] = []
        monkeypatch.setattr(main, "_refresh_layout", lambda *_, **options: layouts.append(True))
        monkeypatch.setattr("tui.screens.main.DETAIL_S", 3600.0)  # the detail of the last agents comes later
        before = len(picture.frames)
        for key in "jjjkkj":
            await pilot.press(key)
        assert len(picture.frames) == before + 6
        assert not layouts
        assert picture.text == painted(app)


async def test_a_held_key_shows_the_detail_of_the_first_and_of_the_last_agent(
    picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_on(session())
    async with app.run_test(size=SIZE) as pilot:
        await _paint(pilot)
        main = main_of(app)
        await pilot.press("j")
        first = app.view.path_of(app.view.selected)
        monkeypatch.setattr("tui.screens.main.DETAIL_S", 3600.0)
        paths: list[str] = []
        for _ in range(8):
            await pilot.press("j")
            paths.append(app.view.path_of(app.view.selected))
            assert re.search(rf"2 detail · \S+ \w+ · {paths[-1]} ", picture.text)
            assert re.search(rf"agent +{first} ·", main.panes.detail.body.copied_text())
        assert len({first, *paths}) == 9
        opened: list[str] = []
        monkeypatch.setattr("tui.screens.clipboard_and_editor._run_on", lambda *words: opened.append(words[-1]))
        await pilot.press("e")
        assert re.search(rf"agent +{paths[-1]} ·", opened[0]), "an editor opens what is selected, not what is shown"
        main._show_detail()
        await _paint(pilot)
        assert re.search(rf"agent +{paths[-1]} ·", main.panes.detail.body.copied_text())
        assert picture.text == painted(app)


async def test_a_held_key_scrolls_by_pages_and_keeps_the_cursor_in_view(
    picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.widgets.lines.HELD_S", 3600.0)
    app = app_on(session())
    async with app.run_test(size=SIZE) as pilot:
        await _paint(pilot)
        tree = main_of(app).panes.agents
        tops: list[int] = []
        for key in ["j"] * 4 * tree.rows + ["k"] * 4 * tree.rows:
            await pilot.press(key)
            top = tree.scroll_offset.y
            assert top <= tree.cursor < top + tree.rows
            tops.append(top)
        assert tree.cursor == tops[-1] == 0
        assert sum(before != after for before, after in pairwise(tops)) <= 12


async def test_a_key_renders_only_the_rows_that_it_changed(picture: Picture, rendered: Counter[str]) -> None:
    app = app_on(session())
    async with app.run_test(size=SIZE) as pilot:
        await _paint(pilot)
        await pilot.press("j")
        rendered.clear()
        await pilot.press("j")
        assert rendered["agents"] == 2
        assert not rendered.keys() & {"header", "events", "resources", "handoffs", "pane-tabs", "tree-heads"}
        assert len(picture.frames[-1]) < 4_000


async def test_rows_that_were_painted_are_freed_without_the_garbage_collector(picture: Picture) -> None:
    app = app_on(session())
    async with app.run_test(size=SIZE) as pilot:
        await _paint(pilot)
        await pilot.press(*"jjjjkkkk")  # these rows were painted with the whole screen
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for key in "jjjkkj":
                await pilot.press(key)
            gc.collect()
            strips = [each for each in gc.garbage if isinstance(each, Strip)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
        assert not strips


async def test_the_header_sends_only_what_changed(picture: Picture) -> None:
    made = session()
    app = app_on(made)
    async with app.run_test(size=SIZE) as pilot:
        await _paint(pilot)
        made.at += 1_000_000
        await _paint(pilot)
        [column] = re.findall("\x1b\\[1;(\\d+)H", picture.frames[-1])
        assert int(column) > 30


async def test_a_key_that_arrives_during_a_poll_goes_before_the_next_pane(
    picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = session()
    app = app_on(made)
    async with app.run_test(size=SIZE) as pilot:
        await _paint(pilot)
        main, seen = main_of(app), []
        cursor, frames = main.panes.agents.cursor, len(picture.frames)
        monkeypatch.setattr(main.panes.agents, "update", lambda: app.post_message(Key("j", "j")))
        monkeypatch.setattr(
            main.panes.handoffs, "update", lambda: seen.append((main.panes.agents.cursor, len(picture.frames)))
        )
        made.record(e.WorkersLimited(1, "person"))
        await main.poll()
        assert seen == [(cursor + 1, frames + 1)]


async def test_behind_a_dialog_only_what_changed_is_sent(picture: Picture) -> None:
    made = session()
    app = app_on(made)
    async with app.run_test(size=SIZE) as pilot:
        await press(pilot, "q")
        await _paint(pilot)
        for _ in range(3):
            made.at += 1_000_000
            await _paint(pilot)
            assert len(picture.frames[-1]) < 0.6 * len(picture.frames[0]), "less than all rows"
            assert picture.text == painted(app)


@pytest.mark.parametrize(
    ("keys", "changes"), [("3 enter", "#reader-text"), ("q", "#menu-items")], ids=["full", "dialog"]
)
async def test_what_a_screen_changes_is_painted_whole_although_the_one_below_changes_too(
    keys: str, changes: str, picture: Picture
) -> None:
    app = app_on(session())
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await press(pilot, *keys.split())
        await _paint(pilot)
        main, above = main_of(app), app.screen
        assert above is not main
        above.query_one(changes, TextView).set(lambda cells: [(Span(f"line {number}"),) for number in range(30)])
        main._compositor._dirty_regions.add(Region(0, 5, 20, 2))
        main._compositor_refresh()
        await _paint(pilot)
        assert "line 3" in picture.text
        assert picture.text == painted(app)


@pytest.mark.parametrize("seed", range(3))
async def test_after_any_keys_the_terminal_shows_what_a_full_repaint_would(seed: int, picture: Picture) -> None:
    rng = random.Random(seed)
    made = small()
    app = app_on(made)
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        for _ in range(40):
            key = rng.choice([*"jjjkkG", *"12345", "g", "d", "u", "tab", "z", "o", "minus", "question_mark", "escape"])
            await pilot.press(key)
            turn(made, rng.choice(list(made.run.agents)), rng.randrange(1000, 90_000))
            await _paint(pilot)
            assert picture.text == painted(app), key
        await press(pilot, "escape")


async def _paint(pilot: "Pilot[int]") -> None:
    """Show what is new, without waiting for the time of the next frame."""
    await settle(pilot)
    pilot.app.screen._on_timer_update()
