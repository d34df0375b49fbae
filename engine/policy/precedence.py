"""Who may land on a path that is in conflict: a queue of claims on paths.

A task whose landing met a conflict has precedence on the paths in conflict, until it has landed, its attempt has ended,
or its time is over. Landings that change one of these paths meanwhile wait. Each claim waits only for claims that
came before it, so no two wait for each other, and the oldest one never waits.
"""

from collections.abc import Collection, Iterator

from engine.domain.types import AgentPath, Claim, CommitId, Micros, TaskId
from engine.state.snapshot import Snapshot


def ahead(snapshot: Snapshot, task: TaskId, paths: Collection[str], now: Micros) -> dict[str, AgentPath]:
    """What a landing of these paths waits for: each contested path, with the last agent before it in the queue.

    A claim counts unless its time is over, or its agent is paused.
    """
    found: dict[str, AgentPath] = {}
    for claim in claims_ahead(snapshot, task, paths, now):
        found |= dict.fromkeys(set(paths).intersection(claim.paths), snapshot.agents[claim.agent].path)
    return dict(sorted(found.items()))


def claims_ahead(snapshot: Snapshot, task: TaskId, paths: Collection[str], now: Micros) -> list[Claim]:
    """The claims that a landing of these paths comes after, in order."""
    wanted = set(paths)
    return [
        claim
        for claim in _before(snapshot, task)
        if not wanted.isdisjoint(claim.paths) and not is_over(claim, now) and not snapshot.is_paused(claim.agent)
    ]


def disputed(snapshot: Snapshot, claim: Claim) -> CommitId | None:
    """The commit that a claim is about: the conflict that is resolved, or the change that waits.

    None if it is unknown, or if the claim is on whole files.
    """
    if claim.until:
        return None if claim.whole else claim.merged
    pending = snapshot.pending_landings.get(claim.task)
    return pending.change if pending is not None else None


def is_over(claim: Claim, now: Micros) -> bool:
    """Whether the precedence has ended. A clock that was set back ends it, too, so that nobody waits for hours."""
    return bool(claim.until) and not claim.since <= now < claim.until


def over(snapshot: Snapshot, now: Micros) -> list[Claim]:
    """The claims whose time is over."""
    return [claim for claim in snapshot.claims.values() if is_over(claim, now)]


def next_end(snapshot: Snapshot, now: Micros) -> Micros | None:
    """When the next claim ends because its time is over; None if none will."""
    return min((claim.until for claim in snapshot.claims.values() if claim.until > now), default=None)


def _before(snapshot: Snapshot, task: TaskId) -> Iterator[Claim]:
    for claim in snapshot.claims.values():
        if claim.task == task:
            return
        yield claim
