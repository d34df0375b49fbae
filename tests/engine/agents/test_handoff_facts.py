"""What a planner reads of the machine's facts in the handoffs of its tasks and slices."""

import pytest

from engine.domain import events as e
from engine.domain.conversation import Request, ToolCall, Turn
from engine.domain.types import ModelName
from engine.orchestrator.swarm import Swarm
from engine.policy.run_end import Outcome
from tests import simulated
from tests.engine.scripts import done, planner_of, said, turns, writes
from tests.engine.swarms import run
from tests.simulated import answers, call, first_line, turn
from tests.simulated.workspaces import Commands, Ran


def messages(w: simulated.World) -> dict[str, str]:
    """The messages with handoffs that reached planners, by title."""
    queued = [event.body.message for event in w.journal.surviving() if isinstance(event.body, e.MessageQueued)]
    texts = [message.text for message in queued if message.text.startswith("# Handoff: ")]
    return {text.partition("\n")[0].removeprefix("# Handoff: "): text for text in texts}


def worker(*steps: Turn) -> simulated.models.Script:
    """A root planner with one task, whose worker takes these steps."""

    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return planner_of("one")(request)
        return steps[turns(request)]

    return script


def told(script: simulated.models.Script, **options: object) -> dict[str, str]:
    found: dict[str, str] = {}

    def examine(swarm: Swarm, w: simulated.World, outcome: Outcome) -> None:
        found.update(messages(w))

    run(script, examine, **options)  # type: ignore[arg-type]
    return found


def exits(status: int, text: str = "") -> Commands:
    return lambda workspace, command: Ran(exit=status, text=text, wall_s=12.0)


def test_a_handoff_says_what_landed_what_it_took_and_which_tests_ran() -> None:
    steps = (writes("a.py", "x\ny\n"), turn(call("shell", command="timeout 60 python -m pytest -q")), done())
    message = told(worker(*steps), check=True, shell=exits(0))["one"]
    head, _, rest = message.partition("\n\n## Summary\n\n")
    assert rest.startswith("> it is done")
    lines = head.splitlines()
    assert lines[2].startswith("from: task t")
    assert lines[4].startswith("landing: landed as ")
    assert lines[6:8] == ["## Facts", ""]
    assert lines[8] == "changed: 1 file, +2 -0"
    assert lines[9].endswith(", 3 steps, 360 tokens")
    assert lines[10:] == [
        "tests: `timeout 60 python -m pytest -q`: exit 0 after 12 s",
        "check of trunk: not checked yet; passed before",
    ]


def test_a_failed_test_and_a_claim_that_it_passed_stand_side_by_side() -> None:
    printed = "collected 2\nFAILED a.py::test_b\n1 failed, 1 passed in 2 s\n"
    steps = (writes("a.py", "x\n"), turn(call("shell", command="pytest")), done("Added it. All tests pass."))
    message = told(worker(*steps), shell=exits(1, printed))["one"]
    assert "tests: `pytest`: 1 failed, 1 passed\n> FAILED a.py::test_b\nc" in message
    assert "\nclaim: says the tests pass; the last test run ended with 1 failed, 1 passed\n" in message


def test_a_claim_to_have_run_the_tests_is_marked_if_no_command_ran_any() -> None:
    steps = (turn(call("shell", command="cat tests/test_a.py")), writes("a.py", "x\n"), done("I ran the test suite."))
    message = told(worker(*steps), shell=exits(0))["one"]
    assert "\ntests: none run\nclaim: says it ran the tests; its log has no command that runs tests\n" in message


def test_files_that_changed_after_the_last_test_are_said() -> None:
    test = turn(call("shell", command="pytest"))
    steps = (writes("a.py", "x\n"), test, writes("a.py", "y\n"), done("All tests pass."))
    message = told(worker(*steps), shell=exits(0))["one"]
    assert "tests: `pytest`: exit 0 after 12 s; files changed after it" in message
    assert "claim: says the tests pass; files changed after the last test run" in message
    steps = (writes("a.py", "x\n"), test, writes("CHANGES.md", "y\n"), done("All tests pass."))
    message = told(worker(*steps), shell=exits(0))["one"]
    assert "after it" not in message
    assert "claim" not in message


def test_the_result_of_a_run_is_read_where_the_exit_status_is_that_of_another_command() -> None:
    steps = (turn(call("shell", command="pytest | tail -1")), done("All tests pass."))
    for printed, result, marked in (
        ("3 passed in 2 s", "3 passed", False),
        ("1 failed, 2 passed in 2 s", "1 failed, 2 passed", True),
        ("id | name", "result not readable", False),
    ):
        message = told(worker(*steps), shell=exits(0, printed))["one"]
        assert f"tests: `pytest …`: {result}\n" in message
        assert ("claim" in message) is marked
        assert "id | name" not in message


STASHED = "git stash push -q src; pytest -q tests/test_new.py; git stash pop -q; ./app table"
"""The new tests against the code without its change: they fail on purpose."""


def facts_of(*commands: tuple[str, int, str]) -> str:
    """Facts about tests after these commands with their exit statuses and outputs; `edit` is a change."""
    printed = {command: (exit, text) for command, exit, text in commands}
    steps = [
        writes("src/a.py", f"{at}\n") if command == "edit" else turn(call("shell", command=command))
        for at, (command, _, _) in enumerate(commands)
    ]

    def shell(workspace: simulated.MemoryWorkspace, command: str) -> Ran:
        exit, text = printed.get(command, (0, ""))
        return Ran(exit=exit, text=text, wall_s=12.0)

    message = told(worker(writes("src/a.py", "x\n"), *steps, done("All tests pass.")), shell=shell)["one"]
    return message[message.index("\ntests: ") + 1 : message.index("\n\n## Summary")]


def test_only_the_last_run_that_covers_the_final_state_is_told_of_with_a_count_of_the_others() -> None:
    failed, passed = (
        ("pytest -x", 1, "1 failed, 371 passed in 0.60s"),
        ("pytest -q | tail -3", 0, "372 passed in 0.61s"),
    )
    stashed = (STASHED, 0, "FAILED a.py::b\n1 failed in 0.1s\na | b\n")
    edit = ("edit", 0, "")
    assert facts_of(failed, edit, passed) == "tests: `pytest -q …`: 372 passed; 1 earlier run"
    assert facts_of(failed, edit, passed, stashed) == "tests: `pytest -q …`: 372 passed; 2 earlier runs"
    assert facts_of(stashed, passed) == "tests: `pytest -q …`: 372 passed; 1 earlier run"
    after = "claim: says the tests pass; files changed after the last test run"
    assert facts_of(failed, edit) == f"tests: none after the last change; 1 earlier run\n{after}"
    assert facts_of(stashed) == f"tests: none after the last change; 1 earlier run\n{after}"
    assert facts_of(passed, edit) == f"tests: `pytest -q …`: 372 passed; files changed after it\n{after}"
    assert facts_of(passed, ("pytest -q > log; cat x", 0, "x")) == "tests: `pytest -q …`: 372 passed; 1 earlier run"


def test_a_failed_attempt_has_facts_too() -> None:
    failed = turn(call("submit_handoff", status="failed", summary="Cannot be done."))
    message = told(worker(turn(call("shell", command="pytest")), failed), shell=exits(1, "1 failed"))["one"]
    assert "landing: nothing landed\n" in message
    assert "2 steps" in message
    assert "tests: `pytest`: exit 1" in message
    assert "changed:" not in message


def test_a_slice_says_what_became_of_its_tasks_and_what_landed() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            if turns(request) == 0:
                return turn(call("spawn_subplanner", title="Half", goal="own half"))
            return done() if "# Handoff: " in said(request) else turn(call("wait"))
        if heading.startswith("# Slice"):
            return planner_of("lands", "lands too", "changes nothing", "fails")(request)
        if "lands" in heading:
            return done() if turns(request) else writes(f"{heading[8:]}.txt", "x\ny\n")
        status = "done" if "nothing" in heading else "failed"
        return turn(call("submit_handoff", status=status, summary="Over."))

    message = told(script)["Half"]
    assert "landing: none" not in message
    assert "tasks: 1 failed, 2 landed, 1 done without a change\nchanged: 2 commits, 2 files, +4 -0\n" in message
    assert "took: " in message


def test_each_finding_says_whether_it_was_seen_or_inferred() -> None:
    findings = [
        {"text": "int() takes 4,300 digits", "evidence": "seen", "share": True},
        {"text": "the shims are slow", "evidence": "inferred"},
        "a plain text",
    ]
    message = told(worker(writes("a.py", "x\n"), done(findings=findings)))["one"]
    assert "> seen: int() takes 4,300 digits\n> inferred: the shims are slow\n> a plain text" in message
    message = told(worker(writes("a.py", "x\n"), done(findings="one text")))["one"]
    assert message.endswith("## Findings\n\n> one text")


def test_a_new_dependency_is_named_and_is_a_deviation_if_the_intent_forbids_it() -> None:
    steps = (writes("pyproject.toml", '[project]\ndependencies = ["requests"]\n'), done())
    message = told(worker(*steps))["one"]
    assert "\nnew dependencies: requests (pyproject.toml)\n" in message
    assert "## Deviations" not in message
    message = told(worker(*steps), intent="Add a client. No new dependencies.")["one"]
    says = '> New dependencies, although the intent says "No new dependencies": requests (pyproject.toml)'
    assert f"## Deviations\n\n{says}" in message


@pytest.mark.parametrize(
    ("together", "why"),
    [
        (call("shell", command="pytest -q"), "a test run ended with: exit 1"),
        (call("read_file", path="no.py"), "a call failed: no.py"),
        (call("shell", command="grep -r x ."), ""),
    ],
)
def test_nobody_hands_off_in_the_turn_in_which_a_test_run_or_a_call_has_failed(together: ToolCall, why: str) -> None:
    hand_off = done().message.calls[0]
    heard: list[str] = []

    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return planner_of("one")(request)
        heard.extend(text for text in answers(request) if text.startswith("not handed off"))
        return (
            writes("a.py", "x\n") if not turns(request) else turn(together, hand_off) if turns(request) == 1 else done()
        )

    found = told(script, shell=exits(1))
    assert "landing: landed as" in found["one"]
    assert (not why and not heard) or (why in heard[0] and heard[0].endswith("Look at that first"))
