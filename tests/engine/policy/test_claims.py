"""Which sentences claim that tests ran or pass, and which claims the record does not bear out."""

import pytest

from engine.domain import handoff_facts as facts
from engine.policy.claims import claims, doubts

PASSED = facts.SuiteRun("pytest -q", True, "exit 0", 2.0)
FAILED = facts.SuiteRun("pytest -q", False, "exit 1", 2.0, "1 failed")
LINTED = facts.SuiteRun("make check", False, "exit 2", 2.0)
KILLED = facts.SuiteRun("pytest -q", None, "killed: timeout", 600.0)
UNKNOWN = facts.SuiteRun("pytest -q …", None, "result not readable", 2.0)
READ = facts.SuiteRun("pytest -q …", False, "1 failed, 3 passed", 2.0)
UNCOVERED = facts.SuiteRun("pytest -q", None, "3 passed, but exit 1", 2.0)
PASS = "All tests pass."


@pytest.mark.parametrize(
    "text",
    [
        "All tests pass.",
        "Added the parser. The tests pass.",
        "The whole test suite passes now.",
        "- parser added\n- all 42 tests pass\n",
        "Everything passes.",
        "All existing and new tests still pass, and the docs are updated.",
        "1,531 tests passed.",
        "The full suite is green.",
        "It passes all existing tests.",
        "Tests are passing.",
        "I ran the tests and all 12 tests pass.",
        "All green.",
        "Pytest passes.",
    ],
)
def test_a_plain_statement_claims_that_the_tests_pass(text: str) -> None:
    assert claims(text)[0]


@pytest.mark.parametrize(
    "text",
    ["I ran the whole test suite.", "Ran the tests.", "We re-ran pytest.", "Added it and ran all the unit tests."],
)
def test_a_plain_statement_claims_that_the_tests_ran(text: str) -> None:
    assert claims(text) == (False, True)


@pytest.mark.parametrize(
    "text",
    [
        "I did not run the tests.",
        "I didn't run the test suite.",
        "The tests do not pass.",
        "Not all tests pass.",
        "All tests pass except test_b.",
        "Most tests pass.",
        "Two tests fail; the rest of the tests pass if the network is up.",
        "The tests should pass.",
        "All tests will pass once the fixture lands.",
        "The tests passed before my change, according to CI.",
        "CI says that all tests pass.",
        "Upstream's tests pass.",
        "> All tests pass.",
        'The README says "all tests pass".',
        "The issue claims `all tests pass`.",
        "```\n42 passed\n```",
        "Make sure that the tests pass.",
        "To check: run the tests.",
        "The tests pass None to the parser.",
        "Tests pass a dict to f().",
        "The tests pass in an empty list.",
        "Added tests for the password check.",
        "New tests cover passing and failing values.",
        "Without the tests nothing passes.",
        "The tests were run by another worker.",
        "The user ran the tests.",
        "Could not run the suite, pytest is absent.",
        "Tests: none.",
        "If all tests pass, merge it.",
        "Do all tests pass?",
        "The check that all tests pass was removed.",
        "Trunk's tests pass.",
        "Bypasses all tests.",
        "",
    ],
)
def test_no_other_sentence_is_a_claim(text: str) -> None:
    assert claims(text) == (False, False)


@pytest.mark.parametrize(
    ("text", "log", "found"),
    [
        (PASS, facts.SuiteLog(), "says the tests pass; its log has no command that runs tests"),
        ("Ran the tests.", facts.SuiteLog(), "says it ran the tests; its log has no command that runs tests"),
        (PASS, facts.SuiteLog((PASSED, FAILED), 2), "says the tests pass; the last test run ended with exit 1"),
        (PASS, facts.SuiteLog((KILLED,), 1), "says the tests pass; the last test run ended with a kill: timeout"),
        (PASS, facts.SuiteLog((PASSED,)), "says the tests pass; files changed after the last test run"),
        (PASS, facts.SuiteLog((PASSED, LINTED), 1), "says the tests pass; the last test run ended with exit 2"),
        (PASS, facts.SuiteLog((PASSED, LINTED), 2), ""),
        (PASS, facts.SuiteLog((PASSED,), 1), ""),
        (PASS, facts.SuiteLog((UNKNOWN,), 1), ""),
        (PASS, facts.SuiteLog((READ,), 1), "says the tests pass; the last test run ended with 1 failed, 3 passed"),
        (
            PASS,
            facts.SuiteLog((READ, UNKNOWN), 2),
            "says the tests pass; the last test run ended with 1 failed, 3 passed",
        ),
        (PASS, facts.SuiteLog((READ, PASSED), 1), ""),
        (PASS, facts.SuiteLog((UNCOVERED,), 1), ""),
        (PASS, facts.SuiteLog(maybe=True), ""),
        (PASS, facts.SuiteLog((FAILED,), 1, maybe=True), ""),
        (PASS, facts.SuiteLog((PASSED,), maybe=True), ""),
        (PASS, facts.SuiteLog(whole=False), ""),
        (PASS, None, ""),
        ("Ran the tests.", facts.SuiteLog((FAILED,), 1), ""),
        ("I did not run the tests.", facts.SuiteLog(), ""),
        ("Done.", facts.SuiteLog((FAILED,), 1), ""),
    ],
)
def test_a_claim_is_doubted_only_where_the_record_says_otherwise(
    text: str, log: facts.SuiteLog | None, found: str
) -> None:
    marks = doubts(text, log)
    assert len(marks) == bool(found)
    assert all(mark == found for mark in marks)
