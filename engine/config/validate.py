"""Whether one layer of settings is sound: known keys, right types, sensible values, nothing a repo must not decide."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.masking import looks_like_key
from engine.domain.settings import LimitSettings, ProviderSettings, SandboxSettings, Settings
from engine.domain.types import ROOT, ModelName, Role
from engine.domain.units import size_bytes, span_s
from engine.models.registry import PROVIDERS, split_model

Place = Callable[[tuple[str, ...]], str]
"""Where a key was set, as a person would look for it: `FILE:LINE`, a variable or an option."""


class Layer(Struct, frozen=True):
    """Settings from one origin, as nested plain values.

    Only what the person wrote is `trusted`: a repo comes with files of others.
    """

    name: str
    values: dict[str, Any]
    place: Place
    trusted: bool = True
    file: Path | None = None


def _fields(struct: type) -> dict[str, Any]:
    return get_type_hints(struct)


SECTIONS: dict[str, dict[str, Any]] = {
    "": {name: kind for name, kind in _fields(Settings).items() if kind is str},
    **{
        name: {key: part for key, part in _fields(kind).items() if get_origin(part) is not dict}
        for name, kind in _fields(Settings).items()
        if isinstance(kind, type) and issubclass(kind, Struct)
    },
}
"""Section, then key, then type. The empty section holds what stands above all sections."""
LIMITED = ("role", "subtree")
"""Parts of a run that may have limits of their own, as sections below `budget`."""
LIMITS = _fields(LimitSettings)
_TABLES = (*(name for name in SECTIONS if name), "providers", "keys")
_PROVIDER_KEYS = _fields(ProviderSettings)

NO_SPAN = frozenset({("budget", "wall"), ("repo", "check_every")})
"""Spans that may be empty."""
SPANS = NO_SPAN | {
    ("repo", "check_timeout"),
    ("task", "timeout"),
    ("sandbox", "command_timeout"),
    ("sandbox", "cpu"),
}
AUTO_SIZES = frozenset({("sandbox", "swarm_memory"), ("sandbox", "swarm_disk")})
SIZES = (
    AUTO_SIZES | {("sandbox", name) for name in ("memory", "output", "file_size", "disk")} | {("build", "warm_size")}
)
LEAST: dict[tuple[str, str], float] = {
    ("swarm", "workers"): 1,
    ("swarm", "max_depth"): 0,
    ("swarm", "max_agents"): 2,
    ("budget", "usd"): 0,
    ("budget", "tokens"): 0,
    ("budget", "steps"): 0,
    ("budget", "ceiling_price"): 0,
    ("budget", "grace_steps"): 1,
    ("repo", "check_landings"): 1,
    ("repo", "bisect_checks"): 0,
    ("repo", "fixups"): 0,
    ("task", "max_steps"): 1,
    ("task", "attempts"): 1,
    ("task", "max_usd"): 0,
    ("task", "max_tokens"): 0,
    ("planner", "max_steps"): 1,
    ("planner", "max_open_tasks"): 1,
    ("planner", "max_tasks_per_hour"): 1,
    ("sandbox", "processes"): 8,
    ("sandbox", "swarm_processes"): 64,
    ("sandbox", "swarm_cpu"): 0,
    ("sandbox", "open_files"): 64,
    ("providers", "max_concurrent"): 1,
    ("providers", "input_price"): 0,
    ("providers", "cached_price"): 0,
    ("providers", "output_price"): 0,
    ("providers", "window"): 0,
    ("providers", "max_output"): 0,
    ("providers", "stall_timeout"): 0.001,
    ("providers", "max_retry_wait"): 0,
    ("providers", "max_retries"): 0,
}
TAKEN = (
    *("memory", "processes", "output", "cpu", "file_size", "open_files", "disk"),
    *("swarm_memory", "swarm_processes", "swarm_cpu", "swarm_disk"),
)
"""Keys of `sandbox` that limit what is taken of the machine."""
MOST = 1e15
LEVELS = ("auto", "strict", "full", "namespaced", "restricted", "off")
REPO_LEVELS = ("auto", "strict", "full")
"""A repo may ask for more containment, never for less."""
CACHES = (
    "~/.cargo/registry",
    "~/.cargo/git",
    "~/go/pkg/mod",
    "~/.m2/repository",
    "~/.npm/_cacache",
    "~/.cache/pip",
    "~/.cache/uv",
)
"""Folders that hold only what package managers downloaded: a repo may ask to have them readable."""

PREFIX = "SWARM_"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_YES = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def variable_of(path: tuple[str, ...]) -> str:
    """`SWARM_` + section + `_` + key, in capitals; the section `swarm` is left out: `SWARM_WORKERS`."""
    parts = path[1:] if path[0] == "swarm" else path
    return PREFIX + "_".join(parts).upper().replace("-", "_")


def broken(message: str, hint: str) -> SwarmError:
    return SwarmError(ErrorKind.SETTINGS, message, hint)


def nearest(name: str, known: Iterable[str]) -> str:
    """A question that names the known name nearest to `name`, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else ""


def from_text(path: tuple[str, ...], text: str, place: str) -> object:
    """A variable's or option's text as the key's type; lists are separated by commas. Raises SwarmError."""
    kind = _kind_of(path)
    text = text.strip()
    if kind is bool:
        if text.lower() not in _YES:
            raise broken(f"{place}: '{text[:40]}' is neither true nor false", "write true or false")
        return _YES[text.lower()]
    if kind is str:
        return text
    if kind == tuple[str, ...]:
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return int(text.replace("_", "")) if kind is int else float(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise broken(f"{place}: '{text[:40]}' is not {what}", f"write {what}, such as 16") from None


def _kind_of(path: tuple[str, ...]) -> Any:
    if path[0] == "providers":
        return _PROVIDER_KEYS[path[-1]]
    if path[0] == "budget" and len(path) > 2:
        return LIMITS[path[-1]]
    return SECTIONS[path[0] if len(path) > 1 else ""][path[-1]]


def check_layer(layer: Layer) -> None:
    """Raises SwarmError (settings) for the first key that is unknown, mistyped, senseless or not a repo's to set."""
    for name, value in layer.values.items():
        path = (name,)
        if name in SECTIONS[""]:
            _check_value(layer, path, SECTIONS[""][name], value)
        elif name not in _TABLES:
            raise _unknown(layer, path, (*_TABLES, *SECTIONS[""]))
        elif not isinstance(value, dict):
            raise broken(
                f"{layer.place(path)}: '{name}' is a section, not a value", f"write [{name}] on a line of its own"
            )
        elif name == "providers":
            for provider in value:
                if provider not in PROVIDERS:
                    raise _unknown(layer, (name, provider), PROVIDERS)
            _check_tables(layer, path, _PROVIDER_KEYS, value)
        elif name == "keys":
            _check_table(layer, path, dict.fromkeys(value, str), value)
        elif name == "budget":
            _check_budget(layer, value)
        else:
            _check_table(layer, path, SECTIONS[name], value)


def _check_budget(layer: Layer, budget: dict[str, Any]) -> None:
    for part in LIMITED:
        tables = budget.get(part, {})
        if not isinstance(tables, dict):
            place = layer.place(("budget", part))
            raise broken(f"{place}: 'budget.{part}' is a section, not a value", f"write [budget.{part}.NAME]")
        for name in tables:
            if part == "role" and name not in tuple(Role):
                raise _unknown(layer, ("budget", part, name), tuple(Role))
            if part == "subtree" and name != ROOT and not name.startswith(f"{ROOT}/"):
                raise broken(
                    f"{layer.place(('budget', part, name))}: '{name[:80]}' is not the path of a planner",
                    'write one such as [budget.subtree."root/parser"]',
                )
        _check_tables(layer, ("budget", part), LIMITS, tables)
    plain = {key: value for key, value in budget.items() if key not in LIMITED}
    _check_table(layer, ("budget",), SECTIONS["budget"], plain)


def loosened_budget(so_far: Mapping[str, Any], layer: Layer) -> list[str]:
    """Warnings about limits of the person's own that a repo's file lifts, also by saying what tokens cost."""
    theirs = layer.values.get("budget", {})
    prices: list[tuple[str, ...]] = [
        ("providers", provider, key)
        for provider, table in layer.values.get("providers", {}).items()
        for key in table
        if key.endswith("_price")
    ]
    if "ceiling_price" in theirs and "ceiling_price" not in so_far.get("budget", {}):
        prices.append(("budget", "ceiling_price"))
    said = [f"{layer.place(path)}: {'.'.join(path)} decides how limits in USD count" for path in prices]
    return [*_loosened(("budget",), so_far.get("budget", {}), theirs, layer), *said]


def lifted_limits(so_far: Mapping[str, Any], layer: Layer) -> list[str]:
    """Warnings about limits of what commands may take of the machine that a repo's file lifts."""
    defaults = SandboxSettings()
    warnings: list[str] = []
    for key, value in layer.values.get("sandbox", {}).items():
        own = so_far.get("sandbox", {}).get(key, getattr(defaults, key))
        if key in TAKEN and _amount(key, value) > _amount(key, own):
            warnings.append(f"{layer.place(('sandbox', key))}: sandbox.{key} = {value} lifts your limit of {own}")
    return warnings


def _amount(key: str, value: Any) -> float:
    """How much a limit allows; what is chosen for the machine counts as less than any that is written."""
    if isinstance(value, str):
        return 0 if value == "auto" else span_s(value) if ("sandbox", key) in SPANS else size_bytes(value)
    return float(value) if value or key != "swarm_cpu" else MOST


def _loosened(path: tuple[str, ...], mine: Mapping[str, Any], theirs: Mapping[str, Any], layer: Layer) -> list[str]:
    warnings: list[str] = []
    for key, value in theirs.items():
        here, own = (*path, key), mine.get(key)
        if isinstance(value, dict):
            warnings += _loosened(here, own or {}, value, layer)
        elif own and value != own:
            warnings.append(f"{layer.place(here)}: {'.'.join(here)} = {value} replaces your own {own}")
    return warnings


def _check_tables(layer: Layer, section: tuple[str, ...], known: Mapping[str, Any], tables: dict[str, Any]) -> None:
    for name, table in tables.items():
        if not isinstance(table, dict):
            written = ".".join((*section, name))
            raise broken(
                f"{layer.place((*section, name))}: '{written}' is a section, not a value",
                f"write [{written}] on a line of its own",
            )
        _check_table(layer, (*section, name), known, table)


def _check_table(layer: Layer, section: tuple[str, ...], known: Mapping[str, Any], table: dict[str, Any]) -> None:
    for key, value in table.items():
        if key not in known:
            raise _unknown(layer, (*section, key), known)
        _check_value(layer, (*section, key), known[key], value)


def _unknown(layer: Layer, path: tuple[str, ...], known: Iterable[str]) -> SwarmError:
    names = list(known)
    if "key" in path[-1].lower() and path[0] == "providers" and len(path) == 3:
        hint = "a key never stands in a file: name its variable with api_key_env"
    else:
        hint = nearest(path[-1], names) or f"known here: {', '.join(sorted(names))}"
    return broken(f"{layer.place(path)}: unknown key '{'.'.join(path)}'", hint)


def _check_value(layer: Layer, path: tuple[str, ...], kind: Any, value: object) -> None:
    place, name = layer.place(path), ".".join(path)
    if any(looks_like_key(text) for text in _texts(value)):
        raise broken(
            f"{place}: the value of '{name}' looks like a key",
            "a key stands in an environment variable, never in a setting; if this one was shared, revoke it",
        )
    try:
        value = msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise broken(
            f"{place}: '{name}' must be {_KINDS.get(kind, 'another type')}, not {_described(value)}",
            _EXAMPLES.get(kind, "see `swarm-tui init`"),
        ) from None
    try:
        _check_sense(path, value)
    except SwarmError as error:
        raise broken(f"{place}: {name}: {error.message}", error.hint) from None
    if not layer.trusted:
        _check_repos_own(place, path, value)


def _check_sense(path: tuple[str, ...], value: Any) -> None:
    """Raises SwarmError for a value of the right type that cannot be meant."""
    key = (path[0], path[-1])
    least = LEAST.get(key)
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and not ((0 if least is None else least) <= value <= MOST)
    ):
        raise broken(f"{value} is out of range", f"write a number from {least or 0:g} to {MOST:g}")
    if key in SPANS and not (value == "" and key in NO_SPAN):
        span_s(value)
    elif key in SIZES and not (value == "auto" and key in AUTO_SIZES):
        size_bytes(value)
    elif path[0] == "models" and value:
        split_model(ModelName(value))
    elif key == ("sandbox", "level") and value not in LEVELS:
        raise broken(f"there is no level '{value}'", nearest(value, LEVELS) or f"levels: {', '.join(LEVELS)}")
    elif key == ("build", "slots") and value != "auto" and not (value.isascii() and value.isdigit() and int(value) > 0):
        raise broken(
            f"'{value}' is neither auto nor a number of slots", 'write "auto" or a number in quotes, such as "4"'
        )
    elif key == ("build", "warm") and (paths := [name for name in value if not name or "/" in name.rstrip("/")]):
        raise broken(f"'{paths[0][:80]}' is not a name", 'name the folder itself, such as "target"; globs are known')
    elif key == ("swarm", "watch_intent") and (value.startswith(("/", "~")) or ".." in value.split("/")):
        raise broken(f"'{value[:80]}' is not a file of the repo", 'write its path from the top, such as "INTENT.md"')
    elif key == ("providers", "base_url") and value:
        _check_address(value)
    elif key == ("providers", "api_key_env") and value and not _VARIABLE.fullmatch(value):
        raise broken(
            "not a variable's name", "name the environment variable that holds the key, such as OPENAI_API_KEY"
        )


def _check_address(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise broken(f"'{address[:80]}' is not a web address", 'write one such as "http://127.0.0.1:8080/v1"')
    if parts.username or parts.password or parts.query:
        raise broken("an address holds no key or password", "name the variable that holds the key with api_key_env")


def _check_repos_own(place: str, path: tuple[str, ...], value: Any) -> None:
    """Raises SwarmError for what only the person may decide: where code and keys go, and what contains the agents."""
    name, key = ".".join(path), (path[0], path[-1])
    why = ""
    if path[0] == "keys":
        why = "keys of the screen are the person's"
    elif key == ("providers", "api_key_env"):
        why = "a repo may not choose which of your variables is sent to a server"
    elif key == ("providers", "base_url") and not _is_this_machine(value):
        why = "a repo may not choose a server outside this machine that gets your code and your key"
    elif key == ("sandbox", "level") and value not in REPO_LEVELS:
        why = "a repo may not weaken the sandbox"
    elif key == ("sandbox", "network") and value:
        why = "a repo may not give its commands the network"
    elif key == ("sandbox", "read_only") and (foreign := [folder for folder in value if not _is_cache(folder)]):
        why = f"a repo may not open '{foreign[0][:80]}' to its commands"
    if why:
        raise broken(
            f"{place}: '{name}' is not taken from a repo: {why}",
            f"remove it there; set it in {_OWN_FILE} or as {variable_of(path)}",
        )


_OWN_FILE = "~/.config/swarm-tui/config.toml"


def _is_this_machine(address: str) -> bool:
    return not address or urlsplit(address).hostname in ("127.0.0.1", "::1", "localhost")


def _is_cache(folder: str) -> bool:
    return ".." not in folder.split("/") and any(folder == cache or folder.startswith(f"{cache}/") for cache in CACHES)


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for part in value for text in _texts(part)]
    if isinstance(value, dict):
        return [text for part in value.values() for text in _texts(part)]
    return []


_KINDS: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    float | None: "a number",
    tuple[str, ...]: "a list of texts",
}
_EXAMPLES: dict[Any, str] = {
    str: 'write it in quotes, such as "auto"',
    int: "write a number without quotes, such as 16",
    float: "write a number without quotes, such as 50.0",
    bool: "write true or false without quotes",
    float | None: "write a number without quotes, such as 3.0",
    tuple[str, ...]: 'write a list such as ["make*", "cargo *"]',
}


def _described(value: object) -> str:
    names = {
        str: "text",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        list: "a list",
        dict: "a section",
    }
    return names.get(type(value), "a date or time")
