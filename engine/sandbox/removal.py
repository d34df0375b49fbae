"""Deletes what sandboxes leave: trees whose folders' modes may forbid it, an overlay's own work folder for one."""

import os
import shutil
from pathlib import Path


def delete_tree(path: Path) -> None:
    """Links are not followed; what cannot be deleted stays."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    _open_up(str(path))
    for where, folders, _ in os.walk(path):
        for name in folders:
            _open_up(os.path.join(where, name))  # before the walk goes into it
    shutil.rmtree(path, ignore_errors=True)


def _open_up(folder: str) -> None:
    try:
        if not os.path.islink(folder):
            os.chmod(folder, 0o700)
    except OSError:
        pass
