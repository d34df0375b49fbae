"""Where a run's result is: on branches of the person's repository, as these are now, or only in the run's own trunk."""

from pathlib import Path

from msgspec import Struct

from engine.domain.os_text import path_str, shell_word
from engine.repo.landing.user_branches import branches_of
from engine.state.snapshot import Snapshot


class Result(Struct, frozen=True):
    """`unpublished` says what is wrong with the branches in the person's repository; empty if nothing is.

    `fetch` is the command that then gets what the branch to merge should have; empty if it is there.
    """

    unpublished: str = ""
    fetch: str = ""


def result_of(run: Snapshot, trunk_git: Path) -> Result:
    """Look at the branches of a run in the person's repository. While it works, they may be behind."""
    if not run.run or run.trunk == run.base:
        return Result()
    found = branches_of(Path(path_str(run.repo)), run.run)
    wrong = []
    for name, commit in (("trunk", run.trunk), ("green", run.green)):
        branch, now = f"swarm/{run.run}/{name}", found.get(name)
        if commit is None and now is not None and run.ended:
            wrong.append(f"{branch} was taken back but is still in {run.repo}")
        elif commit is not None and now is None:
            wrong.append(f"{run.repo} has no branch {branch}")
        elif run.ended and now != commit:
            wrong.append(f"{branch} is at {str(now)[:12]} instead of {str(commit)[:12]}")
    best = "trunk" if run.green is None else "green"
    there = found.get(best) == getattr(run, best) if run.ended else best in found
    why = f" ({'; '.join(run.left_alone.splitlines())})" if wrong and run.left_alone else ""
    return Result(
        unpublished=f"{', '.join(wrong)}{why}" if wrong else "",
        fetch="" if there else f"git fetch {shell_word(trunk_git)} {best}",
    )
