"""FileChanges as an agent's copy would offer them to trunk."""

from collections.abc import Mapping

from engine.domain.commit_message import commit_message
from engine.domain.types import CommitId
from engine.repo.git.trees import FILE, Content
from engine.repo.landing.trunk import GitTrunk

FILES = {"a.txt": b"1\n2\n3\n4\n5\n6\n7\n8\n9\n", "d/x.txt": b"x\n", "d/y.txt": b"y\n", "z": b"z\n"}


def message(task: str) -> str:
    return commit_message(f"do {task}", "", {"Swarm-Task": task})


def offer(trunk: GitTrunk, files: Mapping[str, bytes | Content | None]) -> CommitId:
    """A change of the run's base, as a copy makes it."""
    contents = {path: Content(FILE, data) if isinstance(data, bytes) else data for path, data in files.items()}
    return trunk.offers.make(trunk.base, trunk.base, contents, "a change")
