"""What each kind of event writes into the tables for SQL. Every kind has an entry."""

from collections.abc import Iterable

from engine.domain import events as e
from engine.journal.blobs import Shelf
from engine.journal.projections import agents, messages, run, samples, tasks
from engine.journal.statements import Write

RECORD_ONLY = frozenset(
    {
        e.Warned,
        e.BaseSurveyed,
        e.NoteMade,
        e.NoteAnswered,
        e.AnswersOverdue,
        e.EnvironmentSurveyed,
        e.AnswersDropped,
        e.BudgetMarked,
        e.LoadLimited,
        e.FixupsExhausted,
        e.TaskUnwanted,
        e.WorkspaceUpdated,
        e.LandingWaits,
        e.PrecedenceGiven,
        e.PrecedenceEnded,
        e.FailureNoted,
        e.FailureShared,
        e.HotFilesTold,
    }
)
"""Bodies that are stored in `events` alone."""

PROJECTIONS = {
    kind: projection
    for part in (run, samples, agents, messages, tasks)
    for kind, projection in part.PROJECTIONS.items()
}


def project(event: e.Event, shelf: Shelf) -> Iterable[Write]:
    """The writes of one event; large texts go on the shelf. All strings must be valid UTF-8."""
    body = event.body
    return () if type(body) in RECORD_ONLY else PROJECTIONS[type(body)](event, body, shelf)
