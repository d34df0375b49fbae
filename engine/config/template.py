"""Composes a commented swarm.toml from the types of the settings: each key with its default and its description."""

import json
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

import msgspec

from engine.config.kinds import ALL, NAMES, KeyPath, Kind, kind_at, repo_rule_at
from engine.domain.setting_types import OwnerOnly
from engine.domain.settings import Settings

WIDTH = 120
_FILL = WIDTH - 2
"""Where lines are wrapped: keys below a commented heading are indented by two."""
COMMENT_COLUMN = 32
_OPENING = (
    "Settings of the swarm for this repository. A commented line shows a setting with its default, or an example. "
    'To change one, remove the "# " and edit the value. Later sources win: defaults, your own '
    "~/.config/swarm-tui/config.toml, this file, SWARM_… environment variables, command-line options.",
    "This file travels with the repository, so it can set only what is listed here, and limits only to lower values "
    "than yours or the defaults. All other settings, and higher limits, go into your own file. API keys aren't "
    "allowed in any file.",
)


def settings_template(chosen: Mapping[KeyPath, object]) -> str:
    """A swarm.toml in which the `chosen` keys are set and all others are comments."""
    lines = [
        *(line for text in _OPENING for line in _comment(text)),
        "",
        *_section(ALL, (), msgspec.to_builtins(Settings()), chosen),
    ]
    return "\n".join(lines) + "\n"


def _section(kind: Kind, path: KeyPath, defaults: Mapping[str, Any], chosen: Mapping[KeyPath, object]) -> Iterator[str]:
    """The lines of a section: first its keys, then the sections in it."""
    below = {name: part for name, part in kind.fields.items() if part.is_section or part.is_table}
    for name, part in kind.fields.items():
        if name not in below and not _is_refused((*path, name)):
            yield from _key((*path, name), part, defaults.get(name), chosen)
    for name, part in below.items():
        here = (*path, name)
        names = f" Names: {', '.join(NAMES[here])}." if here in NAMES else ""
        if _is_refused(here):
            continue
        yield ""
        yield from _comment(part.description + names)
        if part.is_section:
            yield f"[{'.'.join(here)}]"
            yield from _section(part, here, defaults[name], chosen)
        else:
            example = part.examples[0]
            yield f"# [{'.'.join(here)}.{example if example.replace('-', '').isalnum() else json.dumps(example)}]"
            for line in _section(part.item, (*here, example), msgspec.to_builtins(part.item.base()), chosen):
                yield f"#   {line.removeprefix('# ')}"  # indented, because it counts only with its heading


def _key(path: KeyPath, kind: Kind, default: object, chosen: Mapping[KeyPath, object]) -> Iterator[str]:
    value = chosen.get(path, next(iter(kind.examples), default))
    line = f"{'' if path in chosen else '# '}{path[-1]} = {json.dumps(value, ensure_ascii=False)}"
    if len(whole := f"{line:<{COMMENT_COLUMN}} # {kind.description}") <= _FILL:
        yield whole
    else:
        yield from _comment(kind.description)
        yield line


def _is_refused(path: KeyPath) -> bool:
    """Whether a repository's file can set nothing at a path. A section without a rule of its own is open."""
    kind = kind_at(path)
    rule = kind.repo_rule if kind.is_section or kind.is_table else repo_rule_at(path)
    return isinstance(rule, OwnerOnly)


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in wrap(text, _FILL - 2, break_on_hyphens=False)]
