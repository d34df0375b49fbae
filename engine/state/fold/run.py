"""Folds the events of the run as a whole: epochs and states, the intent, limits and load."""

from msgspec import DecodeError, Struct, ValidationError, json
from msgspec.structs import replace

from engine.domain import events as e
from engine.domain.lifecycle import check_run
from engine.domain.spending import BudgetMark
from engine.domain.types import RunState
from engine.state.fold.table import folds
from engine.state.snapshot import Snapshot


class _Repo(Struct, frozen=True):
    check: str | None = None


class _WithCheck(Struct, frozen=True):
    """The part of a run's settings that says how trunk is checked."""

    repo: _Repo = _Repo()


def _check_in(settings: str, before: str) -> str:
    try:
        check = json.decode(settings, type=_WithCheck).repo.check if settings else None
    except (DecodeError, ValidationError):
        return before
    return before if check is None else check


@folds(e.RunCreated)
def _(s: Snapshot, event: e.Event, body: e.RunCreated) -> None:
    s.run, s.repo, s.branch, s.base, s.trunk = body.run, body.repo, body.branch, body.base, body.base
    s.check_command, s.models, s.settings = body.check, dict(body.models), body.settings
    s.version = body.version
    s.created_at = event.at


@folds(e.EpochStarted)
def _(s: Snapshot, event: e.Event, body: e.EpochStarted) -> None:
    if s.epoch_at and not s.ended:
        s.worked += max(0, s.at - s.epoch_at)  # the process of the epoch before died after its last event
    s.epoch, s.epoch_at, s.pid = event.epoch, event.at, body.pid
    s.load_limit, s.uses, s.arriving = None, {}, {}
    s.claims = {task: claim for task, claim in s.claims.items() if claim.until}  # no landing waits any more
    s.sandbox_level, s.copy_method = body.sandbox_level, body.copy_method
    s.not_guaranteed, s.granted, s.tools = body.not_guaranteed, body.granted, body.tools
    s.settings = body.settings or s.settings
    s.check_command = _check_in(body.settings, s.check_command)
    if s.ended:
        check_run(s.state, RunState.RUNNING)
        s.state, s.reason, s.exit_status = RunState.RUNNING, "", None


@folds(e.RunStateChanged)
def _(s: Snapshot, event: e.Event, body: e.RunStateChanged) -> None:
    check_run(s.state, body.state)
    was_ended = s.ended
    s.state, s.reason, s.exit_status = body.state, body.reason, body.exit_status
    if s.ended and not was_ended:
        s.worked += max(0, event.at - s.epoch_at)


@folds(e.WorkersLimited)
def _(s: Snapshot, event: e.Event, body: e.WorkersLimited) -> None:
    s.workers_limit, s.workers_limit_by, s.workers_limit_reason = body.workers, body.by, body.reason


@folds(e.BudgetMarked)
def _(s: Snapshot, event: e.Event, body: e.BudgetMarked) -> None:
    s.budget_marks[body.part] = BudgetMark(body.mark, body.limit, event.at, body.limits)


@folds(e.Warned)
def _(s: Snapshot, event: e.Event, body: e.Warned) -> None:
    s.warnings.append((event.at, body.text))


@folds(e.Sampled)
def _(s: Snapshot, event: e.Event, body: e.Sampled) -> None:
    s.samples.append((event.at, body.sample))


@folds(e.LoadLimited)
def _(s: Snapshot, event: e.Event, body: e.LoadLimited) -> None:
    s.load_limit = replace(body.limit, at=event.at)


@folds(e.AgentsSampled)
def _(s: Snapshot, event: e.Event, body: e.AgentsSampled) -> None:
    s.uses, s.arriving = dict(body.uses), dict(body.arriving)


@folds(e.IntentVersioned)
def _(s: Snapshot, event: e.Event, body: e.IntentVersioned) -> None:
    s.intents.append(body.intent)
    s.reopened.clear()
