"""The tables of docs/settings.md, from the settings' types."""

from collections.abc import Iterator

import msgspec

from engine.config.kinds import ALL, Kind
from engine.domain.setting_types import OwnerOnly
from tests.docs.markdown import cell, table

SECTIONS = tuple(name for name, kind in ALL.fields.items() if kind.is_section or name == "providers")


def settings_table(name: str) -> str:
    """The settings of a section, with their defaults."""
    kind = ALL.fields[name]
    section = kind.item if kind.is_table else kind
    defaults = section.base()
    rows = [
        (f"`{key}`", f"`{_toml(getattr(defaults, key))}`", cell(_meaning(each)))
        for key, each in section.fields.items()
        if not each.is_table
    ]
    return table(("setting", "default", "meaning"), rows)


def owner_only_table() -> str:
    """The settings that a repository's file may not set, or not to every value, and why."""
    return table(("setting", "why"), sorted(_owner_only(ALL, ())))


def _owner_only(kind: Kind, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if mark := kind.mark(OwnerOnly):
        yield f"`{'.'.join(path)}`", cell(mark.reason)
    if kind.is_section:
        for name, part in kind.fields.items():
            yield from _owner_only(part, (*path, name))
    elif kind.is_table:
        yield from _owner_only(kind.item, (*path, "NAME"))


def _meaning(kind: Kind) -> str:
    assert kind.description
    least = f" At least {kind.least:g}." if kind.least > 0 else ""
    return f"{kind.description}{least}"


def _toml(value: object) -> str:
    return "none" if value is None else msgspec.json.encode(value).decode().replace('","', '", "')
