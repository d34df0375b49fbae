"""What the program prints when it leaves a run: the run's state, how to continue it, and where the result is."""

from collections import Counter

from tui import bridge
from tui.bridge import ExitStatus, NoteKind, RunState, Snapshot
from tui.format.numbers import counted
from tui.sessions.session import Session


def run_message(run: Snapshot, result: "bridge.Result | None" = None) -> tuple[str, ...]:
    """The lines for a run that no process owns; none for one that never began. `result`: what its branches show."""
    if not run.run:
        return ()
    why = f": {run.reason}" if run.reason else ""
    if run.state is RunState.FINISHED:
        return (f"run {run.run}: finished{why}", *_notes(run), *_branches(run, result), *_how_to_merge(run, result))
    how = str(run.state) if run.ended else "stopped immediately"
    return (
        f"run {run.run}: {how}{why if run.ended else ''}",
        *_notes(run),
        _how_to_continue(run),
        *_branches(run, result),
    )


def exit_message(session: Session, result: "bridge.Result | None" = None) -> tuple[str, ...]:
    """The lines for a run that was on the screen: the session's own, if it knows more than the run does."""
    run = session.latest()[1]
    if session.exit_note:
        return (session.exit_note, *_branches(run, result))
    if run.run and not session.ended():
        return (f"the run continues; to watch it: swarm-tui attach {run.run}", *_branches(run, result))
    return run_message(run, result)


def _notes(run: Snapshot) -> tuple[str, ...]:
    """How many questions and assumptions nobody has looked at."""
    if not (notes := run.notes_to_person()):
        return ()
    kinds = Counter(note.kind for note in notes)
    counts = " and ".join(counted(kinds[kind], kind) for kind in NoteKind if kinds[kind])
    return (f"planners left {counts} for you: swarm-tui report {run.run}",)


def _how_to_continue(run: Snapshot) -> str:
    if run.exit_status == ExitStatus.BUDGET:
        larger = "--budget-usd USD (or --budget, --for, …)"
        return f"hint: to continue with a larger limit: swarm-tui resume {run.run} {larger}"
    return f"hint: to continue: swarm-tui resume {run.run}"


def _branches(run: Snapshot, result: "bridge.Result | None") -> tuple[str, ...]:
    """Where the work is. Names only branches that exist."""
    if not run.run or not run.trunk:
        return ()
    if run.trunk == run.base:
        return ("result: nothing landed",)
    if result is not None and result.unpublished:
        return (f"warning: {result.unpublished}", *([f"to get it: {result.fetch}"] if result.fetch else []))
    landed = f"result: swarm/{run.run}/trunk (everything that landed)"
    if run.green is None:
        why = "the check has not passed yet" if run.check_command else "no check is configured"
        return (f"{landed}; no swarm/{run.run}/green, because {why}",)
    return (f"{landed}, swarm/{run.run}/green (the newest state that passed the check)",)


def _how_to_merge(run: Snapshot, result: "bridge.Result | None") -> tuple[str, ...]:
    if run.trunk == run.base:
        return ()
    if result is not None and result.fetch:
        return ("to merge it then: git merge FETCH_HEAD",)
    return (f"to merge it: git merge swarm/{run.run}/{'trunk' if run.green is None else 'green'}",)
