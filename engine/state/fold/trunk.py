"""Folds the events of trunk: checks, breaks, green and publishing."""

from engine.domain import events as e
from engine.domain.types import CheckMark, CheckPurpose, RunState
from engine.state.fold.table import folds
from engine.state.snapshot import Snapshot


@folds(e.BaseSurveyed)
def _(s: Snapshot, event: e.Event, body: e.BaseSurveyed) -> None:
    s.base_survey = body.survey
    if s.state is RunState.RUNNING:
        s.reason = ""  # it said that the base is being checked


@folds(e.EnvironmentSurveyed)
def _(s: Snapshot, event: e.Event, body: e.EnvironmentSurveyed) -> None:
    s.environment = body.environment


@folds(e.CheckFinished)
def _(s: Snapshot, event: e.Event, body: e.CheckFinished) -> None:
    check = body.check
    s.checks_passed += check.passed
    s.checks_failed += not check.passed
    if check.passed and check.clean:
        s.passed = (check.commit, check.command)
        if check.commit == s.green:
            s.green_check = check.command
    if check.purpose is CheckPurpose.SNAPSHOT:
        s.last_check = check
        s.snapshots += 1
        s.snapshots_failed += not check.passed
        if check.clean:
            s.last_clean_check, s.warm_checks, s.warm_checks_s = check, 0, 0.0
        else:
            s.warm_checks += 1
            s.warm_checks_s += check.wall_s
        s.marks.append(CheckMark(check.at, check.commit, check.passed, check.exit, check.failing))


@folds(e.BreakTraced)
def _(s: Snapshot, event: e.Event, body: e.BreakTraced) -> None:
    s.broken = body.broken


@folds(e.FixupsExhausted)
def _(s: Snapshot, event: e.Event, body: e.FixupsExhausted) -> None:
    s.given_up = True


@folds(e.GreenMoved)
def _(s: Snapshot, event: e.Event, body: e.GreenMoved) -> None:
    if body.commit is None:
        s.green = s.green_at = s.green_check = None
        return
    s.green, s.green_at = body.commit, event.at
    s.green_check = s.passed[1] if s.passed is not None and s.passed[0] == body.commit else None
    if not s.red:
        s.broken, s.given_up = None, False


@folds(e.Published)
def _(s: Snapshot, event: e.Event, body: e.Published) -> None:
    s.left_alone = body.left_alone
