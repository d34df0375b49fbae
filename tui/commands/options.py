"""Turns command-line options into settings, in the shape that the settings loader takes."""

import difflib
import os
from argparse import Namespace
from pathlib import Path

from tui.bridge import ErrorKind, LoadedSettings, Role, SwarmError, load_settings, path_text, state_folder

ROLES = tuple(role.value for role in Role)
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
    """Setting paths, each with the option that sets it and the value. Raises SwarmError for an unknown role."""
    options: Options = {}
    for name, path in _PLAIN.items():
        value = getattr(arguments, name, None)
        if value is not None:
            options[path] = (_NAMES.get(name, f"--{name.replace('_', '-')}"), value)
    if getattr(arguments, "require_green_base", None):
        options["repo", "require_green_base"] = ("--require-green-base", "true")
    for limit in getattr(arguments, "budget", None) or []:
        path, value = split_limit(limit)
        options[path] = (f"--budget {limit}", value)
    named: Options = {}
    for choice in getattr(arguments, "model", []):
        role, model = split_choice(choice)
        for each in (role,) if role else ROLES:
            (named if role else options)[("models", each)] = (f"--model {choice}", model)
    return options | named


def split_choice(choice: str) -> tuple[str, str]:
    """Splits `ROLE=PROVIDER:NAME` or `PROVIDER:NAME` into role (empty: all) and model. Raises SwarmError."""
    role, equals, model = choice.partition("=")
    if not equals or ":" in role:
        return "", choice
    if role not in ROLES:
        near = difflib.get_close_matches(role, ROLES, n=1)
        hint = f"did you mean {near[0]}={model}?" if near else f"roles: {', '.join(ROLES)}"
        raise SwarmError(ErrorKind.SETTINGS, f"--model {choice}: unknown role '{role}'", hint)
    return role, model


def split_limit(limit: str) -> tuple[tuple[str, ...], str]:
    """Splits `steps=500`, `worker.usd=20` or `root/parser.wall=2h` into setting path and value. Raises SwarmError."""
    name, equals, value = limit.partition("=")
    target, dot, key = name.rpartition(".")
    if not equals or key not in LIMITS or (dot and target not in ROLES and target.split("/")[0] != "root"):
        hint = f"write [TARGET.]LIMIT=VALUE: TARGET is a role or a planner's path, LIMIT one of {', '.join(LIMITS)}"
        raise SwarmError(ErrorKind.SETTINGS, f"--budget {limit}: unknown limit", hint)
    above = () if not dot else ("role", target) if target in ROLES else ("subtree", target)
    return ("budget", *above, key), value


def settings_of(arguments: Namespace, repo: Path | None) -> LoadedSettings:
    """All settings for a command on `repo`. Raises SwarmError (settings)."""
    return load_settings(repo, os.environ, options_of(arguments))


def state_dir(arguments: Namespace) -> Path:
    """The folder that keeps all runs: `--state-dir`, or else the environment's. Raises SwarmError (usage)."""
    named: str | None = getattr(arguments, "state_dir", None)
    try:
        return Path(named).expanduser().absolute() if named else state_folder(os.environ)
    except RuntimeError as error:
        message = f"state folder {path_text(named or os.environ['SWARM_STATE_DIR'])}: unknown user's home folder"
        raise SwarmError(ErrorKind.USAGE, message, "write the full path") from error
