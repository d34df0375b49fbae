"""`swarm-tui init`: writes a commented swarm.toml and INTENT.md to start from."""

import asyncio
import os
import sys
from argparse import Namespace
from importlib.resources import files
from pathlib import Path

from tui.bridge import ErrorKind, SwarmError, inspect_repo, path_text, settings_template, shell_word, suggest_check
from tui.format.text import one_line

NAMES = ("swarm.toml", "INTENT.md")


def init(arguments: Namespace) -> int:
    """Writes both files or neither. Raises SwarmError if one exists already or cannot be written."""
    folder = Path(arguments.repo)
    if not folder.is_dir():
        raise SwarmError(ErrorKind.REPO, f"not a folder: {path_text(folder)}", "give the folder of a git repository")
    for name in NAMES:
        if os.path.lexists(folder / name):
            raise SwarmError(
                ErrorKind.USAGE,
                f"{path_text(folder / name)} already exists",
                "nothing was written; move the file away first",
            )
    if not (folder / ".git").exists():
        sys.stderr.write(
            f"note: {path_text(folder.absolute())} is not the top of a git repository, "
            "where swarm-tui reads these files\n"
        )
    check = _suggested(folder)
    written: list[Path] = []
    try:
        for name in NAMES:
            with (folder / name).open("xb") as stream:
                written.append(folder / name)
                stream.write(_content(name, check))
    except OSError as error:
        for file in written:
            file.unlink(missing_ok=True)
        raise SwarmError(
            ErrorKind.STATE,
            f"cannot write {path_text(folder / NAMES[len(written) - 1])}: {error.strerror}",
            "nothing was written; check the folder's permissions and the free disk space",
        ) from error
    sys.stdout.write(f"wrote {path_text(folder / 'swarm.toml')} and {path_text(folder / 'INTENT.md')}\n")
    if check:
        sys.stdout.write(f"check: {one_line(check)} (found in this project's files; to change it, edit swarm.toml)\n")
    repo = one_line(arguments.repo)
    sys.stdout.write(
        f"next: write what you want into INTENT.md, commit both files, then: swarm-tui {shell_word(repo)}\n"
    )
    return 0


def _suggested(folder: Path) -> str:
    """The check that the project's committed files suggest; empty if they suggest none, or nothing is committed."""
    try:
        return asyncio.run(_suggest(folder))
    except SwarmError:
        return ""


async def _suggest(folder: Path) -> str:
    return await suggest_check(await inspect_repo(folder))


def _content(name: str, check: str) -> bytes:
    """A file's text, with the check set where one was found."""
    if name == "swarm.toml":
        return settings_template({("repo", "check"): check} if check else {}).encode()
    return (files("tui") / "templates" / name).read_bytes()
