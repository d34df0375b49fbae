"""Measures a copy's disk use, whatever its agent does to hide it."""

import ctypes
import os
from pathlib import Path

import pytest

from engine.sandbox.disk import disk_used

PR_SET_DUMPABLE = 4
NOBODY = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_an_unreadable_folder_hides_nothing(tmp_path: Path) -> None:
    inner = tmp_path / "hidden" / "deeper"
    inner.mkdir(parents=True)
    (inner / "big").write_bytes(b"x" * (1 << 20))
    for each in (inner.parent, inner):
        each.chmod(0)
        os.chown(each, NOBODY, NOBODY)
    tmp_path.chmod(0o755)
    here = os.open(tmp_path, os.O_RDONLY)
    child = os.fork()
    if child == 0:
        try:
            os.fchdir(here)
            os.setresuid(NOBODY, NOBODY, NOBODY)  # as an ordinary user: root can read everything
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
            os._exit(0 if disk_used(Path(".")) > 1 << 20 else 1)
        finally:
            os._exit(2)
    os.close(here)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
