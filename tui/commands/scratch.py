"""A scratch repo for the demo: a sample's files, committed, in a new folder below the state folder."""

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
ALONE = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TEMPLATE_DIR": ""}


def scratch_repo(arguments: Namespace, sample: SampleProject) -> Path:
    """Make the repo; returns its folder. Raises SwarmError (state, git), and nothing of it is left then.

    Not for a process with other threads: its environment has no git variables meanwhile.
    """
    above = state_dir(arguments) / "demo"
    folder = above
    try:
        above.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = _free(above, sample.name)
        shutil.copytree(sample.folder / "project", folder, dirs_exist_ok=True)
        with _without_the_persons_git():
            _commit_all(folder, f"The {sample.name} sample")
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


@contextmanager
def _without_the_persons_git() -> Iterator[None]:
    """The person's own configuration and repo (hooks, signing, templates, GIT_DIR) have no part in a sample."""
    theirs = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("GIT_")}
    os.environ.update(ALONE)
    try:
        yield
    finally:
        for name in ALONE:
            os.environ.pop(name, None)
        os.environ.update(theirs)


def _commit_all(folder: Path, message: str) -> None:
    """GitPython is loaded here, so that naming the samples and the help stay quick without it."""
    make: type[git.Repo] = pkgutil.resolve_name("git:Repo")
    actor: type[git.Actor] = pkgutil.resolve_name("git:Actor")
    failed: type[git.GitError] = pkgutil.resolve_name("git:GitError")
    try:
        with make.init(folder, mkdir=False, initial_branch=BRANCH) as repo:
            repo.index.add(repo.untracked_files)
            author = actor("swarm-tui demo", "demo@localhost")
            repo.index.commit(message, author=author, committer=author, skip_hooks=True)
    except failed as error:
        said = str(getattr(error, "stderr", "")).strip().removeprefix("stderr: ").strip("'")
        lines = said.splitlines() or [str(error)]
        raise SwarmError(
            ErrorKind.GIT, f"git failed: {lines[-1].strip()}", f"is {folder.parent} on a disk with space?"
        ) from error
