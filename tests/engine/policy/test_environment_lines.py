"""What agents are told of their environment, as text."""

from msgspec.structs import replace

from engine.domain.environment import Environment, Interpreter
from engine.domain.types import Check, CommitId
from engine.policy.environment_lines import check_line, found_lines, work_check_line, work_lines

REAL = "/root/.pyenv/versions/3.11.9/bin/python3.11"
FOUND = Environment(
    "",
    interpreters=(Interpreter("python3", "3.11.9", REAL), Interpreter("python", "3.11.9", REAL)),
    managers=("pip", "make"),
    tools=("pytest", ".venv/bin/ruff"),
    tests=("pytest",),
    missing=("uv", "mypy"),
    commands=("make test",),
    limits=("10m a command", "4GiB of memory", "512 processes"),
)
CHECK = Check(0, CommitId("c1"), True, 0, "", 41.3, command="make test")


def test_planners_get_all_of_it() -> None:
    assert found_lines(FOUND) == [
        f"`python3`, `python` 3.11.9 at {REAL}",
        "package managers and build tools: pip, make",
        "test and lint tools: `pytest`, `.venv/bin/ruff`",
        "named in the project or the intent, but not installed: uv, mypy",
        "the project's own commands: `make test`",
        "commands reach no network: nothing can be downloaded",
        "limits: 10m a command, 4GiB of memory, 512 processes",
    ]


def test_workers_get_what_a_task_needs() -> None:
    assert work_lines(FOUND) == [
        f"`python3`, `python` 3.11.9 at {REAL}",
        "tests: `pytest`; other tools: `.venv/bin/ruff`",
        "not installed: uv, mypy; no network: nothing can be downloaded",
        "limits: 10m a command, 4GiB of memory",
    ]


def test_a_slow_call_is_named_with_what_to_call_instead_and_only_if_it_was_measured() -> None:
    assert "CPU time" not in str(found_lines(FOUND))
    slow = replace(FOUND, interpreters=(Interpreter("python", "3.11.9", REAL, 2.1),), absent=("python3",))
    first, second, *_ = work_lines(slow)
    assert first == f"`python` 3.11.9 at {REAL}; no `python3`"
    assert second == f"`python` is a script that takes 2.1 s of CPU time a call to start {REAL}: call that"


def test_the_longest_environment_fits_into_its_lines() -> None:
    names = tuple(f"tool-{number}" for number in range(99))
    full = replace(
        FOUND,
        interpreters=tuple(Interpreter(f"python{n}", f"3.{n}", f"/opt/{n}/bin/python", 2.0) for n in range(9)),
        managers=names, tools=names, tests=names[:50], missing=names, commands=names, limits=names, gap="cut off",
    )  # fmt: skip
    whole = [*found_lines(full), check_line("make test", CHECK, 10)]
    work = [*work_lines(full), work_check_line("make test", CHECK)]
    assert (len(whole), len(work)) == (10, 6)
    assert all(len(line) < 1_000 for line in (*whole, *work))


def test_the_check_is_said_to_run_when_it_does() -> None:
    assert check_line("make test", CHECK, 10) == (
        "check: `make test` passed on the first commit in 41 s; it runs on trunk after every 10 landings and at the "
        "end, not while a worker hands off: workers run what covers their change"
    )
    assert "after each landing and" in check_line("make test", replace(CHECK, passed=False), 1)
    assert check_line("make test", None, 10).startswith("check: `make test`; it runs")
    assert check_line("", None, 10) == "check: none is configured, so only workers run tests"
    assert work_check_line("make test", CHECK).startswith("`make test` (41 s) checks the whole project later")
    assert work_check_line("make test", replace(CHECK, passed=False)).startswith("`make test` checks the whole")
    assert work_check_line("", None) == "nothing else runs the tests: run those that cover your change"


def test_the_time_of_the_check_is_that_of_the_processor_where_it_is_known() -> None:
    measured = replace(CHECK, cpu_s=2.2)
    assert "passed on the first commit in 2 s of CPU; it runs" in check_line("make test", measured, 10)
    assert work_check_line("make test", measured).startswith("`make test` (2 s of CPU) checks the whole project later")
    assert "(under 1 s of CPU)" in work_check_line("make test", replace(CHECK, cpu_s=0.0))


def test_what_was_not_looked_up_is_said() -> None:
    nothing = Environment("", limits=("10m a command",), gap="a copy could not be looked at")
    assert found_lines(nothing)[-1] == "not everything was looked up: a copy could not be looked at"
