"""Reads unified patches from a trunk's repository, which another process may own."""

import os
from collections.abc import Collection
from pathlib import Path

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.os_text import output_text, path_bytes, path_text
from engine.domain.types import CommitId
from engine.repo.git.git import Git

_MAX_PATCH_BYTES = 32 * 1024 * 1024


async def landed_patch(git_dir: Path, commit: CommitId) -> str:
    """What a landed commit changed, as `patch_between` gives it. Raises SwarmError (git, state)."""
    if not _exists(git_dir):
        raise SwarmError(ErrorKind.STATE, f"no trunk at {path_text(git_dir)}", "was the run's folder moved or cleaned?")
    return await patch_between(Git(git_dir, git_dir=git_dir), f"{commit}^", commit)


async def patch_between(git: Git, old: str, new: str, paths: Collection[str] = ()) -> str:
    """A unified patch between two commits, cut after the last full line within 32 MiB. Raises SwarmError (git).

    `paths`: only of these files, if any are named.
    """
    named = tuple(os.fsdecode(path_bytes(path)) for path in paths)
    result = await git.run(
        *(
            "--literal-pathspecs",
            "-c",
            "core.quotePath=true",
            "diff-tree",
            "-r",
            "-p",
            "-M",
            "--no-ext-diff",
            "--no-textconv",
            "--no-color",
            "--no-commit-id",
        ),
        *("--src-prefix=a/", "--dst-prefix=b/", old, new, "--", *named),
        limit=_MAX_PATCH_BYTES,
    )
    patch = result.out[: result.out.rfind(b"\n") + 1] if result.cut else result.out
    return output_text(patch)


def _exists(folder: Path) -> bool:
    return folder.is_dir()
