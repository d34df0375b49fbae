"""A git repository made from a folder of sample files, without the user's own git configuration."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import git

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.os_text import path_text

ISOLATED = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TEMPLATE_DIR": ""}


def make_sample_repo(folder: Path, branch: str, message: str) -> None:
    """Make the folder a repository whose branch has its files in one commit. Raises SwarmError (git).

    Not safe with other threads: it removes git's variables from the process's environment for a while.
    """
    try:
        with _without_user_git_config(), git.Repo.init(folder, mkdir=False, initial_branch=branch) as repo:
            repo.index.add(repo.untracked_files)
            author = git.Actor("swarm-tui demo", "demo@localhost")
            repo.index.commit(message, author=author, committer=author, skip_hooks=True)
    except git.GitError as error:
        stderr = str(getattr(error, "stderr", "")).strip().removeprefix("stderr: ").strip("'")
        lines = stderr.splitlines() or [str(error)]
        raise SwarmError(
            ErrorKind.GIT,
            f"git failed: {lines[-1].strip()}",
            f"check the free disk space of {path_text(folder.parent)}",
        ) from error


@contextmanager
def _without_user_git_config() -> Iterator[None]:
    """Keep the user's git configuration (hooks, signing, templates, GIT_DIR) out of the sample."""
    saved = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("GIT_")}
    os.environ.update(ISOLATED)
    try:
        yield
    finally:
        for name in ISOLATED:
            os.environ.pop(name, None)
        os.environ.update(saved)
