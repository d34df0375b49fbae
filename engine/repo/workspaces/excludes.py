"""Reads ignore rules outside `.gitignore` files: the repository's `info/exclude` and the user's `core.excludesFile`."""

import os
from pathlib import Path

from msgspec import Struct

from engine.repo.git.git import USER_REPO_TIMEOUT_S, Git
from engine.repo.git.ignores import MAX_BYTES, Rules, parse_rules
from engine.repo.git.regular_file import read_regular

OWN_RULES = b"/.swarm/\n"


class Excludes(Struct, frozen=True):
    """`text` goes into the `info/exclude` of workspaces; `rules` keep files out of landings. Read when a run starts."""

    text: bytes = OWN_RULES
    rules: Rules = ()


async def read_excludes(trunk_git: Path) -> Excludes:
    """Read the rules of the repository that the run started from. A missing file has no rules.

    Agents can read the rules. The repository may not be trusted, so its own config cannot name a file outside its
    folder.

    Raises SwarmError (git) when git fails.
    """
    named = await Git(trunk_git, git_dir=trunk_git).run("config", "-z", "--get", "swarm.common", accept=(0, 1))
    texts = [OWN_RULES]
    for common in [Path(os.fsdecode(name)) for name in named.out.split(b"\0") if name]:
        # The user's file comes first: later rules win, and git gives the repository's precedence.
        own = common / "info" / "exclude"
        texts.append(read_regular(await excludes_file(common), MAX_BYTES))
        texts.append(read_regular(own, MAX_BYTES) if is_inside(own, common) else b"")
    return Excludes(b"\n".join(texts), tuple(rule for text in texts[1:] for rule in parse_rules(text)))


async def excludes_file(common: Path) -> Path:
    """The user's file of ignore rules. The repository's own config may name one inside its folder only."""
    git = Git(common, git_dir=common, as_user=True, timeout_s=USER_REPO_TIMEOUT_S)
    command = ("config", "--show-scope", "-z", "--type=path", "--get", "core.excludesFile")
    scope, _, name = (await git.run(*command, accept=range(256))).out.removesuffix(b"\0").partition(b"\0")
    if name:
        file = common.parent / os.fsdecode(name)
        return file if scope in (b"system", b"global") or is_inside(file, common) else Path(os.devnull)
    config = os.environ.get("XDG_CONFIG_HOME") or f"{os.environ.get('HOME', '')}/.config"
    return Path(config) / "git" / "ignore"


def is_inside(file: Path, common: Path) -> bool:
    """Whether a file is in the repository's folder after symlinks are resolved."""
    return file.resolve().is_relative_to(common.parent.resolve())
