"""Where settings come from: files, environment and options, checked one by one and merged; later wins."""

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from engine.config import validate
from engine.config.toml_positions import line_of
from engine.config.validate import PREFIX, Layer, broken, variable_of
from engine.domain.settings import ProviderSettings, Settings
from engine.domain.types import Role
from engine.models.registry import PROVIDERS

FILE_LIMIT = 64 << 10
"""Bytes of a settings file; a repo may hold anything under that name."""
NOT_SETTINGS = frozenset({"SWARM_STATE_DIR"})
"""Variables that are read elsewhere."""


class LoadedSettings(Struct, frozen=True):
    """The merged settings, the files that were read, and what the person should know of them."""

    settings: Settings
    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()


def config_folder(environ: Mapping[str, str]) -> Path:
    """`$XDG_CONFIG_HOME/swarm-tui`. A relative value is ignored, as its standard asks."""
    base = environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else _home(environ) / ".config") / "swarm-tui"


def state_folder(environ: Mapping[str, str]) -> Path:
    """Where all runs live: `SWARM_STATE_DIR`, else `$XDG_STATE_HOME/swarm-tui`."""
    if named := environ.get("SWARM_STATE_DIR", ""):
        return Path(named).expanduser().absolute()
    base = environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else _home(environ) / ".local" / "state") / "swarm-tui"


def load_settings(
    repo: Path | None, environ: Mapping[str, str], options: Mapping[tuple[str, ...], tuple[str, object]] | None = None
) -> LoadedSettings:
    """Defaults, the person's file, the repo's file, `SWARM_…` variables, then options; each later one wins.

    `options` maps a key's path, such as `("swarm", "workers")`, to the option's name and its value (text is
    read as in a variable). Raises SwarmError (settings) that names file, line and key.
    """
    layers: list[Layer] = []
    personal = config_folder(environ) / "config.toml"
    for file, trusted in ((personal, True), *([(repo / "swarm.toml", False)] if repo is not None else [])):
        if (layer := _read_file(file, trusted=trusted)) is not None:
            layers.append(layer)
    layers.append(_from_environment(environ))
    layers.append(_from_options(options or {}))

    merged: dict[str, Any] = {}
    warnings: list[str] = []
    for layer in layers:
        validate.check_layer(layer)
        if not layer.trusted:
            warnings.extend(validate.loosened_budget(merged, layer))
            warnings.extend(validate.lifted_limits(merged, layer))
        merged = _merge(merged, layer.values)
    return LoadedSettings(
        settings=msgspec.convert(merged, Settings),
        files=tuple(layer.file for layer in layers if layer.file is not None),
        warnings=tuple(warnings),
    )


def resettled(
    settings: Settings, environ: Mapping[str, str], options: Mapping[tuple[str, ...], tuple[str, object]]
) -> Settings:
    """Settings that a run was started with, changed by what `SWARM_…` variables and options say now.

    Raises SwarmError (settings).
    """
    merged: dict[str, Any] = msgspec.to_builtins(settings)
    for layer in (_from_environment(environ), _from_options(options)):
        validate.check_layer(layer)
        merged = _merge(merged, layer.values)
    return msgspec.convert(merged, Settings)


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or os.path.expanduser("~"))


def _read_file(file: Path, *, trusted: bool) -> Layer | None:
    """A file's layer, or None when there is no such file."""
    try:
        # Non-blocking: a repo may hold a pipe under this name, and opening it would wait for a writer for ever.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise broken(f"{file}: cannot be read: {error.strerror}", "mend or remove the file") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise broken(f"{file}: not a regular file", "settings are a text file in TOML; mend or remove it")
    with os.fdopen(descriptor, "rb") as stream:
        content = stream.read(FILE_LIMIT + 1)
    if len(content) > FILE_LIMIT:
        raise broken(f"{file}: larger than {FILE_LIMIT >> 10} KiB", "settings are a short text file; mend or remove it")
    try:
        text = content.decode()
        values = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise broken(f"{file}:{line}: not UTF-8 text", "save the file as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        place, message = _place_of(str(error), text)
        raise broken(
            f"{file}:{place}: not valid TOML: {message}", "mend that line; `swarm-tui init` writes a commented example"
        ) from error
    except ValueError as error:
        raise broken(f"{file}: a number of too many digits", "settings are sections with plain values") from error
    except RecursionError as error:
        raise broken(f"{file}: nested too deeply", "settings are sections with plain values") from error
    return Layer(
        name=str(file),
        values=values,
        place=lambda path: f"{file}:{line}" if (line := line_of(text, path)) else str(file),
        trusted=trusted,
        file=file,
    )


def _place_of(message: str, text: str) -> tuple[int, str]:
    """tomllib's `MESSAGE (at line L, column C)` or `(at end of document)` as the line and the bare message."""
    bare, _, position = message.rpartition(" (at ")
    if position.startswith("line "):
        return int(position.removeprefix("line ").split(",")[0]), bare
    return text.count("\n") + (not text.endswith("\n")), bare or message


def _from_environment(environ: Mapping[str, str]) -> Layer:
    names: dict[str, tuple[str, ...]] = {}
    for section, fields in validate.SECTIONS.items():
        for key in fields:
            setting: tuple[str, ...] = (section, key) if section else (key,)
            names[variable_of(setting)] = setting
    for provider in PROVIDERS:
        for key in ProviderSettings.__struct_fields__:
            names[variable_of(("providers", provider, key))] = ("providers", provider, key)
    for role in Role:
        for key in validate.LIMITS:
            names[variable_of(("budget", "role", role, key))] = ("budget", "role", role, key)

    values: dict[str, Any] = {}
    origin: dict[tuple[str, ...], str] = {}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS:
            continue
        if variable not in names:
            near = validate.nearest(variable, names)
            raise broken(
                f"the variable {variable} is no setting",
                near or "variables are named SWARM_SECTION_KEY, such as SWARM_BUDGET_USD",
            )
        path = names[variable]
        origin[path] = f"the variable {variable}"
        _put(values, path, validate.from_text(path, text, origin[path]))
    return Layer("the environment", values, lambda path: origin.get(path, "the environment"))


def _from_options(options: Mapping[tuple[str, ...], tuple[str, object]]) -> Layer:
    values: dict[str, Any] = {}
    origin: dict[tuple[str, ...], str] = {}
    for path, (option, value) in options.items():
        origin[path] = option
        _put(values, path, validate.from_text(path, value, option) if isinstance(value, str) else value)
    return Layer("the options", values, lambda path: origin.get(path, "the options"))


def _put(values: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for part in path[:-1]:
        values = values.setdefault(part, {})
    values[path[-1]] = value


def _merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
