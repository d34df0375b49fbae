"""Counts uncommitted changes without the repository's own configuration, which may name programs as filters."""

import os
from pathlib import Path

from msgspec import structs

from engine.repo.git.git import USER_REPO_TIMEOUT_S, Git
from engine.repo.git.own_git_dir import own_git_dir

_MAX_BYTES = 1_000_000
_READING = frozenset(
    f"core.{name}"
    for name in (
        *("autocrlf", "checkroundtripencoding", "checkstat", "eol", "filemode", "ignorecase", "precomposeunicode"),
        *("safecrlf", "sparsecheckout", "sparsecheckoutcone", "symlinks", "trustctime"),
    )
)
"""The settings that say how the files of a work tree are read. None names a program, a path or an address."""


async def count_uncommitted(root: Path, git_dir: Path, common_dir: Path, object_format: str, excludes: Path) -> int:
    """How many files of the work tree `root` differ from HEAD, as `git status` counts them; 0 if git cannot tell.

    Git runs with a git folder of the engine's own that has the repository's index and objects. `excludes` has the
    user's ignore rules. Raises GitTimeoutError.
    """
    user = Git(root, timeout_s=USER_REPO_TIMEOUT_S)
    head = (await user.run("rev-parse", "--verify", "--quiet", "HEAD^{commit}", accept=range(256))).text
    if not head:
        return 0
    listed = await structs.replace(user, as_user=True).run("config", "-z", "--list", accept=range(256))
    entries = (os.fsdecode(entry).partition("\n") for entry in listed.out.split(b"\0"))
    config = {key: value if has_value else "true" for key, has_value, value in entries if key in _READING}
    config["core.excludesFile"] = str(excludes)
    with own_git_dir(common_dir, object_format, head) as git:
        _link_rules(git.cwd, git_dir, common_dir)
        status = await structs.replace(
            git,
            cwd=root,
            work_tree=root,
            config=tuple(f"{key}={value}" for key, value in config.items()),
            timeout_s=USER_REPO_TIMEOUT_S,
        ).run(
            *("status", "--porcelain", "-z", "--untracked-files=normal", "--ignore-submodules=all", "--no-renames"),
            accept=range(256),
            env={"GIT_INDEX_FILE": str(git_dir / "index")},
            limit=_MAX_BYTES,
        )
    return status.out.count(b"\0")


def _link_rules(own: Path, git_dir: Path, common_dir: Path) -> None:
    """Link the repository's ignore rules, its sparse checkout and the parts of a split index into a git folder."""
    (own / "info").mkdir()
    for file in (common_dir / "info" / "exclude", git_dir / "info" / "sparse-checkout"):
        if file.is_file():
            (own / "info" / file.name).symlink_to(file)
    for file in git_dir.glob("sharedindex.*"):
        (own / file.name).symlink_to(file)
