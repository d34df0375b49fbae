"""The dialog of a run that starts from a commit that fails the check: tests press keys and look."""

import pytest

from engine.domain import events as e
from engine.domain.types import BaseSurvey, Check, CommitId, ModelName, RunId, RunState
from tests.tui.apps import app_on, main_of, painted, press, settle
from tests.tui.fake_session import FakeSession
from tui.bridge import ROOT, Cancel, Command, Resume
from tui.screens.modal import Menu


def waiting(*, passed: bool = False) -> FakeSession:
    session = FakeSession()
    models = {"planner": ModelName("m:m")}
    session.record(e.RunCreated(RunId("r-1"), "/home/me/app", "main", CommitId("c"), "make test", models, "{}", "0"))
    session.record(e.EpochStarted(1, "full", "overlay"))
    output = "".join(f"line {number}\n" for number in range(100)) + "No module named 'numpy'\n"
    check = Check(session.at, CommitId("c"), passed, 1, output, 2.0, clean=True, command="make test")
    session.record(e.BaseSurveyed(BaseSurvey(check, ('set [build] setup = "npm ci"',))))
    if not passed:
        session.record(e.RunStateChanged(RunState.PAUSED, "the check fails in a clean copy"))
    return session


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_dialog_shows_the_failure_its_output_and_what_to_do(size: tuple[int, int]) -> None:
    async with app_on(waiting()).run_test(size=size) as pilot:
        await settle(pilot)
        await main_of(pilot.app).poll()
        await settle(pilot)
        shown = painted(pilot.app)
        for text in (
            "The check fails in a clean copy",
            "status 1",
            "No module named 'numpy'",
            "npm ci",
            "go on",
            "stop",
        ):
            assert text in shown


@pytest.mark.parametrize(("key", "sent"), [("g", [Resume]), ("s", [Cancel]), ("escape", [])])
async def test_a_person_goes_on_stops_or_decides_later(key: str, sent: list[type[Command]]) -> None:
    session = waiting()
    async with app_on(session).run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await main_of(pilot.app).poll()
        await settle(pilot)
        assert isinstance(pilot.app.screen, Menu)
        await press(pilot, key)
        assert [type(command) for command in session.commands] == sent
        assert not isinstance(pilot.app.screen, Menu), "it asks once"
        if key == "s":
            assert session.commands == [Cancel(ROOT, "stopped because the base fails the check")]


async def test_letters_typed_in_another_dialog_do_not_answer_it() -> None:
    session = waiting(passed=True)
    async with app_on(session).run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await press(pilot, "ctrl+p")
        session.record(e.BaseSurveyed(BaseSurvey(Check(session.at, CommitId("c"), False, 1, "", 2.0, clean=True))))
        session.record(e.RunStateChanged(RunState.PAUSED, "the check fails in a clean copy"))
        await main_of(pilot.app).poll()
        await press(pilot, "s")
        assert not session.commands
        await press(pilot, "escape")
        await main_of(pilot.app).poll()
        await settle(pilot)
        assert isinstance(pilot.app.screen, Menu), "it asks once the other dialog is closed"


async def test_a_base_that_passes_asks_nothing() -> None:
    async with app_on(waiting(passed=True)).run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await main_of(pilot.app).poll()
        assert not isinstance(pilot.app.screen, Menu)
