"""Questions and assumptions of planners on the screen: tests press keys and look."""

import pytest

from engine.domain import events as e
from engine.domain.notes import Note, NoteKind
from tests.tui.apps import app_on, main_of, painted, press, settle, shown_notes
from tests.tui.fake_session import FakeSession
from tests.tui.swarms import small
from tui.bridge import AnswerNote
from tui.input.drafts import IntentDraft
from tui.screens.modal import AskText, Menu


def noted(*notes: tuple[NoteKind, str, tuple[str, ...], bool]) -> FakeSession:
    """A swarm whose root noted these: kind, text, options, and whether it waits for the answer."""
    session = small()
    for kind, text, options, awaited in notes:
        add(session, kind, text, options, awaited=awaited)
    return session


def add(
    session: FakeSession, kind: NoteKind, text: str, options: tuple[str, ...] = (), *, awaited: bool = False
) -> None:
    root = session.agent("root").id
    number = len(session.run.notes) + 1
    session.record(
        e.NoteMade(Note(number, session.at, root, kind, text, options, intent=int(awaited), awaited=awaited)),
        agent=root,
    )


ASKED = (NoteKind.QUESTION, "The intent says 3.10, the package 3.11?", ("3.10", "3.11"), True)
ASSUMED = (NoteKind.ASSUMPTION, "MIT is fine as the licence.", (), False)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_a_question_needs_the_person_and_shows_its_options(size: tuple[int, int]) -> None:
    app = app_on(noted(ASKED, ASSUMED))
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        before = len(app.view.attention())
        await press(pilot, "exclamation_mark")
        shown = painted(app)
        for text in ("root asks", "the package 3.11?", "3.10", "answer in your own words", "let it decide"):
            assert text in shown
        assert "It waits for your answer." in shown
        await press(pilot, "2")
        assert app.session.commands == [AnswerNote(1, "3.11")]  # type: ignore[attr-defined]
        assert len(app.view.attention()) == before - 1


async def test_an_answer_in_own_words_can_be_undone_and_done_again() -> None:
    app = app_on(noted(ASKED))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "A", "a")
        assert isinstance(app.screen, AskText)
        await press(pilot, *"3.12", "enter", "u", "U")
        assert app.session.commands == [  # type: ignore[attr-defined]
            AnswerNote(1, "3.12"),
            AnswerNote(1, taken_back=True),
            AnswerNote(1, "3.12"),
        ]


async def test_an_assumption_is_fine_with_one_key() -> None:
    app = app_on(noted(ASSUMED))
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await press(pilot, "A")
        assert "root assumes" in painted(app)
        await press(pilot, "f")
        assert app.session.commands == [AnswerNote(1)]  # type: ignore[attr-defined]
        await press(pilot, "A")
        assert "no planner asks or assumes anything" in shown_notes(app)


async def test_the_questions_that_a_planner_waits_for_come_one_after_another() -> None:
    second = (NoteKind.QUESTION, "Which licence?", (), True)
    app = app_on(noted(ASKED, second))
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await press(pilot, "A", "1")
        assert isinstance(app.screen, Menu)
        assert "Which licence?" in painted(app)
        await press(pilot, "escape")
        assert app.session.commands == [AnswerNote(1, "3.10")]  # type: ignore[attr-defined]


async def test_a_new_question_is_announced_and_an_old_one_is_not() -> None:
    session = noted(ASKED)
    app = app_on(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await main_of(app).poll()
        assert "asks" not in shown_notes(app)
        add(session, NoteKind.QUESTION, "Which licence?")
        await main_of(app).poll()
        await settle(pilot)
        assert "root asks: Which licence? · A answers" in shown_notes(app)


async def test_a_session_that_takes_no_commands_only_shows_the_question() -> None:
    session = noted(ASKED)
    session.read_only = "this is a replay"
    app = app_on(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "exclamation_mark")
        assert not isinstance(app.screen, Menu)
        assert "root asks: The intent says 3.10" in shown_notes(app)
        await press(pilot, "A")
        assert "this is a replay" in shown_notes(app)


async def test_a_long_question_leaves_room_for_its_answers() -> None:
    app = app_on(noted((NoteKind.QUESTION, "why? " * 400, ("yes", "no"), False)))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "A")
        assert "let it decide" in painted(app)


async def test_the_detail_of_a_planner_keeps_its_notes_and_the_answers() -> None:
    app = app_on(noted(ASKED))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "A", "2", "g", "2", "plus")
        shown = painted(app)
        assert "Questions and assumptions: 0 open of 1" in shown
        assert "the package 3.11?" in shown


def test_a_draft_follows_the_answers_in_the_running_intent() -> None:
    answered = "Do it.\n\n## Questions and answers\n\n> 3.10?\n\nyes\n"
    draft = IntentDraft(text="Do it well.\n")
    draft.take_answers("Do it.", answered)
    assert draft.text == "Do it well.\n\n## Questions and answers\n\n> 3.10?\n\nyes\n"

    draft.text = draft.text.replace("yes", "yes, of course")
    mine = draft.text
    draft.take_answers(answered, answered + "\n> MIT?\n\nno\n")
    assert draft.text == mine
