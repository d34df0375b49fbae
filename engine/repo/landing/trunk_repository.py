"""Makes and opens the bare repository of a trunk, with the settings that the engine keeps there."""

import shutil
from pathlib import Path

from msgspec import Struct

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.os_text import path_text
from engine.domain.types import CommitId, RunId
from engine.repo.git.conversion import LOCAL_ATTRIBUTES, copy_local_attributes, user_conversion
from engine.repo.git.git import Git, fsck_hint
from engine.repo.git.history_start import first_commits
from engine.repo.landing.housekeeping import remove_leftovers
from engine.repo.landing.trunk_objects import BASE, TRUNK, copy_base, own_objects
from engine.repo.source import SourceRepo
from engine.repo.workspaces.excludes import is_inside

NAME = "trunk.git"


class TrunkRepository(Struct, frozen=True):
    """An existing trunk repository: its folder, and what it records about the run and the user's repository."""

    git_dir: Path
    source_root: Path
    run: RunId
    base: CommitId
    object_format: str


async def create_repository(folder: Path, source: SourceRepo, run: RunId) -> None:
    """Create `FOLDER/trunk.git`, complete or not at all, with trunk at the base. Raises SwarmError (git)."""
    unfinished, git_dir = folder / f"{NAME}.new", folder / NAME
    if git_dir.exists():
        raise SwarmError(ErrorKind.STATE, f"{path_text(git_dir)} exists already", "resume the run instead")
    shutil.rmtree(unfinished, ignore_errors=True)
    await Git(folder).run(
        *("init", "--quiet", "--bare", "--template=", "--initial-branch=trunk"),
        *(f"--object-format={source.object_format}", str(unfinished)),
    )
    if first := first_commits(source.common_dir):
        (unfinished / "shallow").write_bytes(first)
    if is_inside(source.common_dir / LOCAL_ATTRIBUTES, source.common_dir):  # agents can read them
        copy_local_attributes(source.common_dir, unfinished)
    git = Git(unfinished, git_dir=unfinished)
    conversion = await user_conversion(source.root)
    for key, value in (
        ("core.repositoryFormatVersion", "1"),
        ("extensions.preciousObjects", "true"),  # live workspaces read trunk's objects
        ("core.fsync", "committed,reference"),  # a reported landing survives a power cut; takes 1.7 times as long
        ("gc.auto", "0"),
        ("gc.pruneExpire", "never"),
        ("receive.autogc", "false"),
        ("transfer.hideRefs", "refs/swarm"),
        ("swarm.source", str(source.root)),
        ("swarm.common", str(source.common_dir)),
        ("swarm.run", run),
        ("swarm.autocrlf", conversion.autocrlf or "false"),
        ("swarm.eol", conversion.eol),
        ("swarm.filters", "\n".join(sorted(conversion.filters))),
    ):
        await git.run("config", key, value)
    await copy_base(unfinished, source, folder.parent)
    for ref in (BASE, TRUNK):
        await git.run("update-ref", ref, source.base)
    unfinished.rename(git_dir)


async def open_repository(folder: Path) -> TrunkRepository:
    """Open `FOLDER/trunk.git`, and remove what killed processes left there. Raises SwarmError (state)."""
    git_dir = (folder / NAME).absolute()
    if not git_dir.is_dir():
        raise SwarmError(ErrorKind.STATE, f"no trunk in {path_text(folder)}", "was the run's folder moved or removed?")
    remove_leftovers(git_dir)
    await own_objects(git_dir)
    git = Git(git_dir, git_dir=git_dir)
    try:
        base = CommitId(await git.text("rev-parse", "--verify", f"{BASE}^{{commit}}"))
        await git.run("rev-parse", "--verify", f"{TRUNK}^{{tree}}")
        source_root = (
            (await git.run("config", "--null", "swarm.source")).out.rstrip(b"\0").decode("utf-8", "surrogateescape")
        )
        run = RunId(await git.text("config", "swarm.run"))
        object_format = await git.text("rev-parse", "--show-object-format")
    except SwarmError as error:
        raise SwarmError(
            ErrorKind.STATE,
            f"cannot read the trunk in {path_text(folder)}: {error.message}",
            fsck_hint(git_dir),
        ) from error
    return TrunkRepository(git_dir, Path(source_root), run, base, object_format)
