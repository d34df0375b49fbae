"""Options as settings: what a person wrote on the command line, in the shape that settings are loaded in."""

import difflib
import os
from argparse import Namespace
from pathlib import Path

from tui.bridge import ErrorKind, LoadedSettings, Settings, SwarmError, load_settings, state_folder

ROLES = ("planner", "worker", "resolver", "reconciler")
LIMITS = ("usd", "tokens", "wall", "steps")
_PLAIN = {
    "workers": ("swarm", "workers"),
    "budget_usd": ("budget", "usd"),
    "budget_tokens": ("budget", "tokens"),
    "check": ("repo", "check"),
    "branch": ("repo", "branch"),
    "sandbox": ("sandbox", "level"),
    "theme": ("theme",),
    "wall": ("budget", "wall"),
}
_NAMES = {"wall": "--for"}

Options = dict[tuple[str, ...], tuple[str, object]]


def options_of(arguments: Namespace) -> Options:
    """Key paths, each with its option's name and text. Raises SwarmError for a role that is not known."""
    options: Options = {}
    for name, path in _PLAIN.items():
        value = getattr(arguments, name, None)
        if value is not None:
            options[path] = (_NAMES.get(name, f"--{name.replace('_', '-')}"), value)
    for limit in getattr(arguments, "budget", None) or []:
        path, value = split_limit(limit)
        options[path] = (f"--budget {limit}", value)
    named: Options = {}
    for choice in getattr(arguments, "model", []):
        role, model = split_choice(choice)
        for each in (role,) if role else ROLES:
            (named if role else options)[("models", each)] = (f"--model {choice}", model)
    return options | named


def as_words(arguments: Namespace) -> list[str]:
    """The common options as they are written, for another process: the state folder always, and what was given."""
    words = ["--state-dir", str(state_dir(arguments))]
    for name in (*_PLAIN, "model", "budget"):
        given = getattr(arguments, name, None)
        option = _NAMES.get(name, f"--{name.replace('_', '-')}")
        for value in given if isinstance(given, list) else [given]:
            if value is not None:
                words += [f"{option}={value}"]
    return words


def split_choice(choice: str) -> tuple[str, str]:
    """`ROLE=PROVIDER:NAME` or `PROVIDER:NAME` as role (empty: all) and model. Raises SwarmError."""
    role, equals, model = choice.partition("=")
    if not equals or ":" in role:
        return "", choice
    if role not in ROLES:
        near = difflib.get_close_matches(role, ROLES, n=1)
        hint = f"did you mean {near[0]}={model}?" if near else f"roles: {', '.join(ROLES)}"
        raise SwarmError(ErrorKind.SETTINGS, f"--model {choice}: there is no role '{role}'", hint)
    return role, model


def split_limit(limit: str) -> tuple[tuple[str, ...], str]:
    """`steps=500`, `worker.usd=20` or `root/parser.wall=2h` as a setting's path and its text. Raises SwarmError."""
    name, equals, value = limit.partition("=")
    part, dot, key = name.rpartition(".")
    if not equals or key not in LIMITS or (dot and part not in ROLES and part.split("/")[0] != "root"):
        hint = f"write [PART.]LIMIT=VALUE: PART is a role or a planner's path, LIMIT one of {', '.join(LIMITS)}"
        raise SwarmError(ErrorKind.SETTINGS, f"--budget {limit}: there is no such limit", hint)
    above = () if not dot else ("role", part) if part in ROLES else ("subtree", part)
    return ("budget", *above, key), value


def settings_of(arguments: Namespace, repo: Path | None) -> LoadedSettings:
    """All settings for a command on `repo`. Raises SwarmError (settings)."""
    return load_settings(repo, os.environ, options_of(arguments))


def state_dir(arguments: Namespace) -> Path:
    """The folder that holds all runs: `--state-dir`, else the environment's. Raises SwarmError (usage)."""
    named: str | None = getattr(arguments, "state_dir", None)
    try:
        return Path(named).expanduser().absolute() if named else state_folder(os.environ)
    except RuntimeError as error:
        message = f"the state folder {named or os.environ['SWARM_STATE_DIR']} is in the home of nobody known"
        raise SwarmError(ErrorKind.USAGE, message, "write the whole path") from error


def require_models(settings: Settings) -> None:
    """Raises SwarmError (provider) when no model was chosen: there is no default that costs money or pretends."""
    if not settings.models.planner or not settings.models.worker:
        role = "planner" if not settings.models.planner else "worker"
        raise SwarmError(
            ErrorKind.PROVIDER,
            f"no model is chosen for the role '{role}'",
            "--model anthropic:NAME with ANTHROPIC_API_KEY set, or --model openai:NAME; without a key: swarm-tui demo",
        )
