"""A scratch repo for the demo: a sample's files, committed, in a new folder below the state folder."""

import os
import shutil
import subprocess
from argparse import Namespace
from itertools import count
from pathlib import Path

from tui.bridge import ErrorKind, SampleProject, SwarmError
from tui.commands.options import state_dir

IDENTITY = ("-c", "user.name=swarm-tui demo", "-c", "user.email=demo@localhost")


def scratch_repo(arguments: Namespace, sample: SampleProject) -> Path:
    """Make the repo; returns its folder. Raises SwarmError (state, git), and nothing of it is left then."""
    above = state_dir(arguments) / "demo"
    folder = above
    try:
        above.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = _free(above, sample.name)
        shutil.copytree(sample.folder / "project", folder, dirs_exist_ok=True)
        _git(folder, "init", "--quiet", "--initial-branch=main", "--template=")
        _git(folder, "add", "--all")
        _git(folder, *IDENTITY, "commit", "--quiet", "--no-gpg-sign", "--message", f"The {sample.name} sample")
    except (OSError, shutil.Error) as error:
        _remove(folder, above)
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise SwarmError(
            ErrorKind.STATE, f"the folder {above} cannot be written: {reason}", "name another with --state-dir"
        ) from error
    except BaseException:
        _remove(folder, above)
        raise
    return folder


def _free(above: Path, name: str) -> Path:
    """A new folder `NAME-1`, `NAME-2`, …"""
    for number in count(1):
        try:
            (above / f"{name}-{number}").mkdir(mode=0o700)
        except FileExistsError:
            continue
        return above / f"{name}-{number}"
    raise AssertionError("unreachable")


def _remove(folder: Path, above: Path) -> None:
    if folder != above:
        shutil.rmtree(folder, ignore_errors=True)


def _git(folder: Path, *words: str) -> None:
    # The person's own configuration (hooks, signing, templates) has no part in a sample.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    try:
        done = subprocess.run(
            ["git", "-c", "core.hooksPath=/dev/null", *words],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        raise SwarmError(
            ErrorKind.GIT, "git is not installed", "install it, for example: sudo apt install git"
        ) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        raise SwarmError(
            ErrorKind.GIT, f"git {words[0]} failed: {lines[-1]}", f"is {folder.parent} on a disk with space?"
        )
