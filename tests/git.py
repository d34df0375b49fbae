"""Runs git for the tests, with an identity of its own: a commit must not need the one of whoever runs them."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from engine.repo.landing.trunk_objects import make_unlanded

IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@localhost")


def git(where: Path, *args: str, check: bool = True, env: Mapping[str, str] | None = None) -> str:
    """Run git in a folder; its output without the blanks around it."""
    command = ["git", *IDENTITY, *args]
    return subprocess.run(
        command, cwd=where, check=check, capture_output=True, text=True, env={**os.environ, **(env or {})}
    ).stdout.strip()


def make_trunk(source: Path, trunk: Path) -> None:
    """Make the repository of a trunk, with all objects of `source`, for tests that land nothing."""
    git(source, "clone", "-q", "--bare", str(source), str(trunk))
    git(trunk, "config", "swarm.common", str(source / ".git"))
    make_unlanded(trunk)


def git_with_unlanded(trunk: Path, *args: str) -> str:
    """Run git in a trunk's repository so that it also sees what has not landed."""
    return git(trunk, *args, env={"GIT_OBJECT_DIRECTORY": str(trunk / "unlanded")})


def copy_commits(source: Path, trunk: Path) -> None:
    """Give a trunk the commits of `source` that it lacks."""
    git(trunk, "fetch", "-q", str(source), "+refs/heads/*:refs/heads/*")
