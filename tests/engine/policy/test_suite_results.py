"""What test runners say of their result at the end of a run."""

import pytest

from engine.policy.suite_results import NAMES, result_in


@pytest.mark.parametrize(
    ("output", "passed", "text"),
    [
        ("338 passed, 1 failed in 0.6s", False, "1 failed, 338 passed"),
        ("......\n372 passed in 0.60s\n", True, "372 passed"),
        ("===== 372 passed, 2 skipped, 1 warning in 61.20s (0:01:01) =====", True, "372 passed, 2 skipped"),
        ("372 passed, 14 subtests passed in 0.60s", True, "372 passed"),
        ("1 passed, 2 xfailed in 0.10s", True, "1 passed"),
        (
            "\x1b[31m\x1b[1m1 failed\x1b[0m, \x1b[32m3 passed\x1b[0m\x1b[31m in 0.02s\x1b[0m",
            False,
            "1 failed, 3 passed",
        ),
        ("ERROR tests/test_a.py\n1 error in 0.10s", False, "1 error"),
        ("no tests ran in 0.01s", None, "no tests ran"),
        ("3 deselected in 0.01s", None, "no tests ran"),
        ("Ran 5 tests in 0.001s\n\nOK\n", True, "5 passed"),
        ("Ran 5 tests in 0.001s\n\nOK (skipped=1, expected failures=1)\n", True, "4 passed, 1 skipped"),
        ("Ran 5 tests in 0.001s\n\nFAILED (failures=1, errors=2)\n", False, "1 failed, 2 errors, 2 passed"),
        ("FAILED (failures=1)", False, "1 failed"),
        ("Ran 1 test in 0.001s\n\nFAILED (unexpected successes=1)", False, "failed"),
        (
            "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            True,
            "5 passed",
        ),
        (
            "test result: ok. 5 passed; 0 failed; 0 ignored\n\ntest result: ok. 2 passed; 0 failed; 1 ignored",
            True,
            "7 passed",
        ),
        (
            "test result: FAILED. 4 passed; 1 failed; 0 ignored\nerror: test failed, to rerun pass `--lib`",
            False,
            "1 failed, 4 passed",
        ),
        ("test result: ok. 0 passed; 0 failed; 0 ignored", None, ""),
        ("     Summary [   0.01s] 5 tests run: 4 passed, 1 failed, 0 skipped", False, "1 failed, 4 passed"),
        ("ok  \texample.com/a\t0.003s\nok  \texample.com/b\t(cached)\n", True, "2 packages passed"),
        ("ok  \texample.com/a\t0.003s\nFAIL\texample.com/b\t0.1s\nFAIL\n", False, "1 package failed, 1 passed"),
        ("FAIL\texample.com/b [build failed]\nFAIL\n", False, "1 package failed"),
        ("Test Suites: 1 failed, 1 total\nTests:       2 failed, 3 passed, 5 total\n", False, "2 failed, 3 passed"),
        ("Test Suites: 1 failed, 2 passed, 3 total\nTests:       3 passed, 3 total\n", False, "1 failed, 3 passed"),
        ("Tests: 2 failed, 3 passed", False, "2 failed, 3 passed"),
        (" Test Files  1 passed (1)\n      Tests  5 passed | 1 skipped (6)\n", True, "5 passed, 1 skipped"),
        ("  5 passing (10ms)\n", True, "5 passing".replace("ing", "ed")),
        ("  5 passing (10ms)\n  1 pending\n  2 failing\n", False, "2 failed, 5 passed, 1 skipped"),
        ("100% tests passed, 0 tests failed out of 5\n", True, "5 passed"),
        ("80% tests passed, 1 tests failed out of 5\n", False, "1 failed, 4 passed"),
        ("[INFO] Tests run: 7, Failures: 0, Errors: 0, Skipped: 2\n", True, "5 passed, 2 skipped"),
        ("[ERROR] Tests run: 7, Failures: 1, Errors: 0, Skipped: 0\n", False, "1 failed, 6 passed"),
        ("Tests run: 5,  Failures: 1", False, "1 failed, 4 passed"),
        ("5 tests completed, 1 failed", False, "1 failed, 4 passed"),
        ("5 examples, 1 failure, 1 pending", False, "1 failed, 3 passed, 1 skipped"),
        ("5 runs, 8 assertions, 0 failures, 0 errors, 0 skips", True, "5 passed"),
        ("OK (5 tests, 8 assertions)", True, "5 passed"),
        ("Passed!  - Failed:     0, Passed:     5, Skipped:     0, Total:     5, Duration: 3 ms", True, "5 passed"),
        ("# pass 5\n# fail 1", False, "1 failed, 5 passed"),
        (" 5 pass\n 0 fail\n", True, "5 passed"),
        ("ok | 5 passed | 0 failed (12ms)", True, "5 passed"),
    ],
)
def test_the_summary_of_a_runner_is_read(output: str, passed: bool | None, text: str) -> None:
    found = result_in(f"noise\n{output}")
    assert (found.passed, found.text) == (passed, text)


@pytest.mark.parametrize(
    "output",
    [
        "",
        "diff --git a/x b/x\n+1 failed\n",
        "id | name\n1 | 5 passed in all\n",
        "OK\n",
        "all good, 3 tests passed\n",
        " src/a.py | 3 +-\n 1 file changed, 2 insertions(+), 1 deletion(-)\n",
        "ok 1 - adds\n",
        "FAILED to connect\n",
        "> 372 passed in 0.60s\n",
    ],
)
def test_other_output_is_no_result(output: str) -> None:
    found = result_in(output)
    assert (found.passed, found.text, found.names) == (None, "", ())


def test_a_failed_run_names_its_first_failures_and_nothing_else() -> None:
    failed = "".join(f"FAILED tests/test_a.py::test_{n} - assert {n} == 0\n" for n in range(9))
    found = result_in(f"def test_0():\n>  assert f() == 1\n{failed}9 failed in 0.1s\n 1 file changed\n| a | b |\n")
    assert found.names == tuple(f"FAILED tests/test_a.py::test_{n} - assert {n} == 0" for n in range(NAMES))
    for name in ("FAIL: test_b (tests.test_a.A.test_b)", "test a::b ... FAILED", "--- FAIL: TestB (0.00s)"):
        assert result_in(f"{name}\nx\nFAILED (failures=1)").names == (name,)
    assert result_in("FAILED tests/test_a.py::test_b\n3 passed in 0.1s").names == ()


def test_of_several_runs_those_count_that_are_asked_for() -> None:
    output = "FAILED a.py::test_b\n1 failed in 0.1s\n4 passed in 0.1s\n"
    last, first = slice(-1, None), slice(0, 1)
    assert (result_in(output, 2, last).passed, result_in(output, 2, last).text) == (True, "4 passed")
    assert (result_in(output, 2, first).passed, result_in(output, 2, first).text) == (False, "1 failed")
    assert (result_in(output).passed, result_in(output).text) == (False, "1 failed")
    mixed = "test result: FAILED. 0 passed; 1 failed\ntest result: ok. 1 passed; 0 failed\n"
    assert result_in(mixed, 2, last).text == "", "which of them belong to which run is not known"


@pytest.mark.parametrize("piece", ["1 a, ", "\n", "Ran 1 tests in 1s\n", "  5 passing\n", " 5 pass\n", "FAIL\t", "= "])
def test_long_output_is_read(piece: str) -> None:
    assert result_in(piece * (200_000 // len(piece))).passed is not False or piece == "FAIL\t"
