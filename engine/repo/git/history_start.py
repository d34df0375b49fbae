"""Where the history in a repository starts when earlier commits are missing: git's file `shallow`, and grafts."""

from pathlib import Path

from engine.repo.git.regular_file import read_regular

_MAX_BYTES = 16 << 20


def read_shallow(git_dir: Path) -> bytes:
    """The commits, one a line, whose parents git does not look for; empty for a whole history."""
    return read_regular(git_dir / "shallow", _MAX_BYTES)


def first_commits(common_dir: Path) -> bytes:
    """`read_shallow`, and the commits from which a graft removes all parents, as in a repository made before `shallow`.

    Grafts that name other parents are left out: agents see those commits as they are stored.
    """
    lines = [line.split() for line in read_regular(common_dir / "info" / "grafts", _MAX_BYTES).split(b"\n")]
    grafted = [words[0] for words in lines if len(words) == 1 and not words[0].startswith(b"#")]
    return read_shallow(common_dir) + b"".join(commit + b"\n" for commit in grafted)
