"""A real library that others wrote, fetched as its source distribution and put under git. Nothing of it is kept."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.engine.real_runs import git

NAME, VERSION = "more-itertools", "9.1.0"
SUITE = "python3 -m unittest -q"
"""The library's own tests; they need nothing but Python."""


def fetch(folder: Path) -> Path:
    """The unpacked sources. Skips the test when they cannot be had."""
    asked = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--no-binary", NAME, "--dest", str(folder), f"{NAME}=={VERSION}"),
    ]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=90, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"the sources of {NAME} {VERSION} did not arrive in time")
    archives = list(folder.glob("*.tar.gz"))
    if done.returncode or len(archives) != 1:
        reason = (done.stderr.strip().splitlines() or ["no reason told"])[-1]
        pytest.skip(f"the sources of {NAME} {VERSION} cannot be had from the package index: {reason}")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, filter="data")
    [unpacked] = [each for each in folder.iterdir() if each.is_dir()]
    return unpacked


def under_git(folder: Path) -> Path:
    """The folder as a repo with one commit."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", f"--message={NAME} {VERSION}")
    return folder
