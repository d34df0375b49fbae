"""Lists the runs in a state folder, with the state of each."""

from pathlib import Path

from msgspec.structs import asdict

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.os_text import path_text
from engine.domain.types import RunId, RunState
from engine.journal.run_row import RunRow, Unreadable, glance
from engine.runs.folder import RUN_NAME, RunFolder, repo_id
from engine.runs.lock import is_live, owner_of


class RunListing(RunRow, frozen=True, kw_only=True):
    """One run. `live`: a process runs it, `pid`.

    `problem` says why the journal cannot be read; then only `run`, `folder`, `live` and `pid` are valid.
    """

    run: RunId
    folder: RunFolder
    live: bool
    pid: int | None
    problem: str = ""

    @property
    def unfinished(self) -> bool:
        """Whether the run can be resumed."""
        return not self.problem and self.state is not RunState.FINISHED

    @property
    def crashed(self) -> bool:
        """Whether its process died: no process runs it, and it did not record that it stopped."""
        return (
            not self.problem and not self.live and self.state in (RunState.RUNNING, RunState.PAUSING, RunState.PAUSED)
        )


def list_runs(root: Path, git_dir: Path | None = None) -> list[RunListing]:
    """The runs in a state folder, or those of one repo, newest first. Raises SwarmError (state)."""
    try:
        repos = [root / repo_id(git_dir)] if git_dir else [each for each in root.iterdir() if each.is_dir()]
        paths = [path for repo in repos if repo.is_dir() for path in repo.iterdir() if RUN_NAME.fullmatch(path.name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SwarmError(
            ErrorKind.STATE,
            f"cannot read the state folder {path_text(root)}: {error.strerror}",
            "check its permissions, or choose another folder: --state-dir DIR",
        ) from error
    listed = (_list(RunFolder(path)) for path in sorted(paths, key=lambda path: path.name, reverse=True))
    return [each for each in listed if each is not None]


def find_run(root: Path, text: str) -> RunListing:
    """The run whose id is `text`, or the only one whose id begins or ends with it. Raises SwarmError (not_found)."""
    runs = list_runs(root)
    for found in (
        [run for run in runs if run.run == text],
        [run for run in runs if text and run.run.startswith(text)],
        [run for run in runs if text and run.run.endswith(text)],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(run.run for run in found[:5])
            raise SwarmError(ErrorKind.NOT_FOUND, f"several runs match '{text}'", f"give more of the id: {some}")
    raise SwarmError(ErrorKind.NOT_FOUND, f"no such run: '{text}'", "list all runs: swarm-tui runs")


def newest_unfinished(root: Path, git_dir: Path | None = None) -> RunListing | None:
    """The newest run that is not finished, live or not."""
    return next((run for run in list_runs(root, git_dir) if run.unfinished), None)


def _list(folder: RunFolder) -> RunListing | None:
    """A run's entry; None if the run never began."""
    live = is_live(folder)
    owner = owner_of(folder.lock) if live else None
    pid = owner.pid if owner else None
    try:
        row = glance(folder.journal)
    except Unreadable as error:
        return RunListing(run=folder.run, folder=folder, live=live, pid=pid, problem=str(error))
    if row is None:
        return None
    return RunListing(run=folder.run, folder=folder, live=live, pid=pid, **asdict(row))
