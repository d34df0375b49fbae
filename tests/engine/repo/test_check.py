"""The project's check: run contained at a commit, in a workspace that is kept; and found in a project's files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.domain.types import AgentId, CommitId
from engine.ports.protocols import Output, Workspace, WorkspaceLost
from engine.repo.check import SUSPECT, ContainedChecker, pytest_failures, suggest_check
from engine.repo.source import inspect_repo
from tests.engine.repo.person import Content, PersonRepo
from tests.simulated.time import EPOCH, SimulatedClock

ONE, TWO = CommitId("1" * 40), CommitId("2" * 40)


class Room:
    """A workspace that runs nothing but answers what it was given, and notes what it was asked."""

    def __init__(self, commit: CommitId, answers: list[Output | Exception], told: list[str]) -> None:
        self.commit = commit
        self.answers = answers
        self.told = told

    async def run(self, command: str, timeout_s: float, on_output: Callable[[str], None]) -> Output:
        on_output("a line\n")
        self.told.append(f"run {command} {timeout_s:g} at {self.commit[0]}")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def advance(self, commit: CommitId, base: CommitId) -> None:
        self.told.append(f"advance {commit[0]} {base[0]}")
        self.commit = commit

    async def close(self) -> None:
        self.told.append("close")


class Rooms:
    level = "off"
    method = "none"
    warm = False

    def __init__(self, *answers: Output | Exception) -> None:
        self.answers = list(answers)
        self.told: list[str] = []

    async def open(self, agent: AgentId, commit: CommitId, *, anew: bool = False) -> Workspace:
        self.told.append(f"open {agent} {commit[0]}{' anew' if anew else ''}")
        return Room(commit, self.answers, self.told)  # type: ignore[return-value]

    async def keep_builds(self, workspace: Workspace) -> None:
        self.told.append("keep builds")

    async def sweep(self) -> None: ...

    async def close(self) -> None: ...


def output(exit: int | None, text: str = "out\n", killed: str = "") -> Output:
    return Output(exit=exit, text=text, cut=0, whole="", killed=killed, wall_s=1.5)


def checker(rooms: Rooms) -> ContainedChecker:
    return ContainedChecker(rooms, SimulatedClock(), "make test", 60.0)


async def test_a_check_tells_how_the_command_ended() -> None:
    check = await checker(Rooms(output(0))).check(ONE)
    assert (check.commit, check.passed, check.exit, check.output) == (ONE, True, 0, "out\n")
    assert (check.at, check.wall_s) == (EPOCH, 1.5)
    assert not (await checker(Rooms(output(2))).check(ONE)).passed


async def test_a_check_out_of_time_did_not_pass() -> None:
    check = await checker(Rooms(output(None, killed="timeout"))).check(ONE)
    assert (check.passed, check.exit) == (False, None)
    assert check.output == "out\n[killed: timeout after 60 s]\n"


async def test_the_workspace_is_kept_between_checks_and_closed_at_the_end() -> None:
    rooms = Rooms(output(0), output(1))
    checks = checker(rooms)
    await checks.check(ONE)
    await checks.check(TWO)
    await checks.close()
    assert rooms.told == [
        "open check 1",
        "run make test 60 at 1",
        "advance 2 2",
        "run make test 60 at 2",
        "close",
    ]


async def test_each_check_begins_with_what_the_last_has_built_where_copies_can() -> None:
    rooms = Rooms(output(0), output(1), output(None, killed="timeout"), output(0))
    rooms.warm = True
    checks = checker(rooms)
    for commit in (ONE, TWO, ONE, TWO):
        await checks.check(commit)
    assert rooms.told == [
        "open check 1",
        "run make test 60 at 1",
        "keep builds",
        "open check 2",
        "run make test 60 at 2",
        "keep builds",  # a failed test says nothing against what was built
        "open check 1",
        "run make test 60 at 1",
        "close",  # it was cut off: what it left may be half written
        "open check 2",
        "run make test 60 at 2",
        "keep builds",
    ]


@pytest.mark.parametrize("warm", [True, False])
async def test_some_failures_in_a_row_make_the_next_check_build_all_anew(warm: bool) -> None:
    rooms = Rooms(*[output(1)] * SUSPECT, output(1), output(0))
    rooms.warm = warm
    checks = checker(rooms)
    for _ in range(SUSPECT + 2):
        await checks.check(ONE)
    opened = [line for line in rooms.told if line.startswith("open")]
    again = ["open check 1"] * (SUSPECT - 1) if warm else []
    assert opened == ["open check 1", *again, "open check 1 anew", *(["open check 1"] if warm else [])]


async def test_a_lost_workspace_is_replaced_once() -> None:
    rooms = Rooms(WorkspaceLost(), output(0))
    assert (await checker(rooms).check(ONE)).passed
    assert rooms.told.count("open check 1") == 2
    with pytest.raises(WorkspaceLost):
        await checker(Rooms(WorkspaceLost(), WorkspaceLost())).check(ONE)


async def test_long_output_keeps_head_and_tail() -> None:
    told = (await checker(Rooms(output(1, "head" + "x" * 100_000 + "tail"))).check(ONE)).output
    assert told.startswith("head")
    assert told.endswith("tail")
    assert "bytes left out" in told
    assert len(told) < 17_000


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"Makefile": b"all:\n\ttrue\ntest: all\n\ttrue\n", "test_x.py": b""}, "make test"),
        ({"Makefile": b"tests:\n\ttrue\ntest := x\n"}, ""),
        ({"Cargo.toml": b"[package]\n"}, "cargo test"),
        ({"go.mod": b"module x\n"}, "go test ./..."),
        ({"package.json": b'{"scripts": {"test": "node --test"}}'}, "npm test"),
        ({"package.json": b'{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'}, ""),
        ({"package.json": b"[" * 100_000}, ""),
        ({"pyproject.toml": b"[tool.pytest.ini_options]\n"}, "python3 -m pytest -q"),
        ({"pyproject.toml": b"not toml"}, ""),
        ({"pyproject.toml": b"many = " + b"9" * 5_000}, ""),
        ({"pyproject.toml": b"deep = " + b"[" * 5_000}, ""),
        ({"setup.cfg": b"[tool:pytest]\n"}, "python3 -m pytest -q"),
        ({"lib.py": b"", "tests/unit/test_a.py": b""}, "python3 -m pytest -q"),
        ({"README": b"r"}, ""),
    ],
)
async def test_the_check_command_is_found_in_a_projects_files(
    tmp_path: Path, files: dict[str, Content], command: str
) -> None:
    repo = PersonRepo.make(tmp_path / "repo", files)
    repo.write({"Makefile": b"test:\n\ttrue\n"})  # not committed: not seen
    assert await suggest_check(await inspect_repo(repo.root)) == command


PYTEST = """....F.
=========================== short test summary info ============================
FAILED tests/test_a.py::test_one - AssertionError: 1 != 2
FAILED tests/test_a.py::test_two[x-y] - boom
ERROR tests/test_b.py
{summary}
"""


@pytest.mark.parametrize(
    ("summary", "failing"),
    [
        ("2 failed, 5 passed, 1 error in 0.12s", 3),
        ("=== 2 failed, 5 passed, 3 warnings, 1 error in 61.10s (0:01:01) ===", 3),
        ("1 failed in 3s", 1),
        ("5 passed in 0.12s", 0),
        ("no tests ran in 0.01s", 0),
        ("test result: FAILED. 1 passed; 1 failed; finished in 0.00s", None),
        ("Ran 3 tests in 0.001s", None),
        ("make: *** [Makefile:3: test] Error 1", None),
    ],
)
def test_failing_tests_are_counted_where_pytest_says_how_many(summary: str, failing: int | None) -> None:
    count, names = pytest_failures(PYTEST.format(summary=summary))
    assert count == failing
    if failing is not None:
        assert names == ("tests/test_a.py::test_one", "tests/test_a.py::test_two[x-y]", "tests/test_b.py")


async def test_a_check_knows_its_failing_tests() -> None:
    rooms = Rooms(output(1, PYTEST.format(summary="2 failed, 1 error in 0.1s")))
    check = await ContainedChecker(rooms, SimulatedClock(), "pytest", 60.0).check(ONE)
    assert (check.failing, check.failed_tests[0]) == (3, "tests/test_a.py::test_one")
