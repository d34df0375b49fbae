"""Real runs for tests: a git repo with given files, and a run started as a person's command does."""

import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from engine import wiring
from engine.domain.settings import ModelsSettings, RepoSettings, Settings
from engine.repo.source import inspect_repo
from engine.wiring import LiveRun
from tests.git import IDENTITY


def git(repo: Path, *words: str) -> str:
    """Run git in a test's repo. Returns its output."""
    done = subprocess.run(["git", *IDENTITY, *words], cwd=repo, check=True, capture_output=True, text=True)
    return done.stdout


def make_repo(folder: Path, files: Mapping[str, str]) -> Path:
    """A repo with one commit that has these files."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=start")
    return folder


def settings(model: str, check: str = "", **more: object) -> Settings:
    """Settings with one model for all roles."""
    return Settings(models=ModelsSettings(model, model, model, model), repo=RepoSettings(check=check), **more)  # type: ignore[arg-type]


async def started(repo: Path, state: Path, wanted: Settings, environ: Mapping[str, str] | None = None) -> LiveRun:
    """A new run on the repo, ready to run."""
    source = await inspect_repo(repo)
    return await wiring.start_run(
        source, wanted, intent="Make it so.", state_root=state, environ={**os.environ, **(environ or {})}
    )


def fingerprint(repo: Path) -> dict[str, str]:
    """Everything in a repo that a run must not change: all files except objects and the swarm's own refs."""
    prints = {}
    for path in sorted(repo.rglob("*")):
        name = path.relative_to(repo).as_posix()
        if name.startswith((".git/objects", ".git/refs/heads/swarm")):
            continue
        stat = path.lstat()
        what = f"{stat.st_mode:o} {stat.st_mtime_ns if not path.is_dir() else ''}"
        if path.is_symlink():
            what += f" -> {path.readlink()}"
        elif path.is_file():
            what += " " + hashlib.sha256(path.read_bytes()).hexdigest()
        prints[name] = what
    return prints
