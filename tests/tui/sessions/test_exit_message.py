"""What the program prints when it leaves a run: its state, how to continue, and where the result is."""

from engine.domain.notes import Note, NoteKind
from engine.domain.types import AgentId, CommitId, RunId, RunState
from engine.state.snapshot import Snapshot
from tui.bridge import ExitStatus, Result
from tui.sessions.exit_message import exit_message, run_message

BASE, LATER = CommitId("a" * 40), CommitId("b" * 40)


def run(state: RunState, **fields: object) -> Snapshot:
    known: dict[str, object] = {"run": RunId("r1"), "base": BASE, "trunk": LATER, "check_command": "make test"}
    made = Snapshot(state=state)
    for name, value in (known | fields).items():
        setattr(made, name, value)
    return made


class Left:
    """A session after its screen is closed."""

    def __init__(self, run: Snapshot, exit_note: str = "", ended: bool = True) -> None:
        self.exit_note = exit_note
        self._run, self._ended = run, ended

    def latest(self) -> tuple[int, Snapshot]:
        return 1, self._run

    def ended(self) -> bool:
        return self._ended


def test_a_finished_run_says_where_its_result_is_and_how_to_merge_it() -> None:
    first, result, how = run_message(run(RunState.FINISHED, green=LATER, reason="all is done"))
    assert first == "run r1: finished: all is done"
    assert "swarm/r1/trunk" in result
    assert "swarm/r1/green" in result
    assert how == "to merge it: git merge swarm/r1/green"


def test_a_run_with_open_notes_says_how_many_and_where_to_read_them() -> None:
    kinds = (NoteKind.QUESTION, NoteKind.ASSUMPTION, NoteKind.ASSUMPTION)
    notes = {number: Note(number, 0, AgentId("a"), kind, "x") for number, kind in enumerate(kinds, 1)}
    line = "planners left 2 assumptions and 1 question for you: swarm-tui report r1"
    assert line in run_message(run(RunState.FINISHED, notes=notes))
    assert line in run_message(run(RunState.STOPPED, notes=notes))


def test_without_green_the_trunk_is_the_result() -> None:
    lines = run_message(run(RunState.FINISHED, check_command=""))
    assert "no swarm/r1/green, because no check is configured" in lines[1]
    assert lines[-1] == "to merge it: git merge swarm/r1/trunk"
    assert "has not passed" in run_message(run(RunState.FINISHED))[1]


def test_an_unfinished_run_says_how_to_continue_and_what_has_landed() -> None:
    for state in (RunState.STOPPED, RunState.FAILED, RunState.RUNNING):
        first, hint, result = run_message(run(state, green=LATER))
        assert first.startswith(f"run r1: {'stopped immediately' if state is RunState.RUNNING else state}")
        assert hint == "hint: to continue: swarm-tui resume r1"
        assert "swarm/r1/trunk" in result
        assert "swarm/r1/green" in result


def test_a_budget_needs_a_larger_limit() -> None:
    lines = run_message(run(RunState.STOPPED, exit_status=int(ExitStatus.BUDGET)))
    assert "hint: to continue with a larger limit: swarm-tui resume r1" in lines[1]


def test_nothing_landed_and_nothing_begun() -> None:
    assert "nothing landed" in run_message(run(RunState.FINISHED, trunk=BASE))[-1]
    assert run_message(Snapshot()) == ()


def test_a_run_that_continues_elsewhere_is_not_to_be_resumed() -> None:
    told = exit_message(Left(run(RunState.RUNNING), "the run continues in process 7"))  # type: ignore[arg-type]
    assert told[0] == "the run continues in process 7"
    assert "swarm/r1/trunk" in told[1]
    told = exit_message(Left(run(RunState.RUNNING), ended=False))  # type: ignore[arg-type]
    assert "swarm-tui attach r1" in told[0]
    assert not any("resume" in line for line in told)


def test_leaving_the_app_in_any_other_way_says_how_to_continue() -> None:
    assert "swarm-tui resume r1" in exit_message(Left(run(RunState.RUNNING)))[1]  # type: ignore[arg-type]
    assert exit_message(Left(Snapshot())) == ()  # type: ignore[arg-type]


ABSENT = Result("/repo has no branch swarm/r1/trunk (it is read-only)", "git fetch /state/r1/trunk.git trunk")


def test_a_result_that_is_not_in_the_repository_is_never_said_to_be_there() -> None:
    for state in RunState:
        lines = run_message(run(state, green=LATER), ABSENT)
        assert "warning: /repo has no branch swarm/r1/trunk (it is read-only)" in lines
        assert "to get it: git fetch /state/r1/trunk.git trunk" in lines
        assert not any("result: " in line or "git merge swarm/" in line for line in lines)
    assert run_message(run(RunState.FINISHED), ABSENT)[-1] == "to merge it then: git merge FETCH_HEAD"
    left = Left(run(RunState.FINISHED), "stopped")
    assert exit_message(left, ABSENT)[1:] == run_message(run(RunState.FINISHED), ABSENT)[1:3]  # type: ignore[arg-type]


def test_a_branch_that_is_behind_does_not_hide_the_one_to_merge() -> None:
    lines = run_message(run(RunState.FINISHED, green=LATER), Result("swarm/r1/trunk is at a instead of b"))
    assert "warning: swarm/r1/trunk is at a instead of b" in lines
    assert lines[-1] == "to merge it: git merge swarm/r1/green"
