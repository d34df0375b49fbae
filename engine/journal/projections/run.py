"""What run events write: the run's row, checks of trunk, breaks and green."""

from collections.abc import Iterable

from engine.domain import events as e
from engine.journal.blobs import Shelf
from engine.journal.projections.counts import count
from engine.journal.statements import Projections, Statement, Write, insert, json_text

PROJECTIONS = Projections()

# A journal holds one run, so the updates need no key.
_RUN = insert("runs", "id repo branch base check_command models settings version trunk created")
_EPOCH = Statement(
    "runs",
    """UPDATE runs SET
      worked = worked + CASE WHEN epoch_at IS NOT NULL AND ended IS NULL
                        THEN max(0, (SELECT at FROM events WHERE seq = ?) - epoch_at) ELSE 0 END,
      reason = CASE WHEN ended IS NULL THEN reason ELSE '' END,
      exit_status = CASE WHEN ended IS NULL THEN exit_status END,
      state = CASE WHEN ended IS NULL THEN state ELSE 'running' END,
      ended = NULL, epoch = ?, epoch_at = ?, pid = ?, sandbox_level = ?, copy_method = ?,
      settings = coalesce(nullif(?, ''), settings),
      check_command = coalesce(CASE WHEN json_valid(?) THEN json_extract(?, '$.repo.check') END, check_command)""",
)
_RUN_STATE = Statement("runs", "UPDATE runs SET state = ?, reason = ?, exit_status = ?")
_RUN_ENDED = Statement(
    "runs",
    "UPDATE runs SET state = ?, reason = ?, exit_status = ?, "
    "worked = worked + CASE WHEN ended IS NULL THEN max(0, ? - coalesce(epoch_at, 0)) ELSE 0 END, "
    "ended = coalesce(ended, ?)",
)
_WORKERS = Statement("runs", "UPDATE runs SET workers_limit = ?, workers_limit_by = ?")
_GREEN = Statement("runs", "UPDATE runs SET green = ?, green_at = ?")
_PUBLISHED = Statement("runs", "UPDATE runs SET published = ?, left_alone = ?")


@PROJECTIONS.of(e.RunCreated)
def _(event: e.Event, body: e.RunCreated, shelf: Shelf) -> Iterable[Write]:
    models = json_text(body.models)
    row = (body.run, body.repo, body.branch, body.base, body.check, models, body.settings, body.version)
    yield _RUN, (*row, body.base, event.at)


@PROJECTIONS.of(e.EpochStarted)
def _(event: e.Event, body: e.EpochStarted, shelf: Shelf) -> Iterable[Write]:
    # If the previous epoch crashed, it counts as working until its last event.
    how = (body.sandbox_level, body.copy_method, *[body.settings] * 3)
    now = (event.epoch, event.at, body.pid, *how)
    yield _EPOCH, (event.seq - 1, *now)


@PROJECTIONS.of(e.RunStateChanged)
def _(event: e.Event, body: e.RunStateChanged, shelf: Shelf) -> Iterable[Write]:
    row = (body.state, body.reason, body.exit_status)
    if body.state in ("finished", "stopped", "failed"):
        yield _RUN_ENDED, (*row, event.at, event.at)
    else:
        yield _RUN_STATE, row


@PROJECTIONS.of(e.WorkersLimited)
def _(event: e.Event, body: e.WorkersLimited, shelf: Shelf) -> Iterable[Write]:
    yield _WORKERS, (body.workers, body.by)


# --- green ---------------------------------------------------------------------------------------------------

_CHECK = insert(
    "greens",
    "seq at commit_oid passed exit wall_s output size blob purpose failing failed_tests clean overrules command",
)
_BREAK = insert("breaks", "seq at planner tip suspects tasks checks")
_MOVED = Statement(
    "greens",
    "UPDATE greens SET moved = ? "
    "WHERE seq = (SELECT max(seq) FROM greens WHERE commit_oid = ? AND passed) AND moved IS NULL",
)


@PROJECTIONS.of(e.CheckFinished)
def _(event: e.Event, body: e.CheckFinished, shelf: Shelf) -> Iterable[Write]:
    check = body.check
    outcome = (check.commit, check.passed, check.exit, check.wall_s)
    found = (check.purpose, check.failing, json_text(check.failed_tests))
    how = (check.clean, check.overrules, check.command)
    yield _CHECK, (event.seq, check.at, *outcome, *shelf.head(check.output), *found, *how)
    yield count(checks_passed=check.passed, checks_failed=not check.passed)


@PROJECTIONS.of(e.BreakTraced)
def _(event: e.Event, body: e.BreakTraced, shelf: Shelf) -> Iterable[Write]:
    b = body.broken
    yield _BREAK, (event.seq, b.at, event.agent, b.tip, json_text(b.suspects), json_text(b.tasks), b.checks)


@PROJECTIONS.of(e.GreenMoved)
def _(event: e.Event, body: e.GreenMoved, shelf: Shelf) -> Iterable[Write]:
    yield _MOVED, (event.at, body.commit)
    yield _GREEN, (body.commit, None if body.commit is None else event.at)


@PROJECTIONS.of(e.Published)
def _(event: e.Event, body: e.Published, shelf: Shelf) -> Iterable[Write]:
    yield _PUBLISHED, (body.trunk, body.left_alone)
