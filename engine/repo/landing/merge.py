"""Merges commits with git's merge-tree: as `git merge` would in a checkout of the first, but with our marker labels."""

import asyncio
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

from msgspec import Struct, structs

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.os_text import output_text, path_text
from engine.domain.types import CommitId
from engine.repo.git.conversion import copy_local_attributes
from engine.repo.git.git import Git
from engine.repo.git.objects import FILE_MODES, UNLANDED, NewObjects, ObjectId, ObjectStore
from engine.repo.git.pack_writer import pack_body, write_pack
from engine.repo.landing.group_merge import COMMITTER, FileMerge, MergedFile
from engine.repo.landing.union_merge import UnionPaths, merge_additions

OURS = "trunk"
THEIRS = "yours"
"""The names of the two sides in conflict markers and conflict messages."""

_MAX_REASONS = 20
_SCRATCH_USES = 16
"""Merges of files that write into the scratch folder before it is emptied; emptying it takes longer than a merge."""


class MergeOutcome(Struct, frozen=True):
    """The merged tree, and the conflicted paths (none for a clean merge) with git's messages about them.

    `refused` says why the commits cannot be merged at all; `tree` is empty then.
    """

    tree: str
    conflicts: tuple[str, ...] = ()
    reason: str = ""
    refused: str = ""


class GitMerger:
    """Runs merge-tree in a private git folder whose only branches are `trunk` and `yours`.

    merge-tree uses the branch names to label conflict markers and to rename colliding files; commit ids would leak into
    agents' files. The folder's work tree has only the tip's `.gitattributes` files: a merge in a bare repository would
    ignore them and decide differently from the user's `git merge`. Not safe for concurrent merges: the caller
    serialises them.
    """

    def __init__(self, trunk_git: Path, object_format: str, union: UnionPaths | None = None) -> None:
        self._union = union or UnionPaths()
        folder = trunk_git / "merging"
        self._folder = folder
        self._attributes = folder / "attributes"
        self._objects = trunk_git / UNLANDED
        self._shallow = trunk_git / "shallow"
        self._object_format = object_format
        self._attributes_of: CommitId | None = None
        self._scratch_objects = folder / "objects"
        self._scratch_uses = 0
        self._git = Git(
            cwd=self._attributes, git_dir=folder, work_tree=self._attributes, objects=self._objects, timeout_s=120.0
        )
        self._scratch_git = structs.replace(
            self._git, objects=self._scratch_objects, config=("core.fsync=none", "core.looseCompression=0")
        )

    def prepare(self) -> None:
        """Recreate the private folder, without what a killed process left there."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._attributes_of, self._scratch_uses = None, 0
        (self._folder / "refs" / "heads").mkdir(parents=True)
        self._attributes.mkdir()
        (self._folder / "HEAD").write_text(f"ref: refs/heads/{OURS}\n", encoding="utf-8")
        # A new file follows a folder that trunk renamed. Git's default is to report a conflict, which would cost a
        # model call although the answer is nearly always this one.
        (self._folder / "config").write_text(
            "[core]\n\trepositoryformatversion = 1\n\tbare = false\n\tfsync = committed,reference\n"
            f"[extensions]\n\tobjectFormat = {self._object_format}\n"
            "[merge]\n\tdirectoryRenames = true\n\tconflictStyle = merge\n",
            encoding="utf-8",
        )
        if self._shallow.exists():
            shutil.copyfile(self._shallow, self._folder / "shallow")
        copy_local_attributes(self._shallow.parent, self._folder)

    async def merge(self, ours: CommitId, theirs: CommitId) -> MergeOutcome:
        """Merge two commits. Raises SwarmError (git) when git fails for a reason other than the commits themselves."""
        if self._attributes_of != ours:
            await self._write_attributes(ours)
        self._point(ours, theirs)
        result = await self._git.run("merge-tree", "--write-tree", "-z", OURS, THEIRS, accept=range(256))
        if "refusing to merge unrelated histories" in result.err:
            return MergeOutcome("", refused="the change has no common ancestor with trunk")
        if result.exit not in (0, 1) or (result.exit == 1 and not result.out):
            if "not something we can merge" in result.err:
                return MergeOutcome("", refused=f"no such commit: {theirs}")
            raise SwarmError(ErrorKind.GIT, f"git merge-tree: {result.error_line}", "check the repo: git fsck")
        if result.exit == 0:
            return MergeOutcome(result.out.split(b"\0")[0].decode("ascii"))
        united = await self._unite_stages(result.out)
        outcome = _parse(result.out, united)
        return structs.replace(outcome, tree=await self._with_files(outcome.tree, united)) if united else outcome

    async def _unite_stages(self, output: bytes) -> dict[bytes, tuple[str, bytes]]:
        """Merge by union what may be, of the files in conflict that the output lists; returns their modes and contents.

        A file that only one side has at its path, because of a rename or a deletion, stays in conflict.
        """
        stages: dict[bytes, dict[bytes, tuple[bytes, bytes]]] = {}
        for entry in output.split(b"\0\0")[0].split(b"\0")[1:]:
            meta, _, path = entry.partition(b"\t")
            mode, oid, stage = meta.split(b" ")
            if path in self._union:
                stages.setdefault(path, {})[stage] = mode, oid
        united = {}
        for path, of in stages.items():
            if sorted(of) == [b"1", b"2", b"3"] and all(mode in FILE_MODES for mode, _ in of.values()):
                blobs = [await self._git.run("cat-file", "blob", of[stage][1].decode("ascii")) for stage in sorted(of)]
                if (data := await self._united(path, *(blob.out for blob in blobs))) is not None:
                    united[path] = of[b"2"][0].decode("ascii"), data
        return united

    async def _with_files(self, tree: str, files: Mapping[bytes, tuple[str, bytes]]) -> str:
        """The tree with other contents of some files."""
        env = {"GIT_INDEX_FILE": str(self._folder / "index")}
        await self._git.run("read-tree", tree, env=env)
        for path, (mode, data) in files.items():
            oid = await self._git.text("hash-object", "-w", "--stdin", "--no-filters", stdin=data)
            entry = f"{mode} {oid}\t".encode() + path + b"\0"
            await self._git.run("update-index", "-z", "--index-info", stdin=entry, env=env)
        return (await self._git.run("write-tree", env=env)).text

    async def merge_files(
        self, tip: CommitId, files: Mapping[bytes, FileMerge], new: NewObjects
    ) -> dict[bytes, MergedFile]:
        """Merge the contents of files, each at the given path, with the attributes of `tip`.

        One git process merges all of them, as three commits that have only these files. `new` has their contents.
        Raises SwarmError (git).
        """
        if self._attributes_of != tip:
            await self._write_attributes(tip)
        side = NewObjects(ObjectStore(self._folder))
        await asyncio.to_thread(self._write_sides, files, new, side)
        result = await self._scratch_git.run(
            "merge-tree", "--write-tree", "--no-messages", "-z", OURS, THEIRS, accept=(0, 1)
        )
        tree, *conflicts = result.out.split(b"\0")
        if not tree:
            raise SwarmError(ErrorKind.GIT, f"git merge-tree: {result.error_line}", "check the repo: git fsck")
        conflicted = {entry.partition(b"\t")[2] for entry in conflicts}
        united = await self._unite({place: file for place, file in files.items() if place in conflicted}, new)
        merged = await asyncio.to_thread(_read_merged, files, side, bytes.fromhex(tree.decode("ascii")), conflicted)
        return merged | united

    async def _unite(self, files: Mapping[bytes, FileMerge], new: NewObjects) -> dict[bytes, MergedFile]:
        """Merge by union, of the files in conflict, those for which the settings allow it and no attribute decides."""
        united = {}
        for place, file in files.items():
            if file.path not in self._union:
                continue
            data = await self._united(file.path, *(new.read(oid) for oid in (file.base, file.ours, file.theirs)))
            if data is not None:
                united[place] = MergedFile(True, data)
        return united

    async def _united(self, path: bytes, base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
        """A file merged by union; None if that is not certain to be right, or if the `.gitattributes` decide."""
        data = await asyncio.to_thread(merge_additions, base, ours, theirs)
        if data is None:
            return None
        found = await self._git.run("check-attr", "-z", "--stdin", "merge", stdin=path + b"\0")
        return data if found.out.split(b"\0")[2] == b"unspecified" else None

    def _write_sides(self, files: Mapping[bytes, FileMerge], new: NewObjects, side: NewObjects) -> None:
        """Write commits of the two sides and their base into the scratch folder, and point its branches to them."""
        if self._scratch_uses % _SCRATCH_USES == 0:
            shutil.rmtree(self._scratch_objects, ignore_errors=True)
            self._scratch_objects.mkdir()
            (self._scratch_objects / "pack").mkdir()
        self._scratch_uses += 1
        trees = []
        for which in ("base", "ours", "theirs"):
            oids = {place: getattr(file, which) for place, file in files.items()}
            side.unwritten.update((oid, (b"blob", new.read(oid))) for oid in oids.values())
            trees.append(side.edit_tree(side.empty_tree, {path: (b"100644", oid) for path, oid in oids.items()}))
        base = side.commit(trees[0], [], COMMITTER, 0, b"base")
        ours, theirs = (side.commit(tree, [base.hex()], COMMITTER, 0, b"side") for tree in trees[1:])
        write_pack(self._scratch_objects / "pack", *pack_body(side), side.store.new_hash, durable=False)
        self._point(ours.hex(), theirs.hex())

    def _point(self, ours: str, theirs: str) -> None:
        """Let the branches point to the commits to merge."""
        for name, commit in ((OURS, ours), (THEIRS, theirs)):
            fd = os.open(self._folder / "refs" / "heads" / name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:  # not truncated: ids are equally long, and file systems flush what replaces a file's whole content
                os.pwrite(fd, f"{commit}\n".encode(), 0)
            finally:
                os.close(fd)

    def tip_moved(self, old: CommitId, new: CommitId, paths: tuple[str, ...]) -> None:
        """Note that the tip moved from `old` to `new`, which changed `paths`: avoids reading the attributes again."""
        if self._attributes_of == old and not any(PurePosixPath(path).name == ".gitattributes" for path in paths):
            self._attributes_of = new

    async def _write_attributes(self, commit: CommitId) -> None:
        """Replace the work tree by the `.gitattributes` files of a commit."""
        shutil.rmtree(self._attributes, ignore_errors=True)
        self._attributes.mkdir(exist_ok=True)
        listing = await self._git.run("ls-tree", "-r", "-z", "--full-tree", commit)
        for entry in listing.out.split(b"\0"):
            if not entry.endswith(b".gitattributes"):
                continue
            meta, _, name = entry.partition(b"\t")
            mode, _, blob = meta.split(b" ")
            path = PurePosixPath(name.decode("utf-8", "surrogateescape"))
            if path.name != ".gitattributes" or mode not in FILE_MODES or path.is_absolute() or ".." in path.parts:
                continue
            content = await self._git.run("cat-file", "blob", blob.decode("ascii"))
            target = self._attributes / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.out)
        self._attributes_of = commit


def _read_merged(
    files: Collection[bytes], side: NewObjects, tree: ObjectId, conflicted: set[bytes]
) -> dict[bytes, MergedFile]:
    merged = {}
    for place in files:
        entry = side.entry(tree, place)
        if entry is None:
            raise SwarmError(ErrorKind.GIT, "git merge-tree left out a file", "check the run's trunk: git fsck")
        merged[place] = MergedFile(place not in conflicted, side.read(entry[1]))
    return merged


def _parse(output: bytes, united: Mapping[bytes, object]) -> MergeOutcome:
    """Parse the output of `merge-tree -z`: tree, conflicted entries, messages; without the files that are united."""
    fields = output.split(b"\0")
    tree = fields[0].decode("ascii")
    paths: dict[str, None] = {}
    at = 1
    while at < len(fields) and fields[at]:
        if (path := fields[at].partition(b"\t")[2]) not in united:
            paths[path_text(path)] = None
        at += 1
    at += 1
    reasons: list[str] = []
    named: dict[str, None] = {}
    while at < len(fields) and fields[at].isdigit():
        count = int(fields[at])
        names = fields[at + 1 : at + 1 + count]
        kind, text = [*fields[at + 1 + count : at + 3 + count], b"", b""][:2]
        at += 3 + count
        if (kind.startswith(b"CONFLICT") or text.startswith(b"CONFLICT")) and not united.keys() >= set(names):
            reasons.append(output_text(text).strip())
            named.update((path_text(name), None) for name in names)
    # Some conflicts (such as a folder split by renames) have no conflicted entry, only a message.
    conflicts = tuple(sorted(paths or named)) or (() if united and not reasons else ("(unknown)",))
    more = [f"and {len(reasons) - _MAX_REASONS} more"] if len(reasons) > _MAX_REASONS else []
    return MergeOutcome(tree, conflicts, "\n".join(reasons[:_MAX_REASONS] + more))
