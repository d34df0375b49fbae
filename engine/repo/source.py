"""Inspects the user's repository: where it is, which commit a run starts from, and what to warn the user about.

Only reads. GitPython is not used here: it parses refs and ids itself, which fails on SHA-256 repositories and newer
ref formats, and it would run git with the caller's environment.
"""

import asyncio
import difflib
import re
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.os_text import path_str, path_text, shell_word
from engine.domain.types import CommitId
from engine.repo.git.git import USER_REPO_TIMEOUT_S, Git, GitResult, GitTimeoutError, fsck_hint, hint_for, require_git
from engine.repo.git.own_git_dir import own_git_dir
from engine.repo.git.status import count_uncommitted
from engine.repo.workspaces.excludes import excludes_file

_MAX_ATTRIBUTES = 1 << 20
_FILTER = re.compile(rb"^[^#\n].*[ \t]filter=", re.MULTILINE)


class SourceRepo(Struct, frozen=True):
    """The user's repository when it was inspected. All paths are absolute.

    `root` is the top of the work tree, `git_dir` its own git folder, `common_dir` the git folder that all working
    trees share. `branch` is empty when HEAD is detached and no branch was requested. `base` is the commit that a run
    starts from. `object_format` is `sha1` or `sha256`. In a `partial` clone, git fetches objects when it needs them.
    `warnings` are shown to the user, one line each.
    """

    root: Path
    git_dir: Path
    common_dir: Path
    branch: str
    base: CommitId
    object_format: str = "sha1"
    partial: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def objects(self) -> Path:
        return self.common_dir / "objects"


async def inspect_repo(path: Path, branch: str = "") -> SourceRepo:
    """Inspect the repository that contains `path`. A run starts from `branch`; if that is empty, from HEAD.

    Raises SwarmError (repo) with a hint when a run cannot start from it.
    """
    await require_git()
    folder = _existing_folder(path)
    user = Git(folder, as_user=True, timeout_s=USER_REPO_TIMEOUT_S)
    located, top = _start(_locate(user, path)), _start(user.run("rev-parse", "--show-toplevel", accept=range(256)))
    await _all_of(located, top)
    bare, git_dir, common_dir, object_format = located.result()
    found = top.result()
    if bare:
        raise _error(f"{path_text(path)} is a bare repo", "clone it and give the path of the clone")
    if found.exit:
        raise _error(f"{path_text(path)} is not in a work tree", "give the folder that has the repo's files")
    root = Path(_one_path(found))
    await _require_own_work_tree(structs.replace(user, cwd=_existing_folder(root)), git_dir)
    git = Git(root, timeout_s=USER_REPO_TIMEOUT_S)
    promisor = r"^(extensions\.partialclone|remote\..*\.promisor)$"
    promisors = _start(_text_or_none(git, "config", "--get-regexp", promisor))
    started_from = _start(_base(git, branch))
    taken = _start(_text_or_none(git, "show-ref", "--verify", "refs/heads/swarm"))
    await _all_of(promisors, started_from, taken)
    partial = bool(promisors.result())
    base_branch, base = started_from.result()
    if taken.result():
        raise _error("the branch swarm conflicts with the branches swarm/…", "rename it: git branch -m swarm swarm-old")
    return SourceRepo(
        root=root,
        git_dir=git_dir,
        common_dir=common_dir,
        branch=base_branch,
        base=base,
        object_format=object_format,
        partial=partial,
        warnings=await _warnings(root, git_dir, common_dir, object_format, base_branch, base, partial),
    )


async def _require_own_work_tree(user: Git, git_dir: Path) -> None:
    """Refuse a git folder whose `core.worktree` names a folder of another repository, or of none."""
    found = await user.run("rev-parse", "--absolute-git-dir", accept=range(256))
    if found.exit or Path(_one_path(found)) != git_dir:
        raise _error(
            f"the work tree of {path_text(git_dir)} is {path_text(user.cwd)}, which is not part of that repo",
            f"correct it: git --git-dir {shell_word(git_dir)} config --unset core.worktree",
        )


def _existing_folder(path: Path) -> Path:
    if not path.exists():
        raise _error(f"no such folder: {path_text(path)}", "give the folder of a git repo")
    if not path.is_dir():
        raise _error(f"not a folder: {path_text(path)}", "give the folder of a git repo")
    return path.absolute()


async def _locate(git: Git, given: Path) -> tuple[bool, Path, Path, str]:
    """Bare or not, git folder, common folder, object format. Errors name `given`, the user's path."""
    result = await git.run("rev-parse", "--is-bare-repository", "--show-object-format", accept=range(256))
    if result.exit:
        if "dubious ownership" in result.err:
            raise _error(
                f"{path_text(given)} belongs to another user",
                f"if you trust it: git config --global --add safe.directory {shell_word(git.cwd)}",
            )
        if "not a git repository" in result.err:
            raise _error(f"{path_text(given)} is not a git repo", "give the folder of a git repo, or run: git init")
        message = f"cannot read the git repo {path_text(given)}: {result.error_line}"
        raise _error(message, hint_for(result.err, "repair the repo first: git fsck"))
    bare, object_format = result.text.split("\n")
    git_dir = _start(git.run("rev-parse", "--absolute-git-dir"))
    common = _start(git.run("rev-parse", "--path-format=absolute", "--git-common-dir"))
    await _all_of(git_dir, common)
    return bare == "true", Path(_one_path(git_dir.result())), Path(_one_path(common.result())), object_format


async def _base(git: Git, branch: str) -> tuple[str, CommitId]:
    """The short name of the base branch (empty when HEAD is detached) and its commit."""
    name = f"refs/heads/{path_str(branch)}" if branch else "HEAD"
    asked = [
        _start(_text_or_none(git, *words))
        for words in (
            ("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"),
            ("rev-parse", "--verify", "--quiet", f"{name}^{{tree}}"),
            ("symbolic-ref", "--quiet", "HEAD"),
        )
    ]
    await _all_of(*asked)
    commit, tree, head = (task.result() for task in asked)
    if not tree and (found := commit or await _text_or_none(git, "rev-parse", "--verify", "--quiet", name)):
        raise _error(f"cannot read commit {found[:12]} of {branch or 'HEAD'}", fsck_hint())
    refs = None if commit else await git.run("for-each-ref", accept=range(256))
    if refs and (refs.exit or (f"broken ref {name}" if branch else "broken ref") in refs.err):
        raise _error(f"cannot read the repo's branches: {refs.error_line}", hint_for(refs.err, fsck_hint()))
    if branch:
        if not commit:
            raise _error(f"no branch named {branch}", await _suggest_branch(git, branch))
        return branch, CommitId(commit)
    if not commit:
        raise _error("the repo has no commits yet", "commit something first, or name a branch that has commits")
    return (head or "").removeprefix("refs/heads/"), CommitId(commit)


async def _suggest_branch(git: Git, branch: str) -> str:
    names = (await git.text("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads")).split("\n")
    closest = difflib.get_close_matches(branch, names, n=1) or names[:1]
    if closest and closest[0]:
        return f"did you mean {closest[0]}?"
    return "the repo has no branches yet: commit something first"


async def _warnings(
    root: Path, git_dir: Path, common_dir: Path, object_format: str, branch: str, base: CommitId, partial: bool
) -> tuple[str, ...]:
    warnings: list[str] = []

    async def uncommitted() -> int:
        try:
            return await count_uncommitted(root, git_dir, common_dir, object_format, await excludes_file(common_dir))
        except GitTimeoutError:
            warnings.append(f"counting uncommitted changes took too long: the swarm starts from commit {base[:12]}")
            return 0

    with own_git_dir(common_dir, object_format) as git:
        counted = _start(uncommitted())
        modules = _start(_text_or_none(git, "rev-parse", "--verify", "--quiet", f"{base}:.gitmodules"))
        attributes = _start(
            git.run("cat-file", "blob", f"{base}:.gitattributes", accept=range(256), limit=_MAX_ATTRIBUTES)
        )
        await _all_of(counted, modules, attributes)
    count = counted.result()
    if count:
        changes = "1 uncommitted change" if count == 1 else f"{count} uncommitted changes"
        warnings.append(f"the swarm won't see {changes}: it starts from commit {base[:12]}")
    if not branch:
        warnings.append(f"HEAD is detached: the swarm starts from commit {base[:12]}")
    if partial:
        warnings.append(
            f"the repo is a partial clone: unless it has all old files, agents see no commit before {base[:12]}"
        )
    if modules.result():
        warnings.append("the repo has submodules: agents see them as empty folders and cannot change them")
    if _FILTER.search(attributes.result().out):
        warnings.append(
            "the repo has filters such as LFS: agents see such files as git stores them and cannot change them"
        )
    return tuple(warnings)


_start = asyncio.ensure_future
"""Git is asked several things at once: the answers mostly do not depend on each other, and starting git takes most of
the time."""


async def _all_of(*asked: "asyncio.Future[Any]") -> None:
    """Wait until all have an answer or an error, so that no process stays behind. The caller reads them in order."""
    await asyncio.gather(*asked, return_exceptions=True)


async def _text_or_none(git: Git, *args: str) -> str | None:
    result = await git.run(*args, accept=range(256))
    return None if result.exit else result.text


def _one_path(result: GitResult) -> str:
    """The one path that git printed; the path itself may contain newlines."""
    return result.out.removesuffix(b"\n").decode("utf-8", "surrogateescape")


def _error(message: str, hint: str) -> SwarmError:
    return SwarmError(ErrorKind.REPO, message, hint)
