"""Decides when a check starts from nothing instead of from what earlier checks have built.

Only a check from nothing makes a commit green. One on earlier builds is quicker, and says that nothing has changed
since the last one from nothing: as soon as the two differ, one from nothing decides.
"""

from collections.abc import Collection

from engine.domain.types import Check
from engine.policy.build_files import is_build_file
from engine.state.snapshot import Snapshot

MOST_WARM = 9
"""Checks on earlier builds in a row while trunk passes."""
MOST_WARM_RED = 2
"""Checks on earlier builds in a row while trunk fails: old build output may be what fails."""


def last_clean(snapshot: Snapshot, command: str) -> Check | None:
    """The newest check from nothing, unless the check has been another one then."""
    last = snapshot.last_clean_check
    return last if last is not None and last.command == command else None


def is_clean_due(snapshot: Snapshot, command: str, changed: Collection[str] | None, setup: str = "") -> bool:
    """Whether the next check has to start from nothing.

    It has to if none has yet, if a file that decides how the project is built or checked is among those that have
    `changed` since the last one (None: unknown), and every so often: after a number of checks on earlier builds, and
    when those have taken as long as the last one from nothing did.
    """
    last = last_clean(snapshot, command)
    if last is None or changed is None or any(is_build_file(path, f"{command} {setup}") for path in changed):
        return True
    most = MOST_WARM if last.passed else MOST_WARM_RED
    return snapshot.warm_checks >= most or snapshot.warm_checks_s >= last.wall_s


def is_conclusive(check: Check, last: Check | None) -> bool:
    """Whether a check decides: one on earlier builds has to agree with `last`, the newest one from nothing."""
    return check.clean or (last is not None and last.passed == check.passed)
