"""Read-only checkouts of trunk commits, shared by all copies: bases, and thin layers of what changed since.

Only git that the engine owns writes here: no config, filter or hook of the person's or of an agent's is in reach.
"""

import asyncio
import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pygit2
from msgspec import Struct

from engine.errors import ErrorKind, SwarmError
from engine.repo.alternates import all_objects, write_alternates
from engine.repo.excludes import Excludes
from engine.repo.trees import differences
from engine.sandbox.removal import delete_tree
from engine.types import CommitId

MAX_DELTA_FILES = 400
MAX_DELTA_BYTES = 16 << 20
CONFIG = """[core]
\trepositoryformatversion = 0
\tbare = false
\tfilemode = true
\tcheckStat = minimal
\ttrustctime = false
\thooksPath = /dev/null
[user]
\tname = agent
\temail = agent@localhost
[commit]
\tgpgSign = false
[gc]
\tauto = 0
[advice]
\tdetachedHead = false
"""
HEAD = "ref: refs/heads/work\n"
RECEIVED = "The project as you received it"
PAST_S = 10
"""A base's files are dated back, so that git's index, which is younger, need not be checked against them."""


class Layer(Struct, frozen=True):
    """What a copy at `commit` stands on: folders, the lowest first."""

    commit: CommitId
    folders: tuple[Path, ...]


class Layers:
    """Makes and removes layers in `folder`, counting who uses them."""

    def __init__(self, folder: Path, trunk_git: Path, original: CommitId, excludes: Excludes) -> None:
        self._folder = folder
        self._trunk = trunk_git
        self._original = original
        self.excludes = excludes
        self._lock = asyncio.Lock()
        self._uses: dict[Path, int] = {}
        self._newest_base: CommitId | None = None
        self._newest: Layer | None = None
        self._deltas: dict[CommitId, Layer] = {}
        for name in ("bases", "deltas", "trash"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    async def use(self, commit: CommitId) -> Layer:
        """The layer of a trunk commit, made if need be. To be given back with `release`.

        Raises SwarmError (git).
        """
        async with self._lock:
            layer = self._ready(commit)
            if layer is None:
                layer = await asyncio.to_thread(self._make, commit)
                self._deltas[commit] = layer
            for folder in layer.folders:
                self._uses[folder] = self._uses.get(folder, 0) + 1
            self._newest = layer
            return layer

    def release(self, layer: Layer) -> None:
        """Layers that nobody uses any more and no new copy would start from go to the trash."""
        for folder in layer.folders:
            self._uses[folder] -= 1
        keep = set(self._newest.folders) if self._newest is not None else set()
        if self._newest_base is not None:
            keep.add(self._base_folder(self._newest_base))
        for folder, uses in list(self._uses.items()):
            if uses == 0 and folder not in keep:
                del self._uses[folder]
                self._deltas = {c: kept for c, kept in self._deltas.items() if folder not in kept.folders}
                self.discard(folder)

    def discard(self, folder: Path) -> None:
        """Out of the way at once; what is in the trash is deleted by `empty_trash`."""
        try:
            folder.rename(self._folder / "trash" / f"{folder.name}.{time.monotonic_ns()}")
        except FileNotFoundError:
            pass

    def sweep(self) -> None:
        """Discard layers of an earlier epoch: nobody counts their uses."""
        kept = set(self._uses)
        for name in ("bases", "deltas"):
            for folder in list((self._folder / name).iterdir()):
                if folder not in kept and not self._lock.locked():
                    self.discard(folder)

    def empty_trash(self) -> None:
        """Slow for big trees: for a thread."""
        for entry in list((self._folder / "trash").iterdir()):
            delete_tree(entry)

    def _base_folder(self, commit: CommitId) -> Path:
        return self._folder / "bases" / commit

    def _ready(self, commit: CommitId) -> Layer | None:
        return self._deltas.get(commit)

    def _make(self, commit: CommitId) -> Layer:
        try:
            repo = pygit2.Repository(str(self._trunk))
            received = self._received(repo, commit)
            base = self._newest_base
            if base is not None:
                delta = self._make_delta(repo, base, commit, received)
                if delta is not None:
                    return Layer(commit, (self._base_folder(base), delta))
            folder = self._make_base(commit, received)
            self._newest_base = commit
            return Layer(commit, (folder,))
        except (subprocess.CalledProcessError, pygit2.GitError, KeyError, ValueError) as error:
            said = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
            raise SwarmError(
                ErrorKind.GIT,
                f"trunk commit {commit[:12]} cannot be checked out: {_one_line(said)}",
                "check the run's trunk.git and the free disk space",
            ) from error

    def _received(self, repo: pygit2.Repository, commit: CommitId) -> str:
        """The commit that the agent's HEAD shows: this tree, on the commit that the run started from."""
        tree = repo[commit].peel(pygit2.Commit).tree_id
        who = pygit2.Signature("swarm", "swarm@localhost", repo[self._original].peel(pygit2.Commit).commit_time, 0)
        return str(repo.create_commit(None, who, who, RECEIVED, tree, [pygit2.Oid(hex=self._original)]))

    def _make_base(self, commit: CommitId, received: str) -> Path:
        folder = self._base_folder(commit)
        if folder.exists():
            self.discard(folder)
        making = folder.with_name(f"{commit}.making")
        if making.exists():
            self.discard(making)
        self._make_git(making, received)
        run_git(making, "read-tree", commit)
        run_git(making, "checkout-index", "--all", "--force")
        past = time.time() - PAST_S
        for where, folders, files in os.walk(making):
            if where == str(making):
                folders.remove(".git")
            for name in files:
                os.utime(os.path.join(where, name), (past, past), follow_symlinks=False)
        run_git(making, "update-index", "-q", "--refresh")
        making.rename(folder)
        return folder

    def _make_git(self, folder: Path, received: str) -> None:
        git = folder / ".git"
        (git / "objects" / "pack").mkdir(parents=True)
        (git / "refs" / "heads").mkdir(parents=True)
        (git / "refs" / "tags").mkdir()
        (git / "info").mkdir()
        (git / "info" / "exclude").write_bytes(self.excludes.text)
        write_alternates(git, all_objects(self._trunk / "objects"))
        (git / "config").write_text(CONFIG)
        (git / "HEAD").write_text(HEAD)
        (git / "refs" / "heads" / "work").write_text(f"{received}\n")

    def _make_delta(self, repo: pygit2.Repository, base: CommitId, commit: CommitId, received: str) -> Path | None:
        """None when so much changed that a new base is the better."""
        tree = repo[commit].peel(pygit2.Commit).tree
        written: list[bytes] = []
        size = 0
        gone: list[bytes] = []
        for path, entry in differences(repo[base].peel(pygit2.Commit).tree, tree):
            if entry is None:
                gone.append(os.fsencode(path))
            else:
                written.append(os.fsencode(path))
                if entry.filemode != pygit2.GIT_FILEMODE_COMMIT:
                    size += repo[entry.id].peel(pygit2.Blob).size
            if len(written) + len(gone) > MAX_DELTA_FILES or size > MAX_DELTA_BYTES:
                return None
        folder = self._folder / "deltas" / commit
        making = folder.with_name(f"{commit}.making")
        for stale in (folder, making):
            if stale.exists():
                self.discard(stale)
        (making / ".git" / "refs" / "heads").mkdir(parents=True)
        (making / ".git" / "refs" / "heads" / "work").write_text(f"{received}\n")
        shutil.copyfile(self._base_folder(base) / ".git" / "index", making / ".git" / "index")
        # A whole git folder for git to work with; only its index and its ref are kept.
        full = folder.with_name(f"{commit}.git")
        if full.exists():
            self.discard(full)
        self._make_git(full, received)
        git = full / ".git"
        index = {"GIT_INDEX_FILE": str(making / ".git" / "index")}
        run_git(making, "read-tree", "-m", commit, git=git, env=index)
        run_git(
            making, "checkout-index", "--force", "-u", "-z", "--stdin",
            git=git, env=index, given=b"".join(path + b"\0" for path in written),
        )  # fmt: skip
        delete_tree(full)
        for hidden in gone:
            _whiteout(making, hidden, tree)
        making.rename(folder)
        return folder


def run_git(
    folder: Path, *args: str, git: Path | None = None, env: dict[str, str] | None = None, given: bytes = b""
) -> bytes:
    """Engine-owned git over the work tree `folder`. Raises CalledProcessError."""
    command = ["git", f"--git-dir={git or folder / '.git'}", f"--work-tree={folder}", *args]
    return subprocess.run(
        command,
        input=given,
        capture_output=True,
        check=True,
        cwd=folder,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": "/nonexistent",
            "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_ATTR_NOSYSTEM": "1",
            **(env or {}),
        },
    ).stdout


def _whiteout(layer: Path, path: bytes, tree: pygit2.Tree) -> None:
    """Hide `path`, or the whole folder that went with it, in what lies below the layer."""
    parts = path.split(b"/")
    here: pygit2.Object = tree
    where = os.fsencode(layer)
    for part in parts:
        where = os.path.join(where, part)
        inside = _entry(here, part)
        if inside is None:
            if not os.path.lexists(where):
                os.mknod(where, stat.S_IFCHR, os.makedev(0, 0))
            return
        if not isinstance(inside, pygit2.Tree):
            return  # a file stands in the way of the old folder and hides it
        os.makedirs(where, exist_ok=True)
        here = inside


def _entry(tree: pygit2.Object, name: bytes) -> pygit2.Object | None:
    if not isinstance(tree, pygit2.Tree):
        return None
    return next((entry for entry in tree if entry.raw_name == name), None)


def _one_line(said: bytes | str | None) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said or ""
    return " ".join(text.split())[:300]
