"""Publishes trunk and green as two refs in the user's repository, and changes nothing else there."""

from pathlib import Path

from engine.domain.errors import ErrorKind, SwarmError
from engine.repo.git.git import Git

_FETCH = (
    "fetch",  # not --quiet: it hides which ref was rejected, and why
    "--no-auto-maintenance",
    "--no-write-fetch-head",
    "--no-write-commit-graph",
    "--no-tags",
    "--no-recurse-submodules",
    "--no-prune",
    "--show-forced-updates",  # without it, git treats any update as a fast-forward
)
_CHECKED_OUT = "it is checked out"
_CONFIG = ("fetch.prune=false", "fetch.fsckObjects=false", "transfer.fsckObjects=false", "fetch.output=full")


async def publish(trunk_git: Path, root: Path, run: str, names: list[str]) -> str:
    """Fetch `refs/heads/NAME` of the trunk's repository into `refs/heads/swarm/RUN/NAME` of the repository at `root`.

    A ref that is checked out in a work tree, or that someone moved, is not updated. Returns one line for each of those,
    or an empty string. Raises SwarmError (git) when git fails for another reason.
    """
    git = Git(root, config=_CONFIG)
    targets = {name: f"refs/heads/swarm/{run}/{name}" for name in names}
    checked_out = await _checked_out_branches(git)
    skipped = [_skipped(targets[name], _CHECKED_OUT) for name in names if targets[name] in checked_out]
    for name in [name for name in names if targets[name] not in checked_out]:
        # One by one, because git rejects a whole fetch when it rejects one of its refs.
        if reason := await _fetch(git, trunk_git, f"refs/heads/{name}", targets[name]):
            skipped.append(_skipped(targets[name], reason))
    return "\n".join(skipped)


async def _fetch(git: Git, trunk_git: Path, source: str, target: str) -> str:
    result = await git.run(*_FETCH, str(trunk_git), f"{source}:{target}", accept=range(256))
    if result.exit == 0:
        return ""
    if "refusing to fetch into" in result.err:
        return _CHECKED_OUT
    if "non-fast-forward" in result.err or "[rejected]" in result.err:
        return "someone else moved it"
    if "cannot lock ref" in result.err or ".lock': File exists" in result.err:
        return "another git process has locked it"
    raise SwarmError(
        ErrorKind.GIT,
        f"cannot publish {target}: {result.error_line}",
        "check that the repo exists and is writable",
    )


async def _checked_out_branches(git: Git) -> set[str]:
    """The full ref names of the branches that are checked out in any work tree of the repository."""
    listing = await git.run("worktree", "list", "--porcelain", "-z")
    lines = listing.out.decode("utf-8", "replace").split("\0")
    return {line.removeprefix("branch ") for line in lines if line.startswith("branch ")}


def _skipped(target: str, reason: str) -> str:
    return f"{target.removeprefix('refs/heads/')} not updated: {reason}"
