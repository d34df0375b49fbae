"""What a model is told about the tools: every argument is described, with the default that it really has."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from engine.domain.conversation import ToolSpec
from engine.domain.settings import SandboxSettings, Settings
from engine.reports import inquiry
from engine.tools.toolbox import Toolbox

SETTINGS = Settings(sandbox=SandboxSettings(command_timeout="90s"))
TOOLBOX = Toolbox(SETTINGS)
SPECS = (*TOOLBOX.specs(tuple(TOOLBOX.tools)), *inquiry.specs())


def properties(schema: dict[str, Any], where: str) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Each property of a schema, at any depth: its path, what is said of it, and whether it is required."""
    for name, child in schema.get("properties", {}).items():
        yield f"{where}.{name}", child, name in schema["required"]
        yield from properties(child, f"{where}.{name}")
    if "items" in schema:
        yield from properties(schema["items"], where)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_argument_of_a_tool_has_a_description_and_every_optional_one_a_default(spec: ToolSpec) -> None:
    said = list(properties(cast(dict[str, Any], spec.schema), spec.name))
    assert [where for where, child, _ in said if not child.get("description", "").strip()] == []
    assert [where for where, child, required in said if not required and "default" not in child] == []


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_no_docstring_of_the_code_is_sent_to_models(spec: ToolSpec) -> None:
    assert "description" not in spec.schema


def test_a_default_from_the_settings_is_the_one_that_applies() -> None:
    [shell] = TOOLBOX.specs(("shell",))
    timeout = cast(dict[str, Any], shell.schema)["properties"]["timeout_s"]
    assert (timeout["default"], timeout["maximum"]) == (90, 90)
