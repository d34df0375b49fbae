"""Counts uncommitted changes without the repository's own configuration, which may name programs as filters."""

import os
import tempfile
from pathlib import Path

from engine.repo.git.alternates import init_borrower
from engine.repo.git.git import Git

SHA256_DIGITS = 64
_TIMEOUT_S = 60.0
_MAX_BYTES = 1_000_000
_READING = frozenset(
    f"core.{name}"
    for name in (
        *("autocrlf", "checkroundtripencoding", "checkstat", "eol", "filemode", "ignorecase", "precomposeunicode"),
        *("safecrlf", "sparsecheckout", "sparsecheckoutcone", "symlinks", "trustctime"),
    )
)
"""The settings that say how the files of a work tree are read. None names a program, a path or an address."""


async def count_uncommitted(root: Path, git_dir: Path, common_dir: Path, excludes: Path) -> int:
    """How many files of the work tree `root` differ from HEAD, as `git status` counts them; 0 if git cannot tell.

    Git runs with a git folder of the engine's own that has the repository's index and objects. `excludes` has the
    user's ignore rules.
    """
    head = (await Git(root).run("rev-parse", "--verify", "--quiet", "HEAD^{commit}", accept=range(256))).text
    if not head:
        return 0
    listed = await Git(root, as_user=True).run("config", "-z", "--list", accept=range(256))
    entries = (os.fsdecode(entry).partition("\n") for entry in listed.out.split(b"\0"))
    config = {key: value if has_value else "true" for key, has_value, value in entries if key in _READING}
    config["core.excludesFile"] = str(excludes)
    with tempfile.TemporaryDirectory(prefix="swarm-tui-") as name:
        own = Path(name)
        _fill(own, head, git_dir, common_dir)
        git = Git(
            root,
            git_dir=own,
            work_tree=root,
            objects=common_dir / "objects",
            config=tuple(f"{key}={value}" for key, value in config.items()),
            timeout_s=_TIMEOUT_S,
        )
        status = await git.run(
            *("status", "--porcelain", "-z", "--untracked-files=normal", "--ignore-submodules=all", "--no-renames"),
            accept=range(256),
            env={"GIT_INDEX_FILE": str(git_dir / "index")},
            limit=_MAX_BYTES,
        )
    return status.out.count(b"\0")


def _fill(own: Path, head: str, git_dir: Path, common_dir: Path) -> None:
    """Make a git folder whose HEAD is the commit `head`, with the repository's rules and the parts of a split index."""
    init_borrower(own, [])
    (own / "HEAD").write_text(f"{head}\n")
    if len(head) == SHA256_DIGITS:
        version, extension = "repositoryformatversion = 1", "[extensions]\n\tobjectFormat = sha256\n"
        (own / "config").write_text(f"[core]\n\t{version}\n{extension}")
    (own / "info").mkdir()
    for file in (common_dir / "info" / "exclude", git_dir / "info" / "sparse-checkout"):
        if file.is_file():
            (own / "info" / file.name).symlink_to(file)
    for file in git_dir.glob("sharedindex.*"):
        (own / file.name).symlink_to(file)
