"""Checks what one source of settings says: known keys, accepted values, nothing that only the person may decide."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from engine.config import kinds
from engine.config.kinds import KeyPath, Kind, kind_at, repo_rule_at
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.masking import looks_like_key
from engine.domain.os_text import utf8_text
from engine.domain.setting_types import MOST, Accepts, OnlyLower, OwnerOnly
from engine.domain.types import ModelName
from engine.models.registry import split_model

PREFIX = "SWARM_"
_OWN_FILE = "~/.config/swarm-tui/config.toml"
_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}

_TYPES: dict[Any, tuple[str, str]] = {
    str: ("text", 'write it in quotes, such as "auto"'),
    int: ("a whole number", "write a number without quotes, such as 16"),
    float: ("a number", "write a number without quotes, such as 50.0"),
    bool: ("true or false", "write true or false without quotes"),
    tuple[str, ...]: ("a list of texts", 'write a list such as ["make*", "cargo *"]'),
}
"""Each type of a value in words, and how to write it."""
_OTHER_TYPES: dict[Any, str] = {list: "a list", dict: "a section"}


class Source(Struct, frozen=True):
    """Settings from one source, as nested plain values. `place` says where a key is set: `FILE:LINE`, a variable, an
    option.

    Only what the person wrote is `trusted`: a repository's file may be someone else's.
    """

    name: str
    values: dict[str, Any]
    place: Callable[[KeyPath], str]
    trusted: bool = True
    file: Path | None = None


def settings_error(message: str, hint: str) -> SwarmError:
    return SwarmError(ErrorKind.SETTINGS, message, hint)


def nearest(name: str, known: Iterable[str]) -> str:
    """A question that suggests the known name nearest to `name`, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else ""


def variable_of(path: KeyPath) -> str:
    """`SWARM_` + section + `_` + key, in capitals; the section `swarm` is left out: `SWARM_WORKERS`."""
    parts = path[1:] if path[0] == "swarm" else path
    return PREFIX + "_".join(parts).upper().replace("-", "_")


def from_text(path: KeyPath, text: str, place: str) -> object:
    """The text of a variable or option as the key's type; lists are separated by commas. Raises SwarmError."""
    plain = kind_at(path).plain
    given, text = text, utf8_text(text).strip()
    if path == ("repo", "check") and given.strip() != text:
        raise settings_error(f"{place}: not UTF-8 text", "write a byte of a name as in \"$(printf 'caf\\351')\"")
    if plain is str:
        return text
    if plain == tuple[str, ...]:
        return [part.strip() for part in text.split(",") if part.strip()]
    words = _TYPES[plain][0]
    try:
        return _BOOLEANS[text.lower()] if plain is bool else int(text.replace("_", "")) if plain is int else float(text)
    except (KeyError, ValueError):
        example = "" if plain is bool else ", such as 16"
        raise settings_error(f"{place}: '{text[:40]}' is not {words}", f"write {words}{example}") from None


def check(source: Source) -> None:
    """Raises SwarmError (settings) for the first key that is unknown, has a bad value, or is not allowed here."""
    _check(source, (), kinds.ALL, source.values)


def within_limits(so_far: Mapping[str, Any], source: Source) -> tuple[dict[str, Any], list[str]]:
    """A repository's values without the limits that are higher than those in force, and a warning for each of these.

    `so_far` has what the person's file sets; for everything else the defaults are in force.
    """
    warnings: list[str] = []

    def kept(values: Mapping[str, Any], path: KeyPath) -> dict[str, Any]:
        found = {}
        for name, value in values.items():
            here = (*path, name)
            if isinstance(value, dict):
                found[name] = kept(value, here)
                continue
            rule, own = repo_rule_at(here), _value_at(so_far, here)
            in_force = getattr(kind_at(path).base(), name) if own is None else own
            if isinstance(rule, OnlyLower) and not rule.allows(value, in_force):
                warnings.append(
                    f"{source.place(here)}: {'.'.join(here)} = {_written(value)} is ignored: a repo may only lower "
                    f"limits, and yours is {_written(in_force)}; to raise it, set it {_own_places(here)}"
                )
            else:
                found[name] = value
        return found

    return kept(source.values, ()), warnings


def _written(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _own_places(path: KeyPath) -> str:
    """Where the person can set a key."""
    return f"in {_OWN_FILE}" + (f" or as {variable_of(path)}" if path in kinds.key_paths() else "")


def _value_at(values: Mapping[str, Any], path: KeyPath) -> Any:
    """None where nothing is set."""
    found: Any = values
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _check(source: Source, path: KeyPath, kind: Kind, value: Any) -> None:
    if not kind.is_section and not kind.is_table:
        _check_value(source, path, kind, value)
        rule = repo_rule_at(path)
        if isinstance(rule, OwnerOnly) and not source.trusted:
            raise settings_error(
                f"{source.place(path)}: '{'.'.join(path)}' isn't allowed in a repo's file: {rule.reason}",
                f"remove it there; set it {_own_places(path)}",
            )
    elif not isinstance(value, dict):
        name = ".".join((*path, "NAME") if kind.is_table and kind.item.is_section else path)
        raise settings_error(
            f"{source.place(path)}: '{'.'.join(path)}' is a section, not a value",
            f"write [{name}] on a line of its own",
        )
    else:
        known = kind.fields if kind.is_section else kinds.NAMES.get(path)
        for name, part in value.items():
            here = (*path, name)
            if known is not None and name not in known:
                raise _unknown(source, here, known)
            if kind.is_table:
                _check_text(source.place(here), kind.name, name)
            _check(source, here, kind.fields[name] if kind.is_section else kind.item, part)


def _unknown(source: Source, path: KeyPath, known: Iterable[str]) -> SwarmError:
    if "key" in path[-1].lower() and path[0] == "providers" and len(path) == 3:
        hint = "API keys aren't allowed in files: name the variable that holds the key with api_key_env"
    else:
        hint = nearest(path[-1], known) or f"known here: {', '.join(sorted(known))}"
    return settings_error(f"{source.place(path)}: unknown key '{'.'.join(path)}'", hint)


def _check_value(source: Source, path: KeyPath, kind: Kind, value: Any) -> None:
    """Raises SwarmError for a value that a key's type does not accept."""
    place, name = source.place(path), ".".join(path)
    if any(looks_like_key(text) for text in _texts(value)):
        raise settings_error(
            f"{place}: the value of '{name}' looks like an API key",
            "API keys aren't allowed in settings, only in environment variables; if this one was shared, revoke it",
        )
    try:
        value = msgspec.convert(value, kind.plain)
    except msgspec.ValidationError:
        words, example = _TYPES[kind.plain]
        raise settings_error(f"{place}: '{name}' must be {words}, not {_described(value)}", example) from None
    try:
        msgspec.convert(value, kind.declared)
    except msgspec.ValidationError:
        if kind.choices:
            raise settings_error(
                f"{place}: '{name}' cannot be '{value[:40]}'",
                nearest(value, kind.choices) or f"write one of: {', '.join(kind.choices)}",
            ) from None
        raise settings_error(
            f"{place}: {name}: {value} is out of range", f"write a number from {kind.least:g} to {MOST:g}"
        ) from None
    items = [(kind.item, text) for text in value] if kind.plain == tuple[str, ...] else [(kind, value)]
    for part, text in items:
        _check_text(f"{place}: {name}", part, text)


def _check_text(place: str, kind: Kind, text: str) -> None:
    """Raises SwarmError for text that a key's type does not accept."""
    try:
        if mark := kind.mark(Accepts):
            mark.check(text)
        elif kind.base is ModelName and text:
            split_model(ModelName(text))
    except SwarmError as error:
        raise settings_error(f"{place}: {error.message}", error.hint) from None


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in _texts(part)]


def _described(value: object) -> str:
    known = _TYPES.get(type(value))
    return known[0] if known else _OTHER_TYPES.get(type(value), "a date or time")
