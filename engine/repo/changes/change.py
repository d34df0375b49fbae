"""A finished change as the landing takes it, and a commit message as git stores it."""

from msgspec import Struct

from engine.domain.types import CommitId
from engine.repo.git.objects import NewObjects, ObjectId


class Change(Struct, frozen=True):
    """A finished change: a commit with one parent, `base`, and its tree. `objects` hold what is not on disk yet."""

    commit: CommitId
    base: CommitId
    base_tree: ObjectId
    tree: ObjectId
    objects: NewObjects | None = None


def message_bytes(message: str) -> bytes:
    return message.replace("\0", " ").encode("utf-8", "replace") or b"\n"
