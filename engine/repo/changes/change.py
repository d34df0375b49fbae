"""A finished change that can land, and commit messages as git stores them."""

from msgspec import Struct

from engine.domain.os_text import utf8_text
from engine.domain.types import CommitId
from engine.repo.git.objects import Differences, NewObjects, ObjectId


class Change(Struct, frozen=True):
    """A commit with one parent, `base`, and its tree. `objects` holds its objects that are not on disk yet.

    `known_differences` is what differs between the two trees, if that is known without comparing them. `lines` are the
    counts of added and removed lines, if they have been counted.
    """

    commit: CommitId
    base: CommitId
    base_tree: ObjectId
    tree: ObjectId
    objects: NewObjects | None = None
    known_differences: Differences | None = None
    lines: tuple[int, int] | None = None

    def differences(self, objects: NewObjects) -> Differences:
        """The differences from the base's tree to its own. `objects` can read both."""
        known = self.known_differences
        return objects.differences(self.base_tree, self.tree) if known is None else known


def message_bytes(message: str) -> bytes:
    return utf8_text(message.replace("\0", " ")).encode() or b"\n"
