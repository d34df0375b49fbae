"""Rules for intents: they accept a good one, and name what a vague one leaves open, with its line."""

from pathlib import Path

import pytest

from engine.intent.lint import lint
from engine.intent.text import without_comments
from engine.models.rehearsal.playbook import list_samples

TEMPLATE = Path(__file__).parents[3] / "tui" / "templates" / "INTENT.md"


def test_the_example_intent_passes_the_rules() -> None:
    missing = [remark for remark in lint(without_comments(TEMPLATE.read_text())) if remark.kind == "missing"]
    assert missing == []


@pytest.mark.parametrize("sample", [sample.name for sample in list_samples()])
def test_the_samples_say_when_they_are_done(sample: str) -> None:
    [folder] = [each.folder for each in list_samples() if each.name == sample]
    texts = {remark.text for remark in lint(without_comments((folder / "INTENT.md").read_text()))}
    assert "it does not say when it is done" not in texts


def test_a_vague_intent_gets_a_remark_for_everything_that_it_leaves_open() -> None:
    remarks = lint("Make the app fast and user-friendly.\nAdd many tests, etc.\n")
    missing = [remark.text for remark in remarks if remark.kind == "missing"]
    assert missing == [
        "it has only 10 words",
        "it does not say when it is done",
        "it contains no number",
        "it does not mention dependencies",
        "it does not say what not to do",
        "it sets no limit on time or memory",
        "it names no file, command or example",
    ]
    vague = [(remark.line, remark.text) for remark in remarks if remark.kind == "vague"]
    assert vague == [(1, "“fast”"), (1, "“user-friendly”"), (2, "“many”"), (2, "“etc.”")] or vague == [
        (1, "“fast”"),
        (1, "“user-friendly”"),
        (2, "“many”"),
        (2, "“etc”"),
    ]


def test_a_number_in_the_line_makes_it_precise_and_code_is_ignored() -> None:
    assert not [r for r in lint("It is fast: under 20 ms.\n`make fast`\n```\nfast\n```\n") if r.kind == "vague"]
