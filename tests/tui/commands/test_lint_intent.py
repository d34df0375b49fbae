"""`swarm-tui lint-intent`: rules without a model, else a model, but never the rehearsal."""

from argparse import Namespace
from pathlib import Path

import pytest

from engine.domain.types import Usage
from tui.bridge import SwarmError
from tui.cli import COMMANDS, parse
from tui.commands import lint_intent as command


def parsed(*words: str) -> Namespace:
    [line] = [line for line in COMMANDS if line.name == "lint-intent"]
    return parse(line, list(words))


@pytest.fixture
def wish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    file = tmp_path / "INTENT.md"
    file.write_text("<!-- a comment -->\nMake it fast.\n")
    return str(file)


def test_without_a_model_the_rules_are_used_and_the_note_says_so(wish: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.lint_intent(parsed(wish)) == 1
    told = capsys.readouterr()
    assert "line 1: vague: “fast” — hint: write how fast or how large, as a number" in told.out
    assert "missing: it does not say when it is done" in told.out
    assert told.err.startswith("note: checked by rules only, a model would find more: no model is configured")


def test_a_model_given_as_an_option_that_cannot_answer_is_an_error(wish: str) -> None:
    with pytest.raises(SwarmError, match="cannot answer questions"):
        command.lint_intent(parsed(wish, "--model", "rehearsal:notes"))


def test_a_configured_model_is_asked(
    wish: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def review(text: str, settings: object, environ: object, *_: object) -> tuple[list[str], Usage]:
        asked.append(text)
        return ["missing: what “it” is — hint: name it"], Usage(1_000, 0, 200, 0.02)

    monkeypatch.setattr(command, "review_intent", review)
    assert command.lint_intent(parsed(wish)) == 1
    told = capsys.readouterr()
    assert told.out == "missing: what “it” is — hint: name it\n"
    assert "$0.02" in told.err, "what it cost"
    assert asked == ["Make it fast.\n"], "without the person's comments"
    assert command.lint_intent(parsed(wish, "--rules")) == 1
    assert len(asked) == 1
