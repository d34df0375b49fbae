"""A finished change that can land, and commit messages as git stores them."""

from msgspec import Struct

from engine.domain.os_text import utf8_text
from engine.domain.types import CommitId
from engine.repo.git.objects import NewObjects, ObjectId


class Change(Struct, frozen=True):
    """A commit with one parent, `base`, and its tree. `objects` holds its objects that are not on disk yet."""

    commit: CommitId
    base: CommitId
    base_tree: ObjectId
    tree: ObjectId
    objects: NewObjects | None = None


def message_bytes(message: str) -> bytes:
    return utf8_text(message.replace("\0", " ")).encode() or b"\n"
