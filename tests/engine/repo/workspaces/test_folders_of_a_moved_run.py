"""Nothing is created where a run's folder was: a part of it there would hide that the folder is gone."""

from pathlib import Path

import pygit2
import pytest

from engine.domain.errors import SwarmError
from engine.domain.types import CommitId
from engine.repo.git.conversion import Conversion
from engine.repo.workspaces.checkout import write_delta
from engine.repo.workspaces.copy_methods import make_copy
from engine.repo.workspaces.layers import LayerStack
from engine.repo.workspaces.trash import Trash
from engine.repo.workspaces.worker_history import WorkerHistory
from engine.sandbox.guarantees import CopyMethod
from tests.engine.repo.small_repo import SmallRepo
from tests.git import make_trunk


def test_no_part_of_a_moved_run_is_created_again(tmp_path: Path) -> None:
    source = SmallRepo(tmp_path)
    source.write("a.txt", "a\n")
    base = source.commit()
    run = tmp_path / "run"
    run.mkdir()
    make_trunk(source.source, run / "trunk.git")
    trash, history = Trash(run / "trash"), WorkerHistory(run / "trunk.git", base)
    repository = pygit2.Repository(str(run / "trunk.git"))
    run.rename(tmp_path / "elsewhere")

    with pytest.raises(SwarmError):
        make_copy(CopyMethod.OVERLAY, run / "copies" / "a", LayerStack(base, ()))
    with pytest.raises(FileNotFoundError):
        write_delta(repository, run / "layers" / "1", base, {}, Conversion())
    with pytest.raises(FileNotFoundError):
        trash.discard(tmp_path / "source" / "a.txt")
    with pytest.raises(FileNotFoundError):
        history.head(CommitId("0" * 40))
    assert not run.exists()
