"""Merges two commits in memory, as `git merge` would in a checkout of the first, with marker labels of our choice."""

import asyncio
import shutil
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from msgspec import Struct, structs

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.types import CommitId
from engine.repo.git.git import Git
from engine.repo.git.objects import NewObjects, ObjectId, ObjectStore
from engine.repo.git.pack_writer import pack_body, write_pack
from engine.repo.landing.group_merge import WHO, Answer, Question

OURS = "trunk"
THEIRS = "yours"
"""The names that conflict markers and conflict messages carry."""

_REASONS = 20
_REGULAR = (b"100644", b"100755")


class Merge(Struct, frozen=True):
    """A merge: its tree, and the conflicted paths (none when it is clean) with git's words about them.

    `refused` says why there is no merge at all; then `tree` is empty.
    """

    tree: str
    conflicts: tuple[str, ...] = ()
    reason: str = ""
    refused: str = ""


class Merger:
    """Runs merge-tree in a private git folder whose only branches are `trunk` and `yours`.

    merge-tree labels markers, and names files that stand in each other's way, by the names it is given: with ids
    they would leak into agents' files. The folder's work tree holds nothing but the tip's .gitattributes files,
    because a merge in a bare repo does not see them and would decide otherwise than a person's `git merge`.
    One merge at a time: the caller serialises.
    """

    def __init__(self, trunk_git: Path, object_format: str) -> None:
        folder = trunk_git / "merging"
        self._folder = folder
        self._attributes = folder / "attributes"
        self._objects = trunk_git / "objects"
        self._shallow = trunk_git / "shallow"
        self._object_format = object_format
        self._attributes_of: CommitId | None = None
        self._contents = folder / "objects"
        self._git = Git(
            cwd=self._attributes, git_dir=folder, work_tree=self._attributes, objects=self._objects, timeout_s=120.0
        )
        self._contents_git = structs.replace(
            self._git, objects=self._contents, config=("core.fsync=none", "core.looseCompression=0")
        )

    def prepare(self) -> None:
        """Make the private folder anew; whatever a killed process left in it goes."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._attributes_of = None
        (self._folder / "refs" / "heads").mkdir(parents=True)
        self._attributes.mkdir()
        (self._folder / "HEAD").write_text(f"ref: refs/heads/{OURS}\n", encoding="utf-8")
        # A new file follows the folder that trunk renamed: git's default is to stop and ask, which costs a
        # model's turn for what nearly always is the wanted answer.
        (self._folder / "config").write_text(
            "[core]\n\trepositoryformatversion = 1\n\tbare = false\n\tfsync = committed,reference\n"
            f"[extensions]\n\tobjectFormat = {self._object_format}\n"
            "[merge]\n\tdirectoryRenames = true\n\tconflictStyle = merge\n",
            encoding="utf-8",
        )
        if self._shallow.exists():
            shutil.copyfile(self._shallow, self._folder / "shallow")

    async def merge(self, ours: CommitId, theirs: CommitId) -> Merge:
        """Merge two commits. Raises SwarmError (git) when git fails for another reason than the commits."""
        if self._attributes_of != ours:
            await self._write_attributes(ours)
        for name, commit in ((OURS, ours), (THEIRS, theirs)):
            (self._folder / "refs" / "heads" / name).write_text(f"{commit}\n", encoding="ascii")
        result = await self._git.run("merge-tree", "--write-tree", "-z", OURS, THEIRS, accept=range(256))
        if "refusing to merge unrelated histories" in result.err:
            return Merge("", refused="the change does not descend from a commit of trunk")
        if result.exit not in (0, 1) or (result.exit == 1 and not result.out):
            if "not something we can merge" in result.err:
                return Merge("", refused=f"there is no commit {theirs}")
            raise SwarmError(ErrorKind.GIT, f"git merge-tree: {result.error_line}", "check the repo: git fsck")
        return _parse(result.out, clean=result.exit == 0)

    async def merge_contents(
        self, tip: CommitId, questions: Collection[Question], new: NewObjects
    ) -> dict[bytes, Answer]:
        """Merge files that all three sides have, by the attributes of `tip`; by path, what git makes of each.

        One process for all of them: it sees three commits with just these files. `new` has their contents.
        Raises SwarmError (git).
        """
        if self._attributes_of != tip:
            await self._write_attributes(tip)
        side = NewObjects(ObjectStore(self._folder))
        commits = await asyncio.to_thread(self._pose, questions, new, side)
        for name, commit in zip((OURS, THEIRS), commits, strict=True):
            (self._folder / "refs" / "heads" / name).write_text(f"{commit.hex()}\n", encoding="ascii")
        result = await self._contents_git.run(
            "merge-tree", "--write-tree", "--no-messages", "-z", OURS, THEIRS, accept=(0, 1)
        )
        tree, *conflicts = result.out.split(b"\0")
        if not tree:
            raise SwarmError(ErrorKind.GIT, f"git merge-tree: {result.error_line}", "check the repo: git fsck")
        marked = {entry.partition(b"\t")[2] for entry in conflicts}
        return await asyncio.to_thread(_answers, questions, side, bytes.fromhex(tree.decode("ascii")), marked)

    def _pose(self, questions: Collection[Question], new: NewObjects, side: NewObjects) -> tuple[ObjectId, ObjectId]:
        """Write the two commits that are to be merged, with their base, where nothing else is."""
        shutil.rmtree(self._contents, ignore_errors=True)
        (self._contents / "pack").mkdir(parents=True)
        trees = []
        for which in ("old", "ours", "theirs"):
            files = {question.path: getattr(question, which) for question in questions}
            side.unwritten.update((oid, (b"blob", new.read(oid))) for oid in files.values())
            trees.append(side.edit_tree(side.empty_tree, {path: (b"100644", oid) for path, oid in files.items()}))
        base = side.commit(trees[0], [], WHO, 0, b"old")
        ours, theirs = (side.commit(tree, [base.hex()], WHO, 0, b"side") for tree in trees[1:])
        write_pack(self._contents / "pack", *pack_body(side), side.store.new_hash, durable=False)
        return ours, theirs

    def moved(self, old: CommitId, new: CommitId, paths: tuple[str, ...]) -> None:
        """Tell that the tip went from `old` to `new`, changing `paths`: spares reading the attributes again."""
        if self._attributes_of == old and not any(PurePosixPath(path).name == ".gitattributes" for path in paths):
            self._attributes_of = new

    async def _write_attributes(self, commit: CommitId) -> None:
        """Make the work tree hold the .gitattributes files of a commit, and nothing else."""
        shutil.rmtree(self._attributes, ignore_errors=True)
        self._attributes.mkdir(exist_ok=True)
        listing = await self._git.run("ls-tree", "-r", "-z", "--full-tree", commit)
        for entry in listing.out.split(b"\0"):
            if not entry.endswith(b".gitattributes"):
                continue
            about, _, name = entry.partition(b"\t")
            mode, _, blob = about.split(b" ")
            path = PurePosixPath(name.decode("utf-8", "surrogateescape"))
            if path.name != ".gitattributes" or mode not in _REGULAR or path.is_absolute() or ".." in path.parts:
                continue
            content = await self._git.run("cat-file", "blob", blob.decode("ascii"))
            target = self._attributes / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.out)
        self._attributes_of = commit


def _answers(
    questions: Collection[Question], side: NewObjects, tree: ObjectId, marked: set[bytes]
) -> dict[bytes, Answer]:
    found = {}
    for question in questions:
        entry = side.entry(tree, question.path)
        if entry is None:
            raise SwarmError(ErrorKind.GIT, "git merge-tree left out a file", "check the run's folder")
        found[question.path] = Answer(question.path not in marked, side.read(entry[1]))
    return found


def _parse(output: bytes, *, clean: bool) -> Merge:
    """Read what `merge-tree -z` prints: tree, conflicted entries, messages."""
    fields = output.split(b"\0")
    tree = fields[0].decode("ascii")
    if clean:
        return Merge(tree)
    paths: dict[str, None] = {}
    at = 1
    while at < len(fields) and fields[at]:
        paths[fields[at].partition(b"\t")[2].decode("utf-8", "replace")] = None
        at += 1
    at += 1
    reasons: list[str] = []
    blamed: dict[str, None] = {}
    while at < len(fields) and fields[at].isdigit():
        count = int(fields[at])
        names = fields[at + 1 : at + 1 + count]
        kind, text = [*fields[at + 1 + count : at + 3 + count], b"", b""][:2]
        at += 3 + count
        if kind.startswith(b"CONFLICT") or text.startswith(b"CONFLICT"):
            reasons.append(text.decode("utf-8", "replace").strip())
            blamed.update((name.decode("utf-8", "replace"), None) for name in names)
    # Some conflicts (a folder that was split by renames) leave no conflicted entry, only words.
    conflicts = tuple(sorted(paths or blamed)) or ("(unknown)",)
    more = [f"and {len(reasons) - _REASONS} more"] if len(reasons) > _REASONS else []
    return Merge(tree, conflicts, "\n".join(reasons[:_REASONS] + more))
