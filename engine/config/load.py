"""Loads settings from files, environment variables and options: each source is checked, then merged; later ones win."""

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from engine.config import kinds, validate
from engine.config.toml_positions import line_of
from engine.config.validate import PREFIX, Source, settings_error, variable_of
from engine.domain.os_text import path_text
from engine.domain.settings import Settings

FILE_LIMIT = 64 << 10
"""Bytes of a settings file at most: a repository may hold anything under that name."""
NOT_SETTINGS = frozenset({"SWARM_STATE_DIR"})
"""Variables that are read elsewhere."""


class LoadedSettings(Struct, frozen=True):
    """The merged settings, the files they were read from, and warnings for the person."""

    settings: Settings
    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()


def config_folder(environ: Mapping[str, str]) -> Path:
    """`$XDG_CONFIG_HOME/swarm-tui`. A relative value is ignored, as the XDG specification requires."""
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
    """Defaults, the person's file, the repo's file, `SWARM_…` variables, then options; later ones win, except that the
    repo's file cannot raise a limit.

    `options` maps a key's path, such as `("swarm", "workers")`, to the option's name and its value (text is
    converted as in a variable). Raises SwarmError (settings) that names file, line and key.
    """
    sources: list[Source] = []
    personal = config_folder(environ) / "config.toml"
    for file, trusted in ((personal, True), *([(repo / "swarm.toml", False)] if repo is not None else [])):
        if (source := _read_file(file, trusted=trusted)) is not None:
            sources.append(source)
    sources.append(_from_environment(environ))
    sources.append(_from_options(options or {}))

    merged: dict[str, Any] = {}
    warnings: list[str] = []
    for source in sources:
        validate.check(source)
        values = source.values
        if not source.trusted:
            values, ignored = validate.within_limits(merged, source)
            warnings += ignored
        merged = _merge(merged, values)
    return LoadedSettings(
        settings=msgspec.convert(merged, Settings),
        files=tuple(source.file for source in sources if source.file is not None),
        warnings=tuple(warnings),
    )


def settings_for_resume(
    settings: Settings, environ: Mapping[str, str], options: Mapping[tuple[str, ...], tuple[str, object]]
) -> Settings:
    """The settings that a run was started with, changed by the present `SWARM_…` variables and options.

    Raises SwarmError (settings).
    """
    merged: dict[str, Any] = msgspec.to_builtins(settings)
    for source in (_from_environment(environ), _from_options(options)):
        validate.check(source)
        merged = _merge(merged, source.values)
    return msgspec.convert(merged, Settings)


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or os.path.expanduser("~"))


def _read_file(file: Path, *, trusted: bool) -> Source | None:
    """A file's settings; None when there is no such file."""
    shown = path_text(file)
    try:
        # Non-blocking: a repo may hold a pipe under this name, and opening that would wait forever for a writer.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        message = f"{shown}: cannot be read: {error.strerror}"
        raise settings_error(message, "check its permissions, or remove it") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise settings_error(f"{shown}: not a regular file", "settings are a text file in TOML: replace or remove it")
    with os.fdopen(descriptor, "rb") as stream:
        content = stream.read(FILE_LIMIT + 1)
    if len(content) > FILE_LIMIT:
        raise settings_error(
            f"{shown}: larger than {FILE_LIMIT >> 10} KiB",
            "settings are a short text file: shorten or remove it",
        )
    try:
        text = content.decode()
        values = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise settings_error(f"{shown}:{line}: not UTF-8 text", "save the file as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        place, message = _place_of(str(error), text)
        raise settings_error(
            f"{shown}:{place}: not valid TOML: {message}",
            "correct that line; `swarm-tui init` writes a commented example",
        ) from error
    except ValueError as error:
        raise settings_error(f"{shown}: a number has too many digits", "write a smaller number") from error
    except RecursionError as error:
        raise settings_error(f"{shown}: nested too deeply", "settings are sections of plain values") from error
    return Source(
        name=shown,
        values=values,
        place=lambda path: f"{shown}:{line}" if (line := line_of(text, path)) else shown,
        trusted=trusted,
        file=file,
    )


def _place_of(message: str, text: str) -> tuple[int, str]:
    """tomllib's `MESSAGE (at line L, column C)` or `(at end of document)` as the line and the bare message."""
    bare, _, position = message.rpartition(" (at ")
    if position.startswith("line "):
        return int(position.removeprefix("line ").split(",")[0]), bare
    return text.count("\n") + (not text.endswith("\n")), bare or message


def _from_environment(environ: Mapping[str, str]) -> Source:
    paths = {variable_of(path): path for path in kinds.key_paths()}
    values: dict[str, Any] = {}
    places: dict[tuple[str, ...], str] = {}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS:
            continue
        if variable not in paths:
            near = validate.nearest(variable, paths)
            raise settings_error(
                f"the variable {variable} is not a setting",
                near or "variables are named SWARM_SECTION_KEY, such as SWARM_BUDGET_USD",
            )
        path = paths[variable]
        places[path] = f"the variable {variable}"
        _put(values, path, validate.from_text(path, text, places[path]))
    return Source("the environment", values, lambda path: places.get(path, "the environment"))


def _from_options(options: Mapping[tuple[str, ...], tuple[str, object]]) -> Source:
    values: dict[str, Any] = {}
    places: dict[tuple[str, ...], str] = {}
    for path, (option, value) in options.items():
        places[path] = option
        _put(values, path, validate.from_text(path, value, option) if isinstance(value, str) else value)
    return Source("the options", values, lambda path: places.get(path, "the options"))


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
