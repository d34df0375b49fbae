"""The project's check: run on commits in a sandboxed workspace, and suggested from a project's files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.domain.types import AgentId, CommitId
from engine.ports.protocols import Output, Workspace, WorkspaceLost
from engine.repo.check import ContainedChecker, pytest_failures, suggest_check
from engine.repo.source import inspect_repo
from tests.engine.repo.user_repo import Content, UserRepo
from tests.simulated.time import EPOCH, SimulatedClock

ONE, TWO = CommitId("1" * 40), CommitId("2" * 40)


class ScriptedWorkspace:
    """A workspace that runs nothing: it records calls and returns the given results."""

    def __init__(self, commit: CommitId, answers: list[Output | Exception], calls: list[str]) -> None:
        self.commit = commit
        self.answers = answers
        self.calls = calls

    async def run(self, command: str, timeout_s: float, on_output: Callable[[str], None]) -> Output:
        on_output("a line\n")
        self.calls.append(f"run {command} {timeout_s:g} at {self.commit[0]}")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def advance(self, commit: CommitId, base: CommitId) -> None:
        self.calls.append(f"advance {commit[0]} {base[0]}")
        self.commit = commit

    async def close(self) -> None:
        self.calls.append("close")


class ScriptedWorkspaces:
    level = "off"
    method = "none"
    warm = False
    setup = ""

    def __init__(self, *answers: Output | Exception) -> None:
        self.answers = list(answers)
        self.calls: list[str] = []
        self.kept = True

    async def open(
        self,
        agent: AgentId,
        commit: CommitId,
        *,
        clean: bool = False,
        trunk_history: bool = False,
        preferred: bool = False,
    ) -> Workspace:
        assert preferred, "a check that starves stops green"
        self.calls.append(f"open {agent} {commit[0]}{' clean' if clean else ''}")
        return ScriptedWorkspace(commit, self.answers, self.calls)  # type: ignore[return-value]

    async def set_up(self, commit: CommitId) -> Output | None:
        if not self.setup:
            return None
        self.calls.append(f"set up {commit[0]}")
        answer = self.answers.pop(0)
        assert isinstance(answer, Output)
        return answer

    async def keep_builds(self, workspace: Workspace) -> bool:
        self.calls.append("keep builds")
        return self.kept

    async def discard_builds(self) -> None:
        self.calls.append("discard builds")

    async def sweep(self) -> None: ...

    async def close(self) -> None: ...


def output(exit: int | None, text: str = "out\n", killed: str = "") -> Output:
    return Output(exit=exit, text=text, cut=0, whole="", killed=killed, wall_s=1.5, cpu_s=0.5)


def checker(workspaces: ScriptedWorkspaces) -> ContainedChecker:
    return ContainedChecker(workspaces, SimulatedClock(), "make test", 60.0)


async def test_a_check_passes_when_its_command_exits_with_0() -> None:
    check = await checker(ScriptedWorkspaces(output(0))).check(ONE)
    assert (check.commit, check.passed, check.exit, check.output) == (ONE, True, 0, "out\n")
    assert (check.at, check.wall_s, check.cpu_s) == (EPOCH, 1.5, 0.5)
    assert not (await checker(ScriptedWorkspaces(output(2))).check(ONE)).passed


async def test_a_check_that_times_out_fails() -> None:
    check = await checker(ScriptedWorkspaces(output(None, killed="timeout"))).check(ONE)
    assert (check.passed, check.exit) == (False, None)
    assert check.output == "out\n[killed: timeout after 60 s]\n"


async def how(checks: ContainedChecker, *commits: CommitId, clean: bool = False) -> list[bool]:
    """Check the commits. Returns whether each check ran from nothing."""
    return [(await checks.check(commit, clean=clean)).clean for commit in commits]


async def test_a_workspace_is_kept_for_the_next_check_and_closed_at_the_end() -> None:
    workspaces = ScriptedWorkspaces(output(0), output(1))
    checks = checker(workspaces)
    assert await how(checks, ONE, TWO) == [True, False]
    await checks.close()
    assert workspaces.calls == [
        "open check 1 clean",
        "run make test 60 at 1",
        "advance 2 2",
        "run make test 60 at 2",
        "close",
    ]


async def test_each_check_starts_from_the_builds_of_the_last_if_workspaces_can_share_them() -> None:
    workspaces = ScriptedWorkspaces(output(0), output(1), output(None, killed="timeout"), output(0))
    workspaces.warm = True
    assert await how(checker(workspaces), ONE, TWO, ONE, TWO) == [True, False, False, False]
    assert workspaces.calls == [
        "open check 1 clean",
        "run make test 60 at 1",
        "keep builds",
        "open check 2",
        "run make test 60 at 2",
        "keep builds",  # builds are kept although the check failed
        "open check 1",
        "run make test 60 at 1",
        "close",  # the command was killed: its files may be half-written
        "open check 2",
        "run make test 60 at 2",
        "keep builds",
    ]


async def test_a_check_with_no_builds_to_start_from_runs_from_nothing() -> None:
    workspaces = ScriptedWorkspaces(output(0), output(0))
    workspaces.warm, workspaces.kept = True, False
    assert await how(checker(workspaces), ONE, TWO) == [True, True]
    assert [call for call in workspaces.calls if "open" in call] == ["open check 1 clean", "open check 2 clean"]


@pytest.mark.parametrize("warm", [True, False])
async def test_a_check_from_nothing_gets_a_new_workspace_whatever_is_kept(warm: bool) -> None:
    workspaces = ScriptedWorkspaces(*[output(0)] * 4)
    workspaces.warm = warm
    checks = checker(workspaces)
    assert await how(checks, ONE, TWO) == [True, False]
    assert await how(checks, TWO, clean=True) == [True]
    assert [call for call in workspaces.calls if "open" in call][-1] == "open check 2 clean"
    assert await how(checks, TWO) == [False], "and the next one starts from what it has built"


@pytest.mark.parametrize("warm", [True, False])
async def test_after_builds_are_discarded_the_next_check_runs_from_nothing(warm: bool) -> None:
    workspaces = ScriptedWorkspaces(*[output(0)] * 3)
    workspaces.warm = warm
    checks = checker(workspaces)
    assert await how(checks, ONE, TWO) == [True, False]
    await checks.discard_builds()
    assert workspaces.calls[-1] == "discard builds"
    assert await how(checks, TWO) == [True]


@pytest.mark.parametrize("warm", [True, False])
async def test_a_killed_check_from_nothing_leaves_no_builds_at_all(warm: bool) -> None:
    workspaces = ScriptedWorkspaces(output(0), output(None, killed="timeout"), output(0))
    workspaces.warm = warm
    checks = checker(workspaces)
    assert await how(checks, ONE, TWO, clean=True) == [True, True]
    assert workspaces.calls[-1] == "discard builds"
    assert await how(checks, TWO) == [True]


async def test_a_lost_workspace_is_replaced_once() -> None:
    workspaces = ScriptedWorkspaces(WorkspaceLost(), output(0))
    assert (await checker(workspaces).check(ONE)).passed
    assert workspaces.calls.count("open check 1 clean") == 2
    with pytest.raises(WorkspaceLost):
        await checker(ScriptedWorkspaces(WorkspaceLost(), WorkspaceLost())).check(ONE)


async def test_long_output_is_cut_in_the_middle() -> None:
    text = (await checker(ScriptedWorkspaces(output(1, "head" + "x" * 100_000 + "tail"))).check(ONE)).output
    assert text.startswith("head")
    assert text.endswith("tail")
    assert "characters ...]" in text
    assert len(text) < 17_000


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
async def test_a_check_command_is_suggested_from_the_committed_files(
    tmp_path: Path, files: dict[str, Content], command: str
) -> None:
    repo = UserRepo.make(tmp_path / "repo", files)
    repo.write({"Makefile": b"test:\n\ttrue\n"})  # not committed
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
def test_failed_tests_are_counted_from_pytests_summary(summary: str, failing: int | None) -> None:
    count, names = pytest_failures(PYTEST.format(summary=summary))
    assert count == failing
    if failing is not None:
        assert names == ("tests/test_a.py::test_one", "tests/test_a.py::test_two[x-y]", "tests/test_b.py")


async def test_a_check_names_its_failed_tests() -> None:
    workspaces = ScriptedWorkspaces(output(1, PYTEST.format(summary="2 failed, 1 error in 0.1s")))
    check = await ContainedChecker(workspaces, SimulatedClock(), "pytest", 60.0).check(ONE)
    assert (check.failing, check.failed_tests[0]) == (3, "tests/test_a.py::test_one")
