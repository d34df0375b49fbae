"""Temporary git folders with the objects of a user's repository, and only configuration that the engine wrote.

The configuration of a repository can make git run programs: hooks, filters, monitors, and whatever the next version of
git adds. So git gets one of these folders for all that reads objects or files, or moves a ref.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.repo.git.alternates import init_borrower
from engine.repo.git.git import Git

_REFS = ("packed-refs", "refs", "reftable")
"""What holds the refs of a repository, in whichever format."""
_CUTS = ("shallow", "info/grafts")
"""What says where its history starts."""


@contextmanager
def own_git_dir(common_dir: Path, object_format: str, head: str = "") -> Iterator[Git]:
    """Git in a temporary git folder with the objects of `common_dir`. Its HEAD is the commit `head`, if given."""
    with tempfile.TemporaryDirectory(prefix="swarm-tui-") as name:
        own = Path(name)
        init_borrower(own, [])
        _configure(own, f"objectFormat = {object_format}")
        if head:
            (own / "HEAD").write_text(f"{head}\n")
        yield Git(own, git_dir=own, objects=common_dir / "objects")


def link_refs(own: Path, common_dir: Path, object_format: str, ref_storage: str) -> None:
    """Make a folder of `own_git_dir` have the refs and the history of `common_dir`, but not their reflogs."""
    (own / "refs").rmdir()
    (own / "info").mkdir()
    for name in (*_REFS, *_CUTS):
        (own / name).symlink_to(common_dir / name)
    if ref_storage == "reftable":
        _configure(own, f"objectFormat = {object_format}\n\trefStorage = reftable")


def _configure(own: Path, extensions: str) -> None:
    (own / "config").write_text(f"[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\t{extensions}\n")
