"""What the terminal says of a run when the program leaves it: how it stands, how to go on, where the result is."""

from tui.bridge import ExitStatus, RunState, Snapshot
from tui.sessions.session import Session


def parting(run: Snapshot) -> tuple[str, ...]:
    """The lines for a run that no process works on any more; none for one that never began."""
    if not run.run:
        return ()
    why = f": {run.reason}" if run.reason else ""
    if run.state is RunState.FINISHED:
        return (f"run {run.run}: finished{why}", *_branches(run), *_take_over(run))
    how = str(run.state) if run.ended else "stopped at once"
    return (f"run {run.run}: {how}{why if run.ended else ''}", _go_on(run), *_branches(run))


def farewell(session: Session) -> tuple[str, ...]:
    """The lines for a run that was on the screen: in the session's own words where it knows more than the run."""
    run = session.latest()[1]
    if session.farewell:
        return (session.farewell, *_branches(run))
    if run.run and not session.ended():
        return (f"the swarm goes on: look at it with `swarm-tui attach {run.run}`", *_branches(run))
    return parting(run)


def _go_on(run: Snapshot) -> str:
    if run.exit_status == ExitStatus.BUDGET:
        return f"hint: go on with a larger limit: swarm-tui resume {run.run} --budget-usd, --budget, --for, …"
    return f"hint: go on: swarm-tui resume {run.run}"


def _branches(run: Snapshot) -> tuple[str, ...]:
    """Where the work is. A branch is named only when it is there."""
    if not run.run or not run.trunk:
        return ()
    if run.trunk == run.base:
        return (f"result: nothing landed; branch swarm/{run.run}/trunk is where it began",)
    landed = f"result: swarm/{run.run}/trunk (all that landed)"
    if run.green is None:
        why = "the check has not passed yet" if run.check_command else "no check is configured"
        return (f"{landed}; no branch swarm/{run.run}/green: {why}",)
    return (f"{landed}, swarm/{run.run}/green (the newest that passed the check)",)


def _take_over(run: Snapshot) -> tuple[str, ...]:
    if run.trunk == run.base:
        return ()
    return (f"take it over: git merge swarm/{run.run}/{'trunk' if run.green is None else 'green'}",)
