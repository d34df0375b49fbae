"""Runs git for the tests, with an identity of its own: a commit must not need the one of whoever runs them."""

import subprocess
from pathlib import Path

IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@localhost")


def git(where: Path, *args: str, check: bool = True) -> str:
    """Run git in a folder; its output without the blanks around it."""
    command = ["git", *IDENTITY, *args]
    return subprocess.run(command, cwd=where, check=check, capture_output=True, text=True).stdout.strip()
