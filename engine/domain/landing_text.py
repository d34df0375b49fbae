"""Says in plain words how landings and tasks ended, in the same words everywhere."""

from engine.domain.types import CommitId, LandingState, TaskState

SHORT = 10
"""Characters of a commit id in a text."""
TASK_STATES: dict[str, str] = {TaskState.WORKING: "at work", TaskState.UNCHANGED: "done without a change"}
NO_CHANGE = "nothing landed: the change has nothing that is new to trunk"


def landing_text(state: LandingState | None, commit: CommitId | None = None, *, onto_newer: bool = False) -> str:
    """How a landing ended, for example `landed as 1f2e3d4c5b, merged with newer trunk`; None: nothing was to land."""
    match state:
        case LandingState.MERGED | LandingState.RESOLVED:
            landed = f"landed as {commit[:SHORT]}" if commit else "landed"
            if state is LandingState.RESOLVED:
                return f"{landed}, after a conflict with newer trunk was resolved"
            return f"{landed}, merged with newer trunk" if onto_newer else landed
        case LandingState.EMPTY:
            return NO_CHANGE
        case LandingState.CONFLICTED:
            return "not landed: it conflicts with newer trunk"
        case _:
            return "nothing landed"


def task_state_text(state: str) -> str:
    """A task's state for an agent that has never read what the states mean."""
    return TASK_STATES.get(state, str(state))
