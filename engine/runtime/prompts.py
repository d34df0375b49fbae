"""Prompt files: text with `${variables}`, below a TOML front matter that declares them."""

import tomllib
from importlib.resources.abc import Traversable
from string import Template

import msgspec
from msgspec import Struct

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.types import Role


class FrontMatter(Struct, frozen=True, forbid_unknown_fields=True):
    """What a prompt file declares. `reflect_every` and `align_every` are in model calls, 0 for never."""

    version: int
    variables: tuple[str, ...] = ()
    role: Role | None = None
    tools: tuple[str, ...] = ()
    reflect_every: int = 0
    align_every: int = 0


class Prompt(Struct, frozen=True):
    """A prompt file. `label` is its name with its version, as journaled."""

    name: str
    front: FrontMatter
    template: str

    @property
    def label(self) -> str:
        return f"{self.name}@{self.front.version}"

    def render(self, **values: object) -> str:
        """The text with its variables filled in. Raises ValueError unless exactly the declared ones are given."""
        if set(values) != set(self.front.variables):
            raise ValueError(f"prompt {self.name} takes {sorted(self.front.variables)}, not {sorted(values)}")
        return Template(self.template).substitute(values)


class Prompts:
    """All prompt files of a folder. A file with an undeclared or unused variable is refused here, not when used."""

    def __init__(self, folder: Traversable) -> None:
        self._prompts = {
            name: _load(name, entry.read_text("utf-8"))
            for entry in folder.iterdir()
            if entry.name.endswith(".md") and (name := entry.name.removesuffix(".md"))
        }

    def __getitem__(self, name: str) -> Prompt:
        return self._prompts[name]

    def all(self) -> list[Prompt]:
        return list(self._prompts.values())


def _load(name: str, text: str) -> Prompt:
    def wrong(what: str) -> SwarmError:
        return SwarmError(ErrorKind.SETTINGS, f"prompt {name}.md: {what}", "see CONTRIBUTING.md, a role and its prompt")

    parts = text.split("+++\n", 2)
    if len(parts) != 3 or parts[0]:
        raise wrong("it must begin with front matter between two +++ lines")
    try:
        front = msgspec.convert(tomllib.loads(parts[1]), FrontMatter)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise wrong(str(error)) from error
    template = Template(parts[2].strip())
    if not template.is_valid():
        raise wrong("a $ without a ${variable}; write $$ for a dollar sign")
    if set(template.get_identifiers()) != set(front.variables):
        raise wrong(f"it uses {sorted(template.get_identifiers())} but declares {sorted(front.variables)}")
    return Prompt(name, front, template.template)
