"""A user's repository on disk for tests, driven by real git."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    **{
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "P"), ("EMAIL", "p@x"))
    },
}

Content = bytes | str | None
"""Bytes of a regular file, a string as the target of a symlink, None for no file."""


class UserRepo:
    """A git repository with a work tree. Every call runs a git process."""

    def __init__(self, root: Path, env: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.env = {**ENV, **(env or {})}

    @classmethod
    def make(cls, root: Path, files: Mapping[str, Content], *options: str) -> "UserRepo":
        root.mkdir(parents=True)
        repo = cls(root)
        repo.git("init", "-q", "-b", "main", *options)
        repo.git("config", "maintenance.auto", "false")
        if files:
            repo.commit(files, "base")
        return repo

    def git(self, *args: str, check: bool = True) -> str:
        done = subprocess.run(["git", *args], cwd=self.root, env=self.env, capture_output=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"git {args}: {done.stderr.decode()}{done.stdout.decode()}")
        return done.stdout.decode("utf-8", "replace").rstrip("\n")

    def status(self, *args: str) -> int:
        return subprocess.run(["git", *args], cwd=self.root, env=self.env, capture_output=True, check=False).returncode

    def write(self, files: Mapping[str, Content], executable: frozenset[str] = frozenset()) -> None:
        for name, content in files.items():
            path = self.root / name
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.is_dir():
                shutil.rmtree(path)
            if content is None:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.symlink_to(content)
            else:
                path.write_bytes(content)
                path.chmod(0o755 if name in executable else 0o644)

    def commit(self, files: Mapping[str, Content], message: str = "change") -> str:
        self.write(files)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def change(self, parent: str, files: Mapping[str, Content], message: str = "change") -> str:
        """Make a commit on `parent` that no branch points to; the work tree returns to its branch afterwards."""
        before = self.git("symbolic-ref", "-q", "--short", "HEAD", check=False) or self.git("rev-parse", "HEAD")
        self.git("checkout", "-q", "--detach", parent)
        commit = self.commit(files, message)
        self.git("checkout", "-q", before)
        return commit

    def fingerprint(self, run: str) -> str:
        """A hash over every file of the repository except objects and the run's own refs."""
        digest = hashlib.sha256()
        ours = self.root / ".git" / "refs" / "heads" / "swarm"
        for folder, folders, files in os.walk(self.root):
            folders.sort()
            here = Path(folder)
            if here == self.root / ".git":
                folders.remove("objects")
            folders[:] = [name for name in folders if here / name != ours]
            digest.update(f"{here.relative_to(self.root)}/\0{here.lstat().st_mode}\0".encode())
            for name in sorted(files):
                path = here / name
                content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
                digest.update(f"{name}\0{path.lstat().st_mode}\0{path.lstat().st_mtime_ns}\0".encode() + content)
        return digest.hexdigest()


def trunk_reading_from(repo: UserRepo, trunk_git: Path) -> UserRepo:
    """Let a trunk read, as unlanded changes, the commits that tests make in the user's repository.

    Returns git that reads all objects of the trunk and writes unlanded ones.
    """
    with (trunk_git / "unlanded" / "info" / "alternates").open("a") as file:
        file.write(_quoted(repo.git("rev-parse", "--path-format=absolute", "--git-path", "objects")) + "\n")
    return trunk_with_unlanded(trunk_git)


def trunk_with_unlanded(trunk_git: Path) -> UserRepo:
    """Git in a trunk that also sees what has not landed."""
    return UserRepo(trunk_git, {"GIT_OBJECT_DIRECTORY": str(trunk_git / "unlanded")})


def _quoted(path: str) -> str:
    """A path as a line of `info/alternates`."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
