"""Creates the demo's scratch repository: a sample's files, committed, in a new folder inside the state folder."""

import os
import shutil
from argparse import Namespace
from itertools import count
from pathlib import Path

from tui import bridge
from tui.bridge import ErrorKind, SampleProject, SwarmError
from tui.commands.options import state_dir

BRANCH = "main"


def scratch_repo(arguments: Namespace, sample: SampleProject) -> Path:
    """Creates the repository; returns its folder. Raises SwarmError (state, git) and then leaves nothing behind.

    Not safe with other threads (see `make_sample_repo`). GitPython is loaded here, so that `--list` stays quick.
    """
    above = state_dir(arguments) / "demo"
    folder = above
    try:
        above.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = _free(above, sample.name)
        shutil.copytree(sample.folder / "project", folder, dirs_exist_ok=True)
        bridge.make_sample_repo(folder, BRANCH, f"The {sample.name} sample")
    except (OSError, shutil.Error) as error:
        _remove(folder, above)
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise SwarmError(
            ErrorKind.STATE, f"cannot write to {above}: {reason}", "choose another folder with --state-dir"
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
