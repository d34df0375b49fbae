"""Creates the demo's scratch repository: a sample's files, committed, in a new folder inside the state folder."""

import os
import pkgutil
import shutil
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from tui.bridge import ErrorKind, SampleProject, SwarmError
from tui.commands.options import state_dir

if TYPE_CHECKING:
    import git

BRANCH = "main"
ISOLATED = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TEMPLATE_DIR": ""}


def scratch_repo(arguments: Namespace, sample: SampleProject) -> Path:
    """Creates the repository; returns its folder. Raises SwarmError (state, git) and then leaves nothing behind.

    Not safe with other threads: it removes git's variables from the process's environment for a while.
    """
    above = state_dir(arguments) / "demo"
    folder = above
    try:
        above.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = _free(above, sample.name)
        shutil.copytree(sample.folder / "project", folder, dirs_exist_ok=True)
        with _without_user_git_config():
            _commit_all(folder, f"The {sample.name} sample")
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


@contextmanager
def _without_user_git_config() -> Iterator[None]:
    """Keeps the user's git configuration (hooks, signing, templates, GIT_DIR) out of the sample."""
    saved = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("GIT_")}
    os.environ.update(ISOLATED)
    try:
        yield
    finally:
        for name in ISOLATED:
            os.environ.pop(name, None)
        os.environ.update(saved)


def _commit_all(folder: Path, message: str) -> None:
    """GitPython is loaded here, so that `--list` and `--help` stay quick."""
    make: type[git.Repo] = pkgutil.resolve_name("git:Repo")
    actor: type[git.Actor] = pkgutil.resolve_name("git:Actor")
    failed: type[git.GitError] = pkgutil.resolve_name("git:GitError")
    try:
        with make.init(folder, mkdir=False, initial_branch=BRANCH) as repo:
            repo.index.add(repo.untracked_files)
            author = actor("swarm-tui demo", "demo@localhost")
            repo.index.commit(message, author=author, committer=author, skip_hooks=True)
    except failed as error:
        stderr = str(getattr(error, "stderr", "")).strip().removeprefix("stderr: ").strip("'")
        lines = stderr.splitlines() or [str(error)]
        raise SwarmError(
            ErrorKind.GIT, f"git failed: {lines[-1].strip()}", f"check the free disk space of {folder.parent}"
        ) from error
