"""What every pane and screen looks like, at three sizes in two themes; `make pictures` records all of it anew.

Each screen is recorded once a size, as text that names its colours. Every theme has to paint that same text, in its own
colours, and one table a theme records what those are. The smallest size is also recorded as SVG, for people to look at.
One app walks through all screens of a size and theme: starting an app for each would cost ten times as much.
"""

import asyncio
from collections.abc import Iterator, Mapping
from difflib import unified_diff
from typing import NamedTuple

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from engine.domain import events as e
from tests.tui.apps import app_on, main_of, press, settle, svg_of
from tests.tui.fake_session import FakeSession
from tests.tui.screen_text import Row, colours_of, distinct, named, rows_of, text_of
from tests.tui.swarms import small
from tui.app import SwarmApp
from tui.bridge import Note, NoteKind, SubmitIntent
from tui.sessions.launch import RunPlan
from tui.style.theme import Palette, load_themes

Size = tuple[int, int]
Stops = dict[str, tuple[str, str]]

SIZES = [(80, 24), (120, 40), (200, 60)]
TO_LOOK_AT = ((80, 24), "midnight")
"""The size that shows one pane at a time, in the default theme."""
PANES: Stops = {
    "agents": ("j j j", ""),
    "now": ("2", ""),
    "diff": ("]", ""),
    "messages": ("]", ""),
    "task": ("]", ""),
    "scratchpad": ("]", ""),
    "log": ("]", ""),
    "handoffs": ("3", ""),
    "handoff": ("enter", "escape"),
    "events": ("4", ""),
    "resources": ("5", ""),
    "help": ("1 ?", "escape"),
    "steer": ("s", "escape"),
    "cancel": ("x", "escape"),
}
"""The keys that lead from each screen to the next, and those that lead out of it again."""
THEMES: Stops = {"themes-midnight": ("T", "escape"), "themes-daylight": ("T k", "escape")}
"""The list of themes as each theme opens it; in midnight, a key more leads to what daylight shows."""
QUESTIONS: Stops = {
    "quit": ("q", "escape"),
    "intent": ("i x", ""),
    "apply": ("f2", "escape"),
    "version": ("escape ]", "q"),
}
ASKED = ("note",)
"""What shows once a planner has asked."""
_KEYS = {"]": "right_square_bracket", "?": "question_mark"}
PLAN = RunPlan(
    "/home/me/src/mdconv",
    "main",
    "make test",
    {"planner": "anthropic:large", "worker": "openai:small"},
    "namespaced",
    ("3 changed files are not committed: agents will not see the changes",),
    keys={"ANTHROPIC_API_KEY": "is set", "OPENAI_API_KEY": "is set"},
)


def difference(expected: str, painted: str) -> Iterator[str]:
    return unified_diff(expected.splitlines(), painted.splitlines(), "expected", "painted", lineterm="", n=1)


class TextFile(SingleFileSnapshotExtension):
    _write_mode = WriteMode.TEXT
    file_extension = "txt"

    def diff_lines(self, serialized_data: str | bytes, snapshot_data: str | bytes) -> Iterator[str]:
        return difference(str(snapshot_data), str(serialized_data))


class SvgFile(TextFile):
    file_extension = "svg"


class Picture(NamedTuple):
    """One screen as it was painted."""

    rows: list[Row]
    svg: str


def taken(app: SwarmApp) -> Picture:
    """The screen as it stands, without notes that come and go."""
    app.clear_notifications()
    return Picture(rows_of(app), svg_of(app) if (app.size, app.theme) == TO_LOOK_AT else "")


def ask(session: FakeSession) -> None:
    """A planner asks the person and waits for the answer."""
    root = session.agent("root").id
    text = "The intent says Python 3.10, and the package needs 3.11. Which one?"
    note = Note(1, session.at, root, NoteKind.QUESTION, text, ("3.10", "3.11"), intent=1, awaited=True)
    session.record(e.NoteMade(note), agent=root)


async def walk(size: Size, themes: Mapping[str, Palette], theme: str, lists: Stops) -> dict[str, Picture]:
    """A picture of every screen in one size and theme."""
    pictures = {}
    start = app_on(small(), themes=themes, theme=theme, plan=PLAN)
    async with start.run_test(size=size) as pilot:
        await settle(pilot)
        pictures["start"] = taken(start)
    session = small()
    session.submit(SubmitIntent(session.run.intents[0].text + "- benchmarks against other converters\n"))
    app = app_on(session, themes=themes, theme=theme)
    async with app.run_test(size=size, notifications=False) as pilot:
        await settle(pilot)
        for name, (there, back) in (PANES | lists | QUESTIONS).items():
            await press(pilot, *(_KEYS.get(key, key) for key in there.split()))
            pictures[name] = taken(app)
            await press(pilot, *back.split())
        assert app.screen is main_of(app)
        ask(session)
        await settle(pilot)
        await press(pilot, "A")
        pictures["note"] = taken(app)
    return pictures


def compare(text: str, recorded: SnapshotAssertion) -> None:
    """Fail with all the lines that differ: pytest cuts off what an assertion compares."""
    if text != recorded:
        pytest.fail("\n".join(recorded.get_assert_diff()), pytrace=False)


@pytest.fixture(scope="module", params=SIZES, ids="{0[0]}x{0[1]}".format)
def size(request: pytest.FixtureRequest) -> Size:
    chosen: Size = request.param
    return chosen


@pytest.fixture(scope="module", params=["midnight", "daylight"])
def theme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def drawn(size: Size) -> dict[str, list[Row]]:
    """Every screen with its colours named, from a painting in which no two colours are alike."""
    themes = distinct(load_themes()[0])
    pictures = asyncio.run(walk(size, themes, "midnight", THEMES))
    return {name: named(picture.rows, colours_of(themes["midnight"])) for name, picture in pictures.items()}


@pytest.fixture(scope="module")
def painted(size: Size, theme: str) -> dict[str, Picture]:
    """Every screen as people see it."""
    return asyncio.run(walk(size, load_themes()[0], theme, {f"themes-{theme}": ("T", "escape")}))


@pytest.mark.parametrize("screen", [*PANES, *THEMES, *QUESTIONS, *ASKED, "start"])
def test_every_screen_is_as_recorded(drawn: dict[str, list[Row]], screen: str, snapshot: SnapshotAssertion) -> None:
    compare(text_of(drawn[screen]), snapshot.use_extension(TextFile))


@pytest.mark.parametrize("screen", [*PANES, "themes", *QUESTIONS, *ASKED, "start"])
def test_every_theme_paints_the_same_screens(
    drawn: dict[str, list[Row]], painted: dict[str, Picture], theme: str, screen: str
) -> None:
    name = f"themes-{theme}" if screen == "themes" else screen
    rows = named(painted[name].rows, colours_of(load_themes()[0][theme]), like=drawn[name])
    if different := list(difference(text_of(drawn[name]), text_of(rows))):
        pytest.fail("\n".join(different), pytrace=False)


@pytest.mark.parametrize("theme", ["midnight", "daylight"])
def test_the_colours_of_a_theme_are_as_recorded(theme: str, snapshot: SnapshotAssertion) -> None:
    table = "".join(f"{name:18} {colour}\n" for name, colour in colours_of(load_themes()[0][theme]).items())
    compare(table, snapshot.use_extension(TextFile))


@pytest.mark.parametrize("screen", [*PANES, "themes-midnight", *QUESTIONS, *ASKED, "start"])
@pytest.mark.parametrize(("size", "theme"), [TO_LOOK_AT], indirect=True, scope="module", ids=["80x24-midnight"])
def test_what_people_look_at_is_as_recorded(
    painted: dict[str, Picture], screen: str, snapshot: SnapshotAssertion
) -> None:
    compare(painted[screen].svg, snapshot.use_extension(SvgFile))
