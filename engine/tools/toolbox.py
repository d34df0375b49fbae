"""All tools by name. Adding a module and its description to this folder adds a tool.

Which role may call which tools stands in the front matter of its prompt, such as `prompts/root_planner.md`.
"""

import importlib
import pkgutil
from importlib.resources import files

from engine import tools
from engine.domain.conversation import ToolSpec
from engine.domain.settings import Settings
from engine.tools.tool import Tool

_NOT_TOOLS = {"tool", "toolbox"}


class Toolbox:
    """The tools, and the specs that models receive."""

    def __init__(self, settings: Settings) -> None:
        names = sorted(module.name for module in pkgutil.iter_modules(tools.__path__) if module.name not in _NOT_TOOLS)
        self.tools: dict[str, Tool] = {name: importlib.import_module(f"{tools.__name__}.{name}").TOOL for name in names}
        self._specs = {name: _spec(tool, settings) for name, tool in self.tools.items()}

    def specs(self, names: tuple[str, ...]) -> tuple[ToolSpec, ...]:
        """The specs of the named tools. Raises KeyError for an unknown name."""
        return tuple(self._specs[name] for name in names)


def _spec(tool: Tool, settings: Settings) -> ToolSpec:
    description = (files(tools) / f"{tool.name}.md").read_text("utf-8").strip()
    return ToolSpec.of(tool.name, description, tool.arguments, tool.limits(settings))
