"""The tables of docs/settings.md, from the settings' types."""

import msgspec

from engine.config.kinds import ALL, Kind, repo_rule_at
from engine.domain.setting_types import AnyValue, OnlyLower, OwnerOnly
from tests.docs.markdown import cell, table

SECTIONS = tuple(name for name, kind in ALL.fields.items() if kind.is_section or name == "providers")


def settings_table(name: str) -> str:
    """The settings of a section, with their defaults."""
    kind = ALL.fields[name]
    section, within = (kind.item, ("NAME",)) if kind.is_table else (kind, ())
    defaults = section.base()
    rows = [
        (f"`{key}`", f"`{_toml(getattr(defaults, key))}`", _in_repo((name, *within, key)), cell(_meaning(each)))
        for key, each in section.fields.items()
        if not each.is_table
    ]
    return table(("setting", "default", "in a repo", "meaning"), rows)


def _in_repo(path: tuple[str, ...]) -> str:
    match repo_rule_at(path):
        case AnyValue():
            return "yes"
        case OnlyLower():
            return "lower"
        case OwnerOnly():
            return "no"


def _meaning(kind: Kind) -> str:
    assert kind.description
    least = f" At least {kind.least:g}." if kind.least > 0 else ""
    return f"{kind.description}{least}"


def _toml(value: object) -> str:
    return "none" if value is None else msgspec.json.encode(value).decode().replace('","', '", "')
