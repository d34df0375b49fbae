"""What the person's git ignores beside `.gitignore` files: the repo's `info/exclude` and their `core.excludesFile`."""

import os
from pathlib import Path

from msgspec import Struct

from engine.repo.git.alternates import all_objects
from engine.repo.git.git import Git
from engine.repo.git.ignores import MAX_BYTES, Rules, parse

OURS = b"/.swarm/\n"


class Excludes(Struct, frozen=True):
    """`text` is for the `info/exclude` of agents' copies, `rules` for what may land. Read once, as a run starts."""

    text: bytes = OURS
    rules: Rules = ()


async def read_excludes(trunk_git: Path) -> Excludes:
    """Of the repo whose objects `trunk_git` borrows. Files that are not there have no rules.

    Agents see them. So a repo, which may be anyone's, can name no file outside of its own folder.

    Raises SwarmError (git) when git cannot be asked.
    """
    [_, *borrowed] = all_objects(trunk_git / "objects") or [trunk_git]
    texts = [OURS]
    for common in [objects.parent for objects in borrowed[:1] if (objects.parent / "HEAD").exists()]:
        # The person's own file comes first: what the repo says counts for more, as it does for git.
        own = common / "info" / "exclude"
        texts += [_text(await _person_file(common)), _text(own) if _is_inside(own, common) else b""]
    return Excludes(b"\n".join(texts), tuple(rule for text in texts[1:] for rule in parse(text)))


async def _person_file(common: Path) -> Path:
    git = Git(common, git_dir=common, as_person=True)
    command = ("config", "--show-scope", "-z", "--type=path", "--get", "core.excludesFile")
    scope, _, told = (await git.run(*command, accept=range(256))).out.removesuffix(b"\0").partition(b"\0")
    if told:
        file = common.parent / os.fsdecode(told)
        return file if scope in (b"system", b"global") or _is_inside(file, common) else Path(os.devnull)
    settings = os.environ.get("XDG_CONFIG_HOME") or f"{os.environ.get('HOME', '')}/.config"
    return Path(settings) / "git" / "ignore"


def _is_inside(file: Path, common: Path) -> bool:
    """Whether a file really lies in the repo's folder."""
    return file.resolve().is_relative_to(common.parent.resolve())


def _text(path: Path) -> bytes:
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(MAX_BYTES)
    except OSError:
        return b""
