"""What is known of a base outside of its run: kept checks, and advice about what a clean copy lacks."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.domain.settings import BuildSettings, RepoSettings, SandboxSettings, Settings
from engine.domain.types import Check, CommitId
from engine.repo.base_surveys import BaseSurveys
from engine.sandbox.guarantees import CopyMethod, Level, SandboxReport
from tests.engine.repo.user_repo import Content, UserRepo
from tests.git import make_trunk

REPORT = SandboxReport(Level.FULL, CopyMethod.OVERLAY)
SETTINGS = Settings(repo=RepoSettings(check="make test"))
FAILED = Check(1, CommitId("c"), False, 1, "it failed\n", 1.0, clean=True, command="make test")


class Base:
    """A repository with one commit, and its run's trunk."""

    def __init__(self, folder: Path, files: dict[str, Content]) -> None:
        self.repo = UserRepo.make(folder / "repo", files)
        self.trunk = folder / "trunk.git"
        self.file = folder / "surveys.json"
        self.commit = CommitId(self.repo.git("rev-parse", "HEAD"))
        make_trunk(self.repo.root, self.trunk)

    def surveys(self, settings: Settings = SETTINGS, report: SandboxReport = REPORT) -> BaseSurveys:
        return BaseSurveys(self.file, self.repo.root, self.trunk, self.commit, settings, report)


async def test_the_advice_names_what_git_ignores_and_a_setup_command_for_the_lock_files(tmp_path: Path) -> None:
    base = Base(tmp_path, {".gitignore": b".env\nnode_modules/\n", "package-lock.json": b"{}", "uv.lock": b""})
    base.repo.write({".env": b"KEY=1\n", "node_modules/a/index.js": b"", "untracked": b""})
    about_setup, about_ignored, how_to_see = await base.surveys().advice(FAILED)
    assert '[build] setup = "uv sync --frozen && npm ci"; commands have no network' in about_setup
    assert about_ignored == "copies lack what git ignores; in your work tree: .env, node_modules/"
    settings = replace(SETTINGS, build=BuildSettings(setup="npm ci"), sandbox=SandboxSettings(network=True))
    assert await base.surveys(settings).advice(FAILED) == (about_ignored, how_to_see)
    assert (
        how_to_see == f"to see it in your shell: git worktree add --detach DIR {base.commit[:12]}, then run it in DIR"
    )


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (replace(FAILED, exit=None, output="[killed: timeout after 600 s]\n"), "raise [repo] check_timeout"),
        (replace(FAILED, exit=None, output="[killed: timeout after 9 s]\n", setup="x"), "raise [build] setup_timeout"),
        (replace(FAILED, exit=127, output="sh: 1: cargo: not found\n"), "only the tools that `swarm-tui doctor` lists"),
        (replace(FAILED, output="fatal: No names found, cannot describe anything.\n"), "no remotes and no tags"),
        (replace(FAILED, output="version https://git-lfs.github.com/spec/v1\n"), "Git LFS are pointers"),
        (replace(FAILED, output="ENOTFOUND", setup="npm ci"), "[sandbox] network = true"),
    ],
)
async def test_the_advice_follows_from_how_the_check_failed(tmp_path: Path, check: Check, expected: str) -> None:
    base = Base(tmp_path, {"README.md": b"hello\n"})
    assert any(expected in line for line in await base.surveys().advice(check))


async def test_the_advice_names_submodules_and_links_out_of_the_repository(tmp_path: Path) -> None:
    base = Base(tmp_path, {"data": "/srv/data", "near": "README.md", "README.md": b"hello\n"})
    base.repo.git("update-index", "--add", "--cacheinfo", f"160000,{base.commit},vendor/lib")
    base.repo.git("commit", "-q", "-m", "submodule")
    base.commit = CommitId(base.repo.git("rev-parse", "HEAD"))
    base.repo.git("push", "-q", str(base.trunk), "HEAD:refs/heads/more")
    assert (await base.surveys().advice(FAILED))[:-1] == (
        "submodules are empty in copies: vendor/lib",
        "links lead out of the repository: data",
    )


async def test_a_repository_that_git_cannot_read_still_gets_advice(tmp_path: Path) -> None:
    base = Base(tmp_path, {"README.md": b"hello\n"})
    base.commit = CommitId("0" * 40)
    assert await base.surveys().advice(replace(FAILED, exit=127)) != ()


def test_a_passed_check_is_kept_for_the_same_commit_commands_settings_and_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Base(tmp_path, {"README.md": b"hello\n"})
    tools = tmp_path / "bin"
    tools.mkdir()
    monkeypatch.setenv("PATH", str(tools))
    assert base.surveys().kept() is None
    base.surveys().keep(replace(FAILED, passed=True, exit=0, cpu_s=0.5))
    assert base.surveys().kept() == replace(FAILED, passed=True, exit=0, output="", cpu_s=0.5)
    for other in (
        replace(SETTINGS, repo=RepoSettings(check="make check")),
        replace(SETTINGS, build=BuildSettings(setup="npm ci")),
        replace(SETTINGS, sandbox=SandboxSettings(network=True)),
    ):
        assert base.surveys(other).kept() is None
    assert base.surveys(report=replace(REPORT, level=Level.RESTRICTED)).kept() is None
    (tools / "cc").touch()
    assert base.surveys().kept() is None, "another compiler may fail"


@pytest.mark.parametrize("content", [b"", b"no json", b'[{"key": 1}]', b"[" * 10_000])
def test_a_damaged_file_of_kept_checks_has_none_and_is_replaced(tmp_path: Path, content: bytes) -> None:
    base = Base(tmp_path, {"README.md": b"hello\n"})
    base.file.write_bytes(content)
    assert base.surveys().kept() is None
    base.surveys().keep(replace(FAILED, passed=True))
    assert base.surveys().kept() is not None
