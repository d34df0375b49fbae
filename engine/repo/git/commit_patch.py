"""What a commit of trunk changed, read from a run's folder that another process may own."""

from pathlib import Path

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.types import CommitId
from engine.repo.git.git import Git

_LONGEST_PATCH = 32 * 1024 * 1024


async def landed_patch(git_dir: Path, commit: CommitId) -> str:
    """A landed commit as a unified patch, cut at 32 MiB. Raises SwarmError (git, state)."""
    if not _is_there(git_dir):
        raise SwarmError(ErrorKind.STATE, f"there is no trunk at {git_dir}", "was the run's folder moved or cleaned?")
    result = await Git(git_dir, git_dir=git_dir).run(
        *("diff-tree", "-r", "-p", "-M", "--no-ext-diff", "--no-textconv", "--no-color", "--no-commit-id"),
        *("--src-prefix=a/", "--dst-prefix=b/", f"{commit}^", commit, "--"),
        limit=_LONGEST_PATCH,
    )
    patch = result.out[: result.out.rfind(b"\n") + 1] if result.cut else result.out
    return patch.decode("utf-8", "replace")


def _is_there(folder: Path) -> bool:
    return folder.is_dir()
