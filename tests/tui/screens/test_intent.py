"""The intent editor and the start screen: versions and their tasks, review, saved drafts, undo."""

from pathlib import Path

import pytest

from engine.domain import events as e
from tests.tui.apps import app_on, painted, press, settle, shown_notes
from tests.tui.swarms import INTENT, small
from tui.app import SwarmApp
from tui.bridge import Pause, Resume, SetModel, SetWorkers, Steer, SubmitIntent
from tui.screens import intent
from tui.screens.confirm_intent import ConfirmIntent
from tui.screens.intent import IntentScreen
from tui.screens.start import StartScreen
from tui.sessions.launch import RunPlan
from tui.widgets.markdown import MarkdownEditor


def editor_of(app: SwarmApp) -> MarkdownEditor:
    return app.screen.query_one(MarkdownEditor)


async def test_a_version_shows_author_time_tasks_and_changes() -> None:
    session = small()
    session.submit(SubmitIntent(INTENT.replace("tables as an extension", "no tables")))
    async with app_on(session).run_test(size=(120, 60)) as pilot:
        await settle(pilot)
        await press(pilot, "i", "escape", "right_square_bracket")
        text = painted(pilot.app)
        tasks = f" {len(session.run.tasks)} tasks: "
        for part in ("version 1", "by person", tasks, "landed", "still open for this older version"):
            assert part in text
        await press(pilot, "right_square_bracket")
        text = painted(pilot.app)
        assert "no tasks yet" in text
        assert "-- CommonMark's blocks and inlines, tables as an extension" in text
        assert "+- CommonMark's blocks and inlines, no tables" in text


async def test_the_change_is_shown_as_a_diff_and_escape_keeps_editing() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "i", *"No: ", "f2")
        assert isinstance(pilot.app.screen, ConfirmIntent)
        assert "as version 2" in painted(pilot.app)
        assert "- # Markdown converter" in painted(pilot.app)
        await press(pilot, "escape")
        assert session.commands == []
        assert isinstance(pilot.app.screen, IntentScreen)
        await press(pilot, "f2", "y")
        assert isinstance(session.commands[0], SubmitIntent)


async def test_edits_are_undone_and_redone() -> None:
    async with app_on(small()).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "i", "x")
        assert editor_of(pilot.app).text.startswith("x#")
        await press(pilot, "f3")
        assert editor_of(pilot.app).text.startswith("#")
        await press(pilot, "f4")
        assert editor_of(pilot.app).text.startswith("x#")


async def test_the_cursor_goes_to_both_ends_of_the_text() -> None:
    async with app_on(small()).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "i", "ctrl+end", "y", "ctrl+home", "x")
        assert editor_of(pilot.app).text.startswith("x#")
        assert editor_of(pilot.app).text.endswith("y")


async def test_u_restores_the_previous_intent() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "i", "x", "f2", "y", "u")
        assert session.commands[-1] == SubmitIntent(INTENT)
        assert [intent.version for intent in session.run.intents] == [1, 2, 3]


async def test_the_draft_is_edited_in_the_persons_editor(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []

    def edit(screen: IntentScreen, name: str, text: str) -> str:
        seen.append((name, text))
        return text + "\nfrom outside \x1b[2J"

    monkeypatch.setattr(intent, "edit_outside", edit)
    async with app_on(small()).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "i", "escape", "e")
        assert seen == [("intent.md", INTENT)]
        assert editor_of(pilot.app).text.endswith("from outside ␛")
        await press(pilot, "f3")
        assert editor_of(pilot.app).text == INTENT


async def test_a_draft_is_saved_while_it_is_written_and_deleted_once_it_runs(tmp_path: Path) -> None:
    file = tmp_path / "repo" / "draft.md"
    session = small()
    async with app_on(session, draft_file=file).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        assert not file.exists()
        await press(pilot, "i", *"New: ")
        pilot.app._write_draft()  # what the timer does
        assert file.read_text().startswith("New: # Markdown")
    async with app_on(session, draft_file=file).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "i")
        assert editor_of(pilot.app).text.startswith("New: # Markdown")
        await press(pilot, "f2", "y")
        await settle(pilot)
        assert not file.exists()


async def test_a_draft_that_cannot_be_saved_is_reported_and_can_still_be_applied(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    session = small()
    async with app_on(session, draft_file=tmp_path / "file" / "draft.md").run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "i", "x")
        pilot.app._write_draft()
        await settle(pilot)
        assert "cannot save the draft" in shown_notes(pilot.app)
        await press(pilot, "f2", "y")
        assert len(session.commands) == 1


async def test_headings_lists_and_code_are_coloured_while_writing() -> None:
    async with app_on(small()).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "i")
        styles = {
            str(segment.style.color)
            for strip in (editor_of(pilot.app).render_line(row) for row in range(6))
            for segment in strip
            if segment.style is not None
        }
        assert len(styles) >= 3


async def test_the_start_screen_shows_check_keys_and_sandbox_and_saves_the_draft(tmp_path: Path) -> None:
    plan = RunPlan(
        "/r", "main", suggested="make test", models={"planner": "openai:big"}, keys={"OPENAI_API_KEY": "is set"},
        sandbox_level="auto",
    )  # fmt: skip
    session, file = small(), tmp_path / "draft.md"
    used: list[str] = []
    level = "namespaced, workspaces by overlay"
    app = app_on(session, plan=plan, level=level, use_check=used.append, draft_file=file)
    async with app.run_test(size=(120, 40)) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()
        text = painted(app)
        for part in ("make test   (found in the project", "OPENAI_API_KEY is set", "namespaced, workspaces by overlay"):
            assert part in text
        await pilot.press("f8")
        await pilot.pause()
        assert "green stays empty" in painted(app)
        await pilot.press(*"build", "f8")
        app._write_draft()
        assert file.read_text() == "build"
        await pilot.press("f2")
        await settle(pilot)
        assert used == ["make test"]
        assert not isinstance(app.screen, StartScreen)


async def test_commands_are_undone_and_redone() -> None:
    session = small()
    path = session.agent("root/blocks").path
    limit = session.run.workers_limit
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "u")
        assert "nothing to undo" in shown_notes(pilot.app)
        await press(pilot, "j", "p", "greater_than_sign", "u")
        assert session.commands == [Pause(path), SetWorkers(limit + 1), SetWorkers(limit)]
        await press(pilot, "u")
        assert session.commands[-1] == Resume(path)
        assert not session.agent("root/blocks").paused
        await press(pilot, "U")
        assert session.commands[-1] == Pause(path)
        await press(pilot, "s", *"go left", "enter", "u")
        assert session.commands[-1] == Steer(path, "go left", taken_back=True)
        await press(pilot, "U", "U")
        assert session.commands[-1] == Steer(path, "go left")


async def test_undoing_a_model_change_restores_each_agents_own_model() -> None:
    session = small()
    worker = session.agent("root/blocks/w-4")
    session.record(e.ModelChanged("openai:other"), agent=worker.id)  # type: ignore[arg-type]
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "j", "m", "ctrl+u", *"openai:small", "enter", "u")
        back = session.commands[1:]
        assert back == [
            SetModel(session.agent("root/blocks").model, session.agent("root/blocks").path),
            SetModel("openai:other", worker.path),  # type: ignore[arg-type]
        ]


async def test_a_command_that_was_refused_cannot_be_undone() -> None:
    session = small()
    session.record(e.WorkersLimited(1, "person"))
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "less_than_sign", "u")
        assert session.commands == [SetWorkers(0)]
