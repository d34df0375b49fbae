"""Which commands are tests, and when their exit status is known."""

import pytest

from engine.domain import handoff_facts as facts
from engine.policy.recorded_tests import test_run as record_of

CHECK = "cd app && ./verify.sh --fast"


def ran(command: str, exit: int | None = 0, output: str = "", check: str = CHECK) -> facts.SuiteRun | bool:
    return record_of(command, exit, "" if exit is not None else "timeout", output, 12.04, check)


@pytest.mark.parametrize(
    "command",
    [
        "pytest",
        "pytest -q tests/test_a.py::test_b",
        "python -m pytest -x",
        "python3.11 -W error -m pytest",
        "timeout 60 python -m pytest",
        "cd x && PYTHONPATH=. .venv/bin/pytest -q",
        "nice -n 5 uv run --frozen pytest",
        "poetry run pytest",
        "python -m unittest discover -s tests",
        "python tests/test_app.py",
        "python -m doctest README.md",
        "coverage run -m pytest",
        "tox -e py311",
        "nox -s tests",
        "make test",
        "make -j4 check",
        "make unit-tests",
        "npm test",
        "npm run test:unit -- --watch=false",
        "yarn test",
        "pnpm run -r test",
        "npx jest src",
        "npx vitest run",
        "cargo test --workspace",
        "cargo nextest run",
        "go test ./...",
        "ctest --output-on-failure",
        "./gradlew test",
        "mvn -q test",
        "dotnet test",
        "bundle exec rspec",
        "rspec spec",
        "bin/rails test",
        "mix test",
        "bash -c 'cd x && pytest -q'",
        "./run_tests.sh",
        "sh scripts/test.sh",
        "./verify.sh --fast",
        "cd app && ./verify.sh --fast",
        "set -e\npytest -q",
        "(pytest -q)",
        "time pytest 2>&1",
    ],
)
def test_a_command_that_runs_tests_is_recognised(command: str) -> None:
    run = ran(command)
    assert isinstance(run, facts.SuiteRun)
    assert (run.passed, run.ended, run.wall_s) == (True, "exit 0", 12.0)


@pytest.mark.parametrize(
    "command",
    [
        "ls tests",
        "cat tests/test_app.py",
        "grep -rn pytest .",
        "git diff -- tests",
        "git log --grep 'make test'",
        "sed -n 1,20p tests/test_a.py",
        "pip install pytest",
        "cd tests",
        "echo 'now run pytest'",
        "# pytest\nls",
        "cat > README.md <<'EOF'\nRun the tests:\n\npytest -q\nmake test\nEOF",
        "ls",
    ],
)
def test_a_command_that_only_reads_or_writes_is_no_test(command: str) -> None:
    assert ran(command) is False


@pytest.mark.parametrize(
    "command",
    [
        "python -c 'assert f() == 1'",
        "./scripts/acceptance-check",
        "docker compose run app make-tests",
        "python - <<'EOF'\nprint(f())\nEOF",
        "pytest --version",
        "make",
    ],
)
def test_a_command_that_somebody_may_call_a_test_is_kept_in_mind(command: str) -> None:
    assert ran(command) is True


@pytest.mark.parametrize(
    ("command", "exit", "passed"),
    [
        ("pytest", 1, False),
        ("pytest | tail -3", 0, None),
        ("pytest 2>&1 | tail -3", 1, None),
        ("pytest |& tee log", 0, None),
        ("set -o pipefail; pytest | tail -3", 1, False),
        ("set -euo pipefail\npytest | tail -3", 0, True),
        ("cd x && pytest", 1, False),
        ("pytest && ruff check", 0, True),
        ("pytest && ruff check", 1, None),
        ("pytest a && pytest b", 1, False),
        ("pytest || true", 0, None),
        ("pytest || exit 1", 1, False),
        ("pytest; echo done", 0, None),
        ("pytest\necho done", 0, None),
        ("pytest &", 0, None),
        ("ruff check; pytest", 1, False),
        ("bash -c 'pytest | tail'", 0, None),
        ("echo a | pytest", 0, True),
        ("pytest", None, None),
    ],
)
def test_an_exit_status_counts_only_if_it_is_that_of_the_tests(
    command: str, exit: int | None, passed: bool | None
) -> None:
    run = ran(command, exit)
    assert isinstance(run, facts.SuiteRun)
    assert run.passed is passed
    if passed is None:
        assert run.ended == ("result not readable" if exit is not None else "killed: timeout")


STASHED = "git stash push -q src; pytest -q tests/test_new.py; git stash pop -q"


@pytest.mark.parametrize(
    ("command", "exit", "output", "passed", "ended"),
    [
        ("pytest -q | tail -3", 0, "372 passed in 0.60s", True, "372 passed"),
        ("pytest -q | tail -3", 0, "338 passed, 1 failed in 0.6s", False, "1 failed, 338 passed"),
        ("pytest -q; git diff", 0, "372 passed in 0.60s\ndiff --git a/x b/x\n+a\n", True, "372 passed"),
        ("pytest -q; ./app table", 1, "372 passed in 0.60s\na | b\n", True, "372 passed"),
        ("pytest -q; ./serve", None, "372 passed in 0.60s\n", True, "372 passed"),
        ("pytest -q", 0, "372 passed in 0.60s", True, "372 passed"),
        ("pytest -q", 1, "372 passed in 0.60s\nToo little is covered", None, "372 passed, but exit 1"),
        ("pytest -q", 5, "no tests ran in 0.01s", None, "no tests ran"),
        ("pytest -q", 127, "pytest: command not found", False, "exit 127"),
        ("pytest -q", 0, "", True, "exit 0"),
        ("pytest -q", None, "....", None, "killed: timeout"),
        ("pytest -q", None, "3 passed in 0.1s", None, "3 passed, but killed: timeout"),
        ("pytest -q > log; git diff", 0, "+1 failed\n", None, "result not readable"),
        (f"{STASHED}; pytest -q", 0, "1 failed in 0.1s\n372 passed in 0.6s", True, "372 passed"),
        (f"{STASHED}; pytest -q | tail -1", 0, "1 failed in 0.1s\n372 passed in 0.6s", True, "372 passed"),
        (
            "pytest -q; sed -i s/a/b/ src/a.py; pytest -q | tail -1",
            0,
            "1 failed in 0.1s\n2 passed in 0.6s",
            True,
            "2 passed",
        ),
        (f"pytest -q | tail -3; {STASHED}", 0, "372 passed in 0.6s\n1 failed in 0.1s", True, "372 passed"),
        (f"pytest -q > /dev/null; {STASHED}", 0, "1 failed in 0.1s", None, "result not readable"),
        ("pytest -q a; pytest -q b | tail -1", 0, "1 failed in 0.1s\n2 passed in 0.6s", False, "1 failed"),
        (
            "cargo test; git stash pop; cargo test | tail -3",
            0,
            "test result: ok. 1 passed; 0 failed",
            None,
            "result not readable",
        ),
    ],
)
def test_the_result_is_the_runners_own_where_the_exit_status_is_anothers(
    command: str, exit: int | None, output: str, passed: bool | None, ended: str
) -> None:
    run = ran(command, exit, output)
    assert isinstance(run, facts.SuiteRun)
    assert (run.passed, run.ended, run.output, run.covers) == (passed, ended, "", True)


@pytest.mark.parametrize(
    "command",
    [
        STASHED,
        "git stash -q && pytest -q | tail -5; git stash pop -q; ./app table",
        "cp src/a.py /tmp/a.py; git show HEAD:src/a.py > src/a.py; pytest; cp /tmp/a.py src/a.py",
        "git checkout -q HEAD~1 -- src\npytest -q\ngit checkout -q HEAD -- src",
        "sed -i 's/<=/</' src/a.py && pytest -q; git checkout src/a.py",
        "git worktree add -q /tmp/base HEAD; cd /tmp/base && pytest -q; cd - && git worktree remove /tmp/base",
    ],
)
def test_a_run_without_the_change_does_not_cover_what_the_command_leaves_behind(command: str) -> None:
    run = ran(command, 1, "1 failed in 0.1s")
    assert isinstance(run, facts.SuiteRun)
    assert not run.covers


@pytest.mark.parametrize(
    "command",
    [
        "cp a b && pytest",
        "git stash pop -q; pytest",
        "pytest; cp report.xml out.xml",
        "git stash; pytest; git stash list",
        "cat > tests/test_b.py <<'EOF'\nx\nEOF\npytest -q | tail -3\npython - <<'EOF'\nprint(f())\nEOF",
        "sed -i s/a/b/ src/a.py; pytest -q; ./app > out.txt",
    ],
)
def test_a_run_that_nothing_is_put_back_after_covers_the_files(command: str) -> None:
    run = ran(command)
    assert isinstance(run, facts.SuiteRun)
    assert run.covers


def test_only_the_test_of_a_command_is_shown_and_of_its_output_only_the_failures() -> None:
    output = "a | b\n\nFAILED tests/test_a.py::test_b\n1 failed in 2 s\nc | d\n"
    run = ran("cd x; git status && PYTHONPATH=src pytest -q 2>&1 | tail -3; git diff", 0, output)
    assert isinstance(run, facts.SuiteRun)
    assert run.command == "… PYTHONPATH=src pytest -q …"
    assert run.output == "FAILED tests/test_a.py::test_b"
    long = ran("pytest " + "x" * 200, 1)
    assert isinstance(long, facts.SuiteRun)
    assert len(long.command) == 100


@pytest.mark.parametrize("command", ["make " + "a_" * 2_000, "./" + "test_" * 2_000, "npm " + "-x " * 1_000])
def test_a_command_of_thousands_of_parts_is_judged(command: str) -> None:
    assert ran(command) is not None
