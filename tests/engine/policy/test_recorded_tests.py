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
        assert run.ended == ("exit unknown" if exit is not None else "killed: timeout")


def test_the_end_of_what_a_failed_test_printed_is_kept() -> None:
    run = ran("pytest " + "x" * 200, 1, "a\n\nFAILED tests/test_a.py::test_b\n1 failed in 2 s\n")
    assert isinstance(run, facts.SuiteRun)
    assert run.output == "FAILED tests/test_a.py::test_b\n1 failed in 2 s"
    assert len(run.command) == 100
    passed = ran("pytest", 0, "3 passed")
    assert isinstance(passed, facts.SuiteRun)
    assert passed.output == ""


@pytest.mark.parametrize("command", ["make " + "a_" * 2_000, "./" + "test_" * 2_000, "npm " + "-x " * 1_000])
def test_a_command_of_thousands_of_parts_is_judged(command: str) -> None:
    assert ran(command) is not None
