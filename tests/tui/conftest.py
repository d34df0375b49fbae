"""A person at a shell."""

from pathlib import Path

import pytest

from tests.tui.command_line import Person


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path)
