"""Prompt files: an invalid one is refused when it loads."""

from pathlib import Path

import pytest

from engine.domain.errors import SwarmError
from engine.domain.types import Role
from engine.runtime.prompts import Prompts
from tests.engine.swarms import PROMPTS, TOOLBOX

WRITING = {"write_file", "edit_file", "apply_patch"}
PLANNING = {"spawn_tasks", "spawn_subplanner", "rescope_subplanner", "cancel_subplanner", "cancel_task", "wait"}


def load(folder: Path, text: str) -> Prompts:
    (folder / "a.md").write_text(text)
    return Prompts(folder)


def test_a_valid_prompt_fills_in_its_variables(tmp_path: Path) -> None:
    prompts = load(tmp_path, '+++\nversion = 3\nvariables = ["who"]\n+++\nHello ${who}, pay $$5.\n')
    assert prompts["a"].render(who="you") == "Hello you, pay $5."
    assert prompts["a"].label == "a@3"
    with pytest.raises(ValueError, match="takes"):
        prompts["a"].render(what="x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello", "front matter"),
        ("+++\nversion = 1\n", "front matter"),
        ("+++\nversion = one\n+++\nx", "front matter|Invalid"),
        ("+++\n+++\nx", "version"),
        ("+++\nversion = 1\nvarables = []\n+++\nx", "varables"),
        ("+++\nversion = 1\n+++\nHello ${who}", "who"),
        ('+++\nversion = 1\nvariables = ["who"]\n+++\nHello', "who"),
        ("+++\nversion = 1\n+++\ncosts $ 5", "dollar"),
        ('+++\nversion = 1\nrole = "king"\n+++\nx', "king"),
    ],
)
def test_an_invalid_prompt_is_refused_with_its_name_and_the_reason(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SwarmError, match=said) as raised:
        load(tmp_path, text)
    assert "a.md" in raised.value.message


def test_every_role_has_a_prompt_whose_tools_exist() -> None:
    for prompt in PROMPTS.all():
        TOOLBOX.specs(prompt.front.tools)
        if prompt.front.role is Role.PLANNER:
            assert not WRITING & set(prompt.front.tools)
            assert set(prompt.front.tools) >= PLANNING
        elif prompt.front.role is not None:
            assert set(prompt.front.tools) >= WRITING
            assert not PLANNING & set(prompt.front.tools)
    roles = {prompt.front.role for prompt in PROMPTS.all()} - {None}
    assert roles == set(Role)


def test_every_tool_has_a_description_and_a_schema_that_providers_accept() -> None:
    for spec in TOOLBOX.specs(tuple(TOOLBOX.tools)):
        assert 40 < len(spec.description) < 900
        assert spec.schema["type"] == "object"
        assert "$ref" not in str(spec.schema)
        assert "$defs" not in str(spec.schema)
