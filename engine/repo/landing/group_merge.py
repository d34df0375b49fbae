"""Lands many changes on one tip, in memory: each its own commit, merged path by path where that is git's verdict.

What bears on other paths (renames, folders that went away, links, submodules) is left to git; so is the merge of a
file's contents, for all changes of a group at once.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from msgspec import Struct

from engine.domain.collisions import LARGE
from engine.domain.types import CommitId, LandingState
from engine.ports.protocols import LandResult
from engine.repo.changes.change import Change, message_bytes
from engine.repo.git.objects import FILE_MODES, SUBMODULE_MODE, TREE_MODE, NewObjects, ObjectId, ObjectStore, TreeEntry
from engine.repo.landing import line_merge

WHO = "swarm-tui <swarm@localhost>"
CONFLICTS = "conflicts of a merge, with markers\n"

_ATTRIBUTES = b".gitattributes"


@dataclass(eq=False)
class Offer:
    """A change that waits to be landed with a message, and who is told. `kept` is the change where it is in memory."""

    commit: CommitId
    kept: Change | None
    message: str
    told: asyncio.Future[LandResult]


class Question(Struct, frozen=True):
    """Three contents of one file that are to be merged: as it was, on trunk, and in a change."""

    path: bytes
    old: ObjectId
    ours: ObjectId
    theirs: ObjectId


class Answer(Struct, frozen=True):
    """What git made of a question; with conflict markers when not clean."""

    clean: bool
    data: bytes


class Group:
    """One group on its way. Landings that `decide` lets through move its `tip`; nothing is on disk until pack_body.

    `knows` tells whether a commit is on trunk, `on_disk` what a commit changes (None: it cannot be read). `at` is the
    time of the commits, in seconds since 1970.
    """

    def __init__(
        self,
        store: ObjectStore,
        tip: CommitId,
        root: ObjectId,
        knows: Callable[[CommitId], bool],
        on_disk: Callable[[CommitId], Change | None],
        at: int,
    ) -> None:
        self.tip = tip
        self.new = NewObjects(store)
        self.results: list[tuple[Offer, LandResult]] = []
        self.questions: dict[bytes, Question] = {}
        self._root = root
        self._knows = knows
        self._on_disk = on_disk
        self._at = at
        self._answers: dict[Question, tuple[bool, ObjectId]] = {}
        self._attributes_moved = False

    @property
    def root(self) -> ObjectId:
        """The tree of the tip."""
        return self._root

    def decide(self, offers: list[Offer]) -> tuple[list[Offer], list[Offer]]:
        """Give each offer its result. Returns those that wait for answers to `questions`, and those git must merge."""
        self.questions = {}
        waiting: list[Offer] = []
        left: list[Offer] = []
        for offer in offers:
            merge = self._merge(offer)
            if merge is None or (merge.questions and self._attributes_moved):
                left.append(offer)
            elif open_ones := [question for question in merge.questions if not self._knows_answer(question)]:
                waiting.append(offer)
                for question in open_ones:
                    self.questions.setdefault(question.path, question)
            else:
                self.results.append((offer, self._finish(offer, merge)))
        return waiting, left

    def _merge(self, offer: Offer) -> "_Merge | None":
        change = offer.kept or self._on_disk(offer.commit)
        if change is None or not self._knows(change.base):
            return None
        if change.objects is not None:
            self.new.borrowed.update(change.objects.unwritten)
        merge = _Merge(self.new, change, self._root)
        try:
            return merge if merge.by_path() else None
        except KeyError:
            return None  # git will say which object is missing, to this one alone

    def _knows_answer(self, question: Question) -> bool:
        if question in self._answers:
            return True
        try:
            old, ours, theirs = (self.new.read(oid) for oid in (question.old, question.ours, question.theirs))
            data = None if self._have_a_say(question.path) else line_merge.merged(old, ours, theirs)
        except KeyError:
            return False  # git will say which object is missing
        if data is None:
            return False
        self._keep(question, Answer(True, data))
        return True

    def _have_a_say(self, path: bytes) -> bool:
        """Whether the tip's `.gitattributes` may say how a file's contents are merged."""
        for folder in (b"", *(above + b"/" for above in _above(path))):
            found = self.new.entry(self._root, folder + _ATTRIBUTES)
            if (
                found is not None
                and found[0] in FILE_MODES
                and any(word in self.new.read(found[1]) for word in line_merge.TELLING)
            ):
                return True
        return False

    def answer(self, answers: dict[bytes, Answer]) -> None:
        """Take what git made of the questions, by path."""
        for path, answer in answers.items():
            self._keep(self.questions[path], answer)

    def _keep(self, question: Question, answer: Answer) -> None:
        oid = self.new.id_of(b"blob", answer.data)
        self.new.borrowed[oid] = (b"blob", answer.data)
        self._answers[question] = (answer.clean, oid)

    def _finish(self, offer: Offer, merge: "_Merge") -> LandResult:
        edits = dict(merge.edits)
        conflicts = []
        for question, mode in merge.questions.items():
            clean, oid = self._answers[question]
            if not clean:
                conflicts.append(question.path)
            if (mode, oid) != self.new.entry(self._root, question.path):
                edits[question.path] = (mode, oid)
        if not conflicts and not edits:
            return LandResult(LandingState.EMPTY, self.tip)
        tree = self.new.edit_tree(self._root, edits)
        for entry in edits.values():
            if entry is not None:
                self.new.adopt(entry[1])
        if conflicts:
            merged = self.new.commit(tree, [self.tip], WHO, self._at, CONFLICTS.encode())
            named = tuple(sorted(_shown(path) for path in conflicts))
            reason = "\n".join(f"CONFLICT (content): Merge conflict in {path}" for path in named)
            return LandResult(
                LandingState.CONFLICTED, self.tip, conflicts=named, merged=CommitId(merged.hex()), reason=reason
            )
        commit = CommitId(self.new.commit(tree, [self.tip], WHO, self._at, message_bytes(offer.message)).hex())
        paths = tuple(sorted(_shown(path) for path in edits))
        large = large_files(self.new, edits)
        result = LandResult(LandingState.MERGED, self.tip, commit=commit, paths=paths, large=large)
        self._attributes_moved |= any(path.rpartition(b"/")[2] == _ATTRIBUTES for path in edits)
        self.tip, self._root = commit, tree
        return result


class _Merge:
    """One change merged onto a tree, path by path.

    A merge finds renames only among files that one side deleted and the other changed or deleted, or in folders
    that one side removed and the other added to (git's merge-ort: relevant renames). Without those, paths are
    decided one by one.
    """

    def __init__(self, new: NewObjects, change: Change, root: ObjectId) -> None:
        self._new = new
        self._change = change
        self._root = root
        self.edits: dict[bytes, TreeEntry | None] = {}
        self.questions: dict[Question, bytes] = {}
        """With the mode that the merged file will have."""

    def by_path(self) -> bool:
        """Find `edits` and `questions`; False when only git can tell."""
        changed = self._new.differences(self._change.base_tree, self._change.tree)
        return all(self._path(path, was, theirs) for path, (was, theirs) in changed.items())

    def _path(self, path: bytes, was: TreeEntry | None, theirs: TreeEntry | None) -> bool:
        ours = self._new.entry(self._root, path)
        if any(entry is not None and entry[0] == SUBMODULE_MODE for entry in (was, theirs, ours)):
            return False
        if ours == was:
            self.edits[path] = theirs
            return (was is not None or self._has_room(path)) and (theirs is not None or self._may_go(path))
        if ours is None or was is None or theirs is None:
            return ours is not None and ours == theirs
        if any(entry[0] not in FILE_MODES for entry in (was, theirs, ours)):
            return ours == theirs
        mode = theirs[0] if ours[0] == was[0] else ours[0]
        if len({was[1], ours[1], theirs[1]}) == 3:
            self.questions[Question(path, was[1], ours[1], theirs[1])] = mode
        else:
            merged = (mode, theirs[1] if ours[1] == was[1] else ours[1])
            if merged != ours:
                self.edits[path] = merged
        return True

    def _has_room(self, path: bytes) -> bool:
        """Whether a new file's folders are there, or were not there before either: else they may have been renamed."""
        for folder in _above(path):
            found = self._new.entry(self._root, folder)
            if found is None:
                return self._new.entry(self._change.base_tree, folder) is None
            if found[0] != TREE_MODE:
                return False
        return True

    def _may_go(self, path: bytes) -> bool:
        """Whether the folder that goes with a file, if one does, is on trunk as the change knew it."""
        for folder in _above(path):
            left = self._new.entry(self._change.tree, folder)
            if left is None or left[0] != TREE_MODE:
                return self._new.entry(self._root, folder) == self._new.entry(self._change.base_tree, folder)
        return True


def large_files(new: NewObjects, edits: Mapping[bytes, TreeEntry | None]) -> dict[str, int]:
    """The sizes of the files among those that are large."""
    kept = [(path, entry[1]) for path, entry in edits.items() if entry is not None and entry[0] in FILE_MODES]
    return {_shown(path): size for path, oid in kept if (size := len(new.read(oid))) >= LARGE}


def _above(path: bytes) -> list[bytes]:
    """The folders that a path is in, the outermost first."""
    parts = path.split(b"/")
    return [b"/".join(parts[:count]) for count in range(1, len(parts))]


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "replace")
