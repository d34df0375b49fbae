"""Pending changes as an agent's workspace would build them."""

from collections.abc import Mapping

from engine.domain.commit_message import commit_message
from engine.domain.types import CommitId
from engine.repo.git.trees import FILE, Content
from engine.repo.landing.trunk import GitTrunk

FILES = {"a.txt": b"1\n2\n3\n4\n5\n6\n7\n8\n9\n", "d/x.txt": b"x\n", "d/y.txt": b"y\n", "z": b"z\n"}


def message(task: str) -> str:
    return commit_message(f"do {task}", "", {"Swarm-Task": task})


def build_change(trunk: GitTrunk, files: Mapping[str, bytes | Content | None]) -> CommitId:
    """A change on the run's base, as a workspace builds it."""
    contents = {path: Content(FILE, data) if isinstance(data, bytes) else data for path, data in files.items()}
    return trunk.pending.build(trunk.base, trunk.base, contents, "a change")
