"""A person at a shell."""

from pathlib import Path

import pytest

from tests.tui.command_line import Person


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key counts as held, however fast a test presses keys: what it sees must not depend on the machine."""
    monkeypatch.setattr("tui.widgets.lines.HELD_S", 0.0)
    monkeypatch.setattr("tui.screens.main.DETAIL_S", 0.0)


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path)
