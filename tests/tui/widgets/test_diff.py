"""The diff view: unified or split, wrapped or cut, highlighted, and fast for patches of any size."""

import threading

import pytest

from tests.tui.apps import app_on, main_of, painted, press, settle
from tests.tui.fake_session import FakeSession
from tests.tui.swarms import PATCH, small
from tui.bridge import Steer, parse_patch
from tui.format.diff_rows import NONE, PatchText, Row, lay_out, line_starts
from tui.style.syntax import language_of
from tui.widgets import diff
from tui.widgets.detail import Tab
from tui.widgets.diff import DiffView

WORKER = "root/blocks/w-4"


def added_file(lines: int, text: str = "value = compute(1, 'two')  # three") -> str:
    head = "diff --git a/new.py b/new.py\nnew file mode 100644\n--- /dev/null\n+++ b/new.py\n"
    return head + f"@@ -0,0 +1,{lines} @@\n" + f"+{text}\n" * lines


def changed(old: str, new: str) -> str:
    return f"diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -7 +7 @@ def f():\n-{old}\n+{new}\n"


async def shown(pilot, session: FakeSession, patch: str) -> DiffView:  # type: ignore[no-untyped-def]
    """The focused view of a patch of the selected worker."""
    worker = session.agent(WORKER)
    session.patches[worker.id] = patch
    main = main_of(pilot.app)
    main.panes.agents.select(worker.id)
    main.panes.detail.open(Tab.DIFF)
    await press(pilot, "2")
    view = main.panes.detail.body
    assert isinstance(view, DiffView)
    return view


def told(view: DiffView) -> list[str]:
    return ["".join(span.text for span in view.line(at, view.cells)).rstrip() for at in range(view.line_count())]


def styles(view: DiffView, text: str) -> str:
    """The styles of the spans that are exactly this text."""
    spans = [span for at in range(view.line_count()) for span in view.line(at, view.cells)]
    return " | ".join(span.style for span in spans if span.text == text)


def test_both_layouts_show_every_line_of_a_patch_once_per_side() -> None:
    patch = parse_patch(PATCH)
    unified, split = lay_out(patch, split=False), lay_out(patch, split=True)
    for sign, side in (("-", "old"), ("+", "new")):
        wanted = [
            at
            for file in patch.files
            for hunk in file.hunks
            for at in range(hunk.first, hunk.end)
            if patch.lines[at][:1] in (sign, " ", "")
        ]
        for rows in (unified, split):
            assert [at for row in rows.rows if (at := getattr(row, side)) != NONE] == wanted
    assert len(split.rows) < len(unified.rows)


def test_changes_within_a_line_are_marked_by_words() -> None:
    patch = parse_patch(changed("return first + second", "return first - second"))
    gone, came = PatchText(patch).changed(4, 5)
    assert [(part.start, part.end) for part in (*gone, *came)] == [(13, 14), (13, 14)]
    patch = parse_patch(changed("return first + second", "class Unlike: ..."))
    assert PatchText(patch).changed(4, 5) == ([], [])


def test_only_well_known_languages_are_highlighted() -> None:
    assert language_of("src/deep/x.PY") == "python"
    assert language_of("Makefile") == "make"
    assert language_of("odd.unknown") == ""


async def test_a_wide_pane_splits_the_diff_and_a_key_changes_that() -> None:
    session = small()
    async with app_on(session).run_test(size=(200, 60)) as pilot:
        view = await shown(pilot, session, changed("return first + second", "return first - second"))
        assert view.split
        [row] = [line for line in told(view) if "return" in line]
        assert "first + second" in row.split("│")[0]
        assert "first - second" in row.split("│")[1]
        await press(pilot, "vertical_line")
        assert len([line for line in told(view) if "return" in line]) == 2


async def test_code_is_highlighted_and_changed_words_are_marked() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        view = await shown(pilot, session, changed("return first + 1", "return first + 22"))
        assert styles(view, "return") == "text on:removed_line keyword | text on:added_line keyword"
        assert "on:removed_word" in styles(view, "1")
        assert "on:added_word" in styles(view, "22")


async def test_without_shades_a_changed_word_is_reversed() -> None:
    session = small()
    async with app_on(session, theme="sixteen").run_test(size=(120, 50)) as pilot:
        view = await shown(pilot, session, changed("return first + 1", "return first + 22"))
        assert styles(view, "22") == "added reverse"


async def test_long_lines_are_cut_or_wrapped() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        view = await shown(pilot, session, changed("short", "long " * 60 + "end"))
        assert not any("end" in line for line in told(view))
        before = view.line_count()
        await press(pilot, "w")
        assert view.line_count() > before
        assert told(view)[-1].endswith("end")
        assert sum(line.count("g") for line in told(view)[3:]) == 60
        await press(pilot, "G", "w")
        assert view.cursor == view.line_count() - 1


async def test_the_cursor_keeps_its_line_when_the_workspace_changes() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        view = await shown(pilot, session, PATCH)
        await press(pilot, "l", "l", "j")
        before = view.place
        more = PATCH.replace("diff --git a/src", added_file(30) + "diff --git a/src", 1)
        session.patches[session.agent(WORKER).id] = more
        main_of(pilot.app).panes.detail.reload_diff()
        await settle(pilot)
        assert view.line_count() > 40
        assert view.place == before


async def test_a_comment_reaches_the_author_with_file_line_and_text() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        await shown(pilot, session, changed("return a", "return b"))
        await press(pilot, "G", "c", *"why", "enter")
        [command] = session.commands
        assert isinstance(command, Steer)
        assert command.path == WORKER
        for part in ("your change", "a.py:7", "+return b", "why"):
            assert part in command.text


async def test_fifty_thousand_lines_paint_only_what_is_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        view = await shown(pilot, session, added_file(50_000))
        assert view.line_count() == 50_002
        read: list[int] = []
        of = PatchText.of
        monkeypatch.setattr(
            PatchText, "of", lambda text, line, longest=None: (read.append(line), of(text, line, longest))[1]
        )
        await press(pilot, "G")
        assert view.cursor == 50_001
        assert "50000" in painted(pilot.app)
        assert 0 < len(set(read)) < 300


async def test_a_malformed_patch_shows_as_far_as_it_can_be_parsed() -> None:
    session = small()
    broken = "diff --git a/x b/x\n@@ -1,9 +1,9 @@\n+only\n" + "diff --git a/y b/y\nBinary files differ\n" + "@@ -x @@\n"
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        view = await shown(pilot, session, broken)
        for key in ("l", "n", "w", "vertical_line", "G", "N", "h"):
            await press(pilot, key)
        assert any("binary file" in line for line in told(view))


async def test_a_large_patch_is_wrapped_in_another_thread_at_every_width(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: set[int] = set()
    whole = line_starts

    def watched(rows: list[Row], text: PatchText, cells: int) -> list[int]:
        threads.add(threading.get_ident())
        return whole(rows, text, cells)

    monkeypatch.setattr(diff, "line_starts", watched)
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        view = await shown(pilot, session, added_file(5000, "value = compute(1, 'two')  # " + "three " * 12))
        cut = view.line_count()
        assert cut == 5002
        await press(pilot, *"jjjj", "w")
        place, narrow = view.place, view.line_count()
        assert narrow > 2 * cut
        assert place is not None
        await pilot.resize_terminal(190, 60)
        await settle(pilot)
        await settle(pilot)
        assert cut < view.line_count() < narrow
        assert view.place == place
        await press(pilot, "vertical_line", "vertical_line")
        session.patches[session.agent(WORKER).id] = added_file(6000, "another " * 30)
        await press(pilot, "r")
        assert view.line_count() > 6002
        await press(pilot, "w")
        assert view.line_count() == 6002
    assert threads
    assert threading.get_ident() not in threads
