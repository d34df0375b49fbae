"""`swarm-tui init`: writes a commented swarm.toml and INTENT.md to start from."""

import asyncio
import json
import os
import re
import sys
from argparse import Namespace
from importlib.resources import files
from pathlib import Path

from tui.bridge import ErrorKind, SwarmError, inspect_repo, suggest_check

NAMES = ("swarm.toml", "INTENT.md")


def init(arguments: Namespace) -> int:
    """Both files or none. Raises SwarmError when one is there already or cannot be written."""
    folder = Path(arguments.repo)
    if not folder.is_dir():
        raise SwarmError(ErrorKind.REPO, f"not a folder: {folder}", "give the folder of a git repo")
    for name in NAMES:
        if os.path.lexists(folder / name):
            raise SwarmError(
                ErrorKind.USAGE, f"{folder / name} is there already", "nothing was written; move it away first"
            )
    if not (folder / ".git").exists():
        sys.stderr.write(f"note: {folder.absolute()} is not the top of a git repo; the swarm reads these files there\n")
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
            f"{folder / NAMES[len(written) - 1]}: {error.strerror}",
            "nothing was written; is the folder yours and the disk not full?",
        ) from error
    sys.stdout.write(f"wrote {folder / 'swarm.toml'} and {folder / 'INTENT.md'}\n")
    if check:
        sys.stdout.write(f"check: {check}, which this project's files point to; swarm.toml says so\n")
    sys.stdout.write(f"next: edit INTENT.md, commit both, then swarm-tui run {arguments.repo} --intent INTENT.md\n")
    return 0


def _suggested(folder: Path) -> str:
    """The check that the project's committed files point to; empty when none does, or nothing is committed."""
    try:
        return asyncio.run(_suggest(folder))
    except SwarmError:
        return ""


async def _suggest(folder: Path) -> str:
    return await suggest_check(await inspect_repo(folder))


def _content(name: str, check: str) -> bytes:
    """A template, with the check set where one was found."""
    text = (files("tui") / "templates" / name).read_text(encoding="utf-8")
    if name == "swarm.toml" and check:
        line = f"check = {json.dumps(check)}"
        told = f"{line:<32} # found in this project: what green means; empty: nothing is checked"
        text = re.sub(r"^# check = .*$", lambda _: told, text, flags=re.MULTILINE)
    return text.encode()
