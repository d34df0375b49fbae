"""The contract of protocols.Workspaces, run with every copy method and sandbox level that this machine supports."""

# ruff: noqa: ASYNC221 - a test may block

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from engine.domain.errors import SwarmError
from engine.domain.settings import BuildSettings, SandboxSettings
from engine.domain.types import AgentId, CommitId
from engine.ports.protocols import WorkspaceError, WorkspaceLost
from engine.repo.changes import left_out
from engine.repo.workspaces.pool import WorkspacePool, open_workspaces
from engine.repo.workspaces.workspace import AgentWorkspace
from engine.sandbox.mounts import OBJECTS, WS
from engine.sandbox.probe import can_reflink
from engine.tools.search import file_globs
from tests.contracts.workspace_kinds import KINDS
from tests.git import copy_commits, git, git_with_unlanded, make_trunk

AGENT = AgentId("agent-1")


def quiet(_: str) -> None:
    pass


class Project:
    """A real repository with a trunk, as in a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = folder / "source"
        self.trunk = folder / "trunk.git"
        self.source.mkdir()
        self.git("init", "-q", "-b", "main")
        self.write("README.md", "# Greeter\n")
        self.write("src/greet.py", "def greet():\n    return 'hello'\n")
        self.write("src/deep/er/data.txt", "1\n2\n3\n")
        self.write("tool.sh", "#!/bin/sh\necho tool\n")
        (self.source / "tool.sh").chmod(0o755)
        (self.source / "link").symlink_to("README.md")
        self.write(".gitignore", "*.o\nbuild/\n!keep.o\n")
        self.base = self.commit("first")
        make_trunk(self.source, self.trunk)

    def git(self, *args: str, where: Path | None = None) -> str:
        return git(where or self.source, *args)

    def write(self, path: str, text: str) -> None:
        file = self.source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def commit(self, message: str) -> CommitId:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        if self.trunk.exists():
            copy_commits(self.source, self.trunk)
        return CommitId(self.git("rev-parse", "HEAD"))

    def in_trunk(self, *args: str) -> str:
        return git_with_unlanded(self.trunk, *args)


@pytest.fixture(scope="session")
def sharing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """A folder on a filesystem with reflinks, if need be and if possible on an image mounted for it."""
    place = tmp_path_factory.mktemp("sharing")
    if can_reflink(place):
        yield place
        return
    image, mounted = place / "image", place / "mounted"
    mounted.mkdir()
    image.touch()
    os.truncate(image, 1 << 30)
    for make in (["mkfs.xfs", "-q", "-m", "reflink=1"], ["mkfs.btrfs", "-q"]):
        if shutil.which(make[0]) and os.geteuid() == 0 and not subprocess.run([*make, image], check=False).returncode:
            break
    else:
        yield None
        return
    if subprocess.run(["mount", "-o", "loop", image, mounted], check=False, capture_output=True).returncode:
        yield None
        return
    yield mounted
    subprocess.run(["umount", "--lazy", mounted], check=False)
    image.unlink()


@pytest.fixture(params=KINDS, ids=lambda kind: "-".join(kind))
def kind(request: pytest.FixtureRequest) -> tuple[str, str]:
    found: tuple[str, str] = request.param
    return found


@pytest.fixture
def project(tmp_path: Path, kind: tuple[str, str], request: pytest.FixtureRequest) -> Project:
    if kind[1] != "reflink":
        return Project(tmp_path)
    place: Path | None = request.getfixturevalue("sharing")
    if place is None:
        pytest.skip("no filesystem here supports reflinks, and none can be mounted")
    return Project(Path(tempfile.mkdtemp(dir=place)))


@pytest.fixture
async def workspaces(
    kind: tuple[str, str], project: Project, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[WorkspacePool]:
    level, method = kind
    monkeypatch.setenv("XDG_CONFIG_HOME", str(project.folder / "config"))
    project.write("../config/git/ignore", ".DS_Store\n*.pyc\nwanted\n*.log\n")
    project.write(".git/info/exclude", "/notes/\n!wanted\n")
    settings = SandboxSettings(level=level, copies=method, memory="512MiB", output="1MiB")
    try:
        made = await open_workspaces(project.folder / "workspaces", project.trunk, settings, project.base)
    except SwarmError as error:
        pytest.skip(error.message)
    yield made
    await made.close()


@pytest.fixture
async def workspace(workspaces: WorkspacePool, project: Project) -> AgentWorkspace:
    return await workspaces.open(AGENT, project.base)


Shell = Callable[[str], "asyncio.Future[str]"]


async def shell(workspace: AgentWorkspace, command: str, seconds: float = 30) -> str:
    output = await workspace.run(command, seconds, quiet)
    assert output.killed == "", output
    return output.text


async def test_a_new_workspace_shows_the_commit_and_no_changes(workspace: AgentWorkspace, project: Project) -> None:
    assert await workspace.read_file("src/greet.py") == b"def greet():\n    return 'hello'\n"
    assert await workspace.changed() == ()
    assert await workspace.diff() == ""
    assert await shell(workspace, "pwd; ./tool.sh; readlink link") == f"{workspace.root}\ntool\nREADME.md\n"


async def test_the_agents_own_git_is_ready_and_shows_only_the_project(workspace: AgentWorkspace) -> None:
    output = await shell(
        workspace, "git status --porcelain; git log --format=%s; git branch -a; git fsck 2>&1 | head -3"
    )
    assert output.splitlines()[:2] == ["first", "* work"]
    output = await shell(
        workspace, "echo more >> README.md; git commit -qam mine; git log --format=%s -1; git status -s"
    )
    assert output == "mine\n"
    assert await workspace.changed() == ("README.md",)


async def test_git_has_an_identity_in_every_repository_of_a_command(workspace: AgentWorkspace) -> None:
    inside = await shell(workspace, "git commit -q --allow-empty -m x && git log -1 --format='%an <%ae> %cn'")
    assert inside == "agent <agent@localhost> agent\n"
    commands = (
        "git init && git commit -q --allow-empty -m x && git symbolic-ref HEAD && git log --format='%an %ce'",
        "git clone -q . copy && git -C copy tag -a v1 -m v1 && git -C copy describe",
        "git config --global user.name other && git commit -q --allow-empty -m y && git log -1 --format=%an",
        "git config user.name own && git commit -q --allow-empty -m z && git log -1 --format=%an",
    )
    said = await shell(workspace, f"cd $(mktemp -d) && HOME=$(mktemp -d) && export HOME && {' && '.join(commands)}")
    assert said.splitlines()[1:] == ["refs/heads/main", "agent agent@localhost", "v1", "other", "own"], said
    assert await shell(workspace, "git config --system --get user.email || git config --list --show-origin") == (
        "agent@localhost\n"
    )


async def test_a_command_finds_what_programs_expect_of_a_machine(workspace: AgentWorkspace) -> None:
    said = await shell(
        workspace,
        'touch "$HOME/x" "$TMPDIR/x" && mkdir -p ~/.cache/a && echo writable; python3 -c "import pwd, os, sys; '
        "print(bool(pwd.getpwuid(os.getuid())), sys.getfilesystemencoding(), os.environ['USER'], os.environ['LOGNAME'])"
        '"; date +%Z >/dev/null && echo "$TERM $LANG"',
    )
    assert said == "writable\nTrue utf-8 agent agent\ndumb C.UTF-8\n"


async def test_every_kind_of_change_is_committed_as_git_would(workspace: AgentWorkspace, project: Project) -> None:
    await shell(
        workspace,
        "rm src/deep/er/data.txt; mv src/greet.py src/hello.py; chmod -x tool.sh; ln -sf tool.sh link;"
        "mkdir -p new/folder; printf 'x' > new/folder/file; rm README.md; mkdir README.md; echo in > README.md/inside",
    )
    assert await workspace.changed() == (
        "README.md", "README.md/inside", "link", "new/folder/file", "src/deep/er/data.txt",
        "src/greet.py", "src/hello.py", "tool.sh",
    )  # fmt: skip
    assert "rename from src/greet.py" in await workspace.diff()
    commit = await workspace.commit("change\n")
    assert project.in_trunk("ls-tree", "-r", "--format=%(objectmode) %(path)", commit).splitlines() == [
        "100644 .gitignore",
        "100644 README.md/inside",
        "120000 link",
        "100644 new/folder/file",
        "100644 src/hello.py",
        "100644 tool.sh",
    ]
    assert project.in_trunk("rev-parse", f"{commit}^") == project.base
    assert project.in_trunk("log", "-1", "--format=%B", commit) == "change"
    assert project.in_trunk("fsck", "--no-dangling", commit) == ""


async def test_ignored_files_never_land_but_tracked_files_always_do(
    workspaces: WorkspacePool, project: Project
) -> None:
    project.git("add", "-f", ".")
    project.write("build/tracked.txt", "t\n")
    project.git("add", "-f", "build/tracked.txt")
    project.git("commit", "-qm", "tracked though ignored")
    copy_commits(project.source, project.trunk)
    commit = CommitId(project.git("rev-parse", "HEAD"))
    workspace = await workspaces.open(AGENT, commit)
    await shell(
        workspace,
        "touch a.o keep.o src/b.o; echo x >> build/tracked.txt; touch build/other; mkdir -p vendor/.git src/sub;"
        "touch vendor/.git/config vendor/code.py; echo '/only' > src/sub/.gitignore; touch src/sub/only src/sub/not",
    )
    assert await workspace.changed() == (
        "build/tracked.txt", "keep.o", "src/sub/.gitignore", "src/sub/not", "vendor/code.py"
    )  # fmt: skip


async def test_what_no_commit_can_hold_is_named_with_the_reason(workspace: AgentWorkspace) -> None:
    await shell(
        workspace,
        "touch a.o; mkdir -p build/deep empty/er cache/x __pycache__ .swarm .git/hooks; touch build/deep/f .swarm/mine;"
        "echo 'Signature: 8a477f597d28d172789f06886806bc55' > cache/CACHEDIR.TAG; mkfifo pipe; git init -q inner;"
        "ln -s ../outside out; ln -s src inside; chmod 600 README.md; rm tool.sh; mkfifo tool.sh; touch .git/hooks/x;"
        "git tag mine; touch src/deep/er/data.txt; chmod +x src/greet.py",
    )
    expected = {
        "a.o": left_out.IGNORED,
        "build/": left_out.IGNORED,
        "empty/er/": left_out.EMPTY,
        "pipe": left_out.SPECIAL,
        "tool.sh": left_out.SPECIAL,
        "inner/.git": left_out.GIT_FOLDER,
        ".git/hooks/x": left_out.GIT_FOLDER,
        ".git/refs/tags/mine": left_out.GIT_FOLDER,
        "out": left_out.LINK_OUT,
        "README.md": left_out.MODE,
        ".swarm/mine": left_out.OWN,
    }
    assert await workspace.changed() == ("inside", "out", "src/greet.py", "tool.sh")
    assert workspace.left_out == expected
    workspace.left_out = {}
    await workspace.find_left_out()
    assert workspace.left_out == expected
    workspace.left_out = {}
    await workspace.commit("change\n")
    assert workspace.left_out == expected


async def test_files_that_the_users_own_git_ignores_never_land(workspace: AgentWorkspace) -> None:
    await shell(
        workspace,
        "mkdir notes lib; touch .DS_Store lib/.DS_Store x.pyc notes/n wanted lib/notes lib/x.log lib/y.log;"
        "echo '!y.log' > lib/.gitignore",
    )
    assert await workspace.changed() == ("lib/.gitignore", "lib/notes", "lib/y.log", "wanted")
    assert await shell(workspace, "git status --porcelain --untracked-files=all | cut -c4-") == (
        "lib/.gitignore\nlib/notes\nlib/y.log\nwanted\n"
    )


async def test_hostile_names_land_and_special_files_do_not(workspace: AgentWorkspace, project: Project) -> None:
    await shell(
        workspace,
        r"""touch -- '-rf' 'a b' 'quote"d' $'new\nline' $'esc\x1b[31m' $'\xff\xfe'; mkfifo pipe;"""
        "mkdir .GIT; touch .GIT/x",
    )
    commit = await workspace.commit("names\n")
    names = subprocess.run(
        ["git", "diff", "--name-only", "-z", project.base, commit],
        cwd=project.trunk,
        env={**os.environ, "GIT_OBJECT_DIRECTORY": str(project.trunk / "unlanded")},
        capture_output=True,
        check=True,
    )
    assert sorted(names.stdout.split(b"\0")[:-1]) == sorted(
        [b"-rf", b"a b", b'quote"d', b"new\nline", b"esc\x1b[31m", b"\xff\xfe"]
    )


async def test_line_endings_are_normalised_as_the_projects_attributes_say(
    workspaces: WorkspacePool, project: Project
) -> None:
    project.write(".gitattributes", "*.txt text\n*.bin -text\n")
    commit = project.commit("attributes")
    workspace = await workspaces.open(AGENT, commit)
    await workspace.write_file("a.txt", b"one\r\ntwo\r\n")
    await workspace.write_file("a.bin", b"one\r\n")
    landed = await workspace.commit("endings\n")
    assert project.in_trunk("cat-file", "-s", f"{landed}:a.txt") == "8"
    assert project.in_trunk("cat-file", "-s", f"{landed}:a.bin") == "5"


async def test_line_ends_that_git_changes_back_are_named_as_left_out(
    workspaces: WorkspacePool, project: Project
) -> None:
    project.write(".gitattributes", "*.txt text\n*.bat text eol=crlf\n")
    project.write("a.txt", "one\n")
    project.write("a.bat", "one\n")
    workspace = await workspaces.open(AGENT, project.commit("attributes"))
    await shell(workspace, r"printf 'one\r\n' > a.txt; printf 'one\r\n' > a.bat")
    await workspace.commit("endings\n")
    assert workspace.left_out == {"a.txt": left_out.LINE_ENDS}


async def test_line_endings_make_no_difference_after_landing_and_advancing(
    workspaces: WorkspacePool, project: Project
) -> None:
    project.write(".gitattributes", "*.bat text eol=crlf\n*.auto text=auto eol=crlf\n")
    project.write("old.bat", "one\ntwo\n")
    base = project.commit("attributes")
    workspace = await workspaces.open(AGENT, base)
    assert await workspace.read_file("old.bat") == b"one\r\ntwo\r\n"
    await workspace.write_file("own.bat", b"own\r\n")
    landed = await workspace.commit("mine\n")
    project.write("old.bat", "one\nthree\n")
    project.write("new.auto", "new\n")
    tip = project.commit("theirs")
    project.write("own.bat", "own\n")
    merged = project.commit("merged")
    await workspace.advance(merged, tip)
    assert await workspace.read_file("old.bat") == b"one\r\nthree\r\n"
    assert await workspace.read_file("new.auto") == b"new\r\n"
    assert await workspace.read_file("own.bat") == b"own\r\n"
    assert await workspace.changed() == ("own.bat",)
    assert await shell(workspace, "git status --porcelain") == "?? own.bat\n"
    again = await workspace.commit("mine again\n")
    assert project.in_trunk("rev-parse", f"{again}^{{tree}}") == project.in_trunk("rev-parse", f"{merged}^{{tree}}")
    assert project.in_trunk("cat-file", "-s", f"{landed}:own.bat") == "4"


async def test_attributes_that_an_agent_adds_apply_to_the_same_commit(
    workspace: AgentWorkspace, project: Project
) -> None:
    await workspace.write_file(".gitattributes", b"*.txt text\n")
    await workspace.write_file("a.txt", b"one\r\n")
    landed = await workspace.commit("both\n")
    assert project.in_trunk("cat-file", "-s", f"{landed}:a.txt") == "4"


async def test_a_workspace_at_a_later_commit_has_exactly_its_files(workspaces: WorkspacePool, project: Project) -> None:
    await workspaces.open(AGENT, project.base)
    project.git("rm", "-qr", "src/deep")
    project.git("mv", "tool.sh", "tools")
    project.write("README.md", "# Later\n")
    (project.source / "link").unlink()
    project.write("link/file", "a folder now\n")
    later = project.commit("later")
    workspace = await workspaces.open(AGENT, later)
    assert await workspace.changed() == ()
    listed = await shell(
        workspace, "find . -path ./.git -prune -o -print | sort; git status --porcelain; cat README.md"
    )
    assert listed.split() == [
        ".", "./.gitignore", "./README.md", "./link", "./link/file", "./src", "./src/greet.py", "./tools", "#", "Later",
    ]  # fmt: skip
    await workspace.write_file("src/greet.py", b"pass\n")
    assert await workspace.changed() == ("src/greet.py",)


async def test_advancing_brings_in_a_merge_with_conflict_markers(workspaces: WorkspacePool, project: Project) -> None:
    workspace = await workspaces.open(AGENT, project.base)
    await shell(workspace, "echo mine > README.md; echo own > own.txt; touch ignored.o; rm -r src/deep")
    await workspace.commit("mine\n")
    project.write("trunk.txt", "theirs\n")
    project.write("README.md", "theirs\n")
    tip = project.commit("theirs")
    project.write("README.md", "<<<<<<< trunk\ntheirs\n=======\nmine\n>>>>>>> yours\n")
    project.write("own.txt", "own\n")
    project.git("rm", "-qr", "src/deep")
    merged = project.commit("merged")
    await workspace.advance(merged, tip)
    assert workspace.base == tip
    assert await workspace.changed() == ("README.md", "own.txt", "src/deep/er/data.txt")
    assert (await workspace.read_file("README.md")).startswith(b"<<<<<<< trunk\n")
    assert await shell(workspace, "cat trunk.txt; ls ignored.o; git status --short") == (
        "theirs\nignored.o\n M README.md\n D src/deep/er/data.txt\n?? own.txt\n"
    )
    await workspace.write_file("README.md", b"both\n")
    landed = await workspace.commit("resolved\n")
    assert project.in_trunk("rev-parse", f"{landed}^") == tip
    assert project.in_trunk("show", f"{landed}:README.md") == "both"
    assert project.in_trunk("show", f"{landed}:trunk.txt") == "theirs"


async def test_files_are_listed_searched_and_written_and_keep_their_executable_bit(workspace: AgentWorkspace) -> None:
    assert [(entry.path, entry.size) for entry in await workspace.list_files("", 1, 3)] == [
        (".gitignore", 19), ("README.md", 10), ("link", 9),
    ]  # fmt: skip
    assert [entry.path for entry in await workspace.list_files("src", 9, 99)] == [
        "src/deep/", "src/deep/er/", "src/deep/er/data.txt", "src/greet.py",
    ]  # fmt: skip
    await workspace.write_file("tool.sh", b"#!/bin/sh\necho new\n")
    await workspace.write_file("a/b/c.txt", b"made\n")
    assert await shell(workspace, "./tool.sh; cat a/b/c.txt") == "new\nmade\n"
    assert await workspace.read_file(f"{workspace.root}/a/b/c.txt") == b"made\n"
    found = await workspace.search(r"def (\w+)", "", 10)
    assert [(match.path, match.line, match.text) for match in found] == [("src/greet.py", 1, "def greet():")]
    await workspace.write_file("binary", b"def x\0")
    assert await workspace.search("def x", "", 10) == []


async def test_a_search_skips_what_git_ignores_and_takes_globs_context_and_a_limit(workspace: AgentWorkspace) -> None:
    await shell(workspace, "mkdir build docs; echo needle > build/out; echo needle > x.log; echo needle > keep.o")
    await workspace.write_file("docs/a.md", b"1\n2\nneedle\n4\nneedle\n6\n7\n")
    await workspace.write_file("src/b.py", b"needle\nneedle\n")

    async def found(*globs: str, path: str = "", limit: int = 99, context: int = 0) -> list[tuple[str, int, str, bool]]:
        matches = await workspace.search("needle", path, limit, globs, context)
        return [(match.path, match.line, match.text, match.context) for match in matches]

    assert [each[:2] for each in await found()] == [
        *(("docs/a.md", 3), ("docs/a.md", 5), ("keep.o", 1), ("src/b.py", 1), ("src/b.py", 2)),
    ]
    assert {each[0] for each in await found("*.py", "docs/*")} == {"docs/a.md", "src/b.py"}
    assert {each[0] for each in await found("b.*")} == {each[0] for each in await found(path="src")} == {"src/b.py"}
    assert [each[0] for each in await found(path="build/out")] == ["build/out"]
    assert [each[0] for each in await found(path="build")] == ["build/out"], "a folder that git ignores, if it is named"
    assert await found("*.md", context=1) == [
        ("docs/a.md", 2, "2", True),
        ("docs/a.md", 3, "needle", False),
        ("docs/a.md", 4, "4", True),
        ("docs/a.md", 5, "needle", False),
        ("docs/a.md", 6, "6", True),
    ]
    assert await found(limit=1) == [
        ("docs/a.md", 3, "needle", False),
        ("docs/a.md", 0, "1", False),
        ("keep.o", 0, "1", False),
        ("src/b.py", 0, "2", False),
    ]
    await shell(workspace, "rm -rf .git")
    assert ("build/out", 1, "needle", False) in await found()


async def test_globs_of_a_search_mean_what_they_do_elsewhere(workspace: AgentWorkspace) -> None:
    for path in ("top.py", "src/a.py", "src/deep/b.py", "web/c.ts", "web/d.tsx"):
        await workspace.write_file(path, b"needle\n")
    in_src = {"src/a.py", "src/deep/b.py"}
    for files, expected in {
        "**/*.py": {"top.py", *in_src},
        "src/**/*.py": in_src,
        "/src/**": in_src,
        "./src/*.py": in_src,
        "src": in_src,
        "src/": in_src,
        "src/deep": {"src/deep/b.py"},
        ".": {"top.py", *in_src, "web/c.ts", "web/d.tsx"},
        "**/deep/**": {"src/deep/b.py"},
        "*.{ts,tsx}": {"web/c.ts", "web/d.tsx"},
        "{src,web}/**/*.{py,ts}": {*in_src, "web/c.ts"},
        "top.py, *.{tsx}": {"top.py", "web/d.tsx"},
        "src/a.py": {"src/a.py"},
        "*.{py": set(),
    }.items():
        found = {match.path for match in await workspace.search("needle", "", 99, file_globs(files))}
        assert found == expected, files


def test_braces_of_a_search_may_be_nested_but_not_name_too_many_globs() -> None:
    assert set(file_globs("{a,b{1,2}}.py")) >= {"a.py", "b1.py", "b2.py"}
    for many in ("{a,b}" * 1_000, "{,}" * 40, "{a,b}" * 40, "{" * 5_000 + "}" * 5_000, "a," * 5_000):
        with pytest.raises(ValueError, match="too many"):
            file_globs(many)


async def test_failing_file_operations_say_why(workspace: AgentWorkspace) -> None:
    await shell(workspace, "mkfifo pipe; ln -s /etc/passwd out; ln -s ../../../../../etc/passwd up; ln -s loop loop")
    for path, reason in [
        ("none", "no such file"), ("src", "is a folder"), ("pipe", "not a regular file"), ("out", "leads outside"),
        ("up", "leads outside"), ("../x", "leads outside"), ("/etc/passwd", "leads outside"), ("loop", "too many"),
        ("README.md/x", "not a folder"), ("a\0b", "invalid file name"),
    ]:  # fmt: skip
        with pytest.raises(WorkspaceError, match=reason):
            await workspace.read_file(path)
    for path in ("pipe", "out", "../x", "src", ""):
        with pytest.raises(WorkspaceError):
            await workspace.write_file(path, b"x")
    assert await workspace.read_file("link") == b"# Greeter\n"
    with pytest.raises(WorkspaceError, match="regular expression"):
        await workspace.search("(", "", 1)


async def test_long_output_is_cut_and_its_full_text_can_be_read(workspace: AgentWorkspace) -> None:
    seen: list[str] = []
    output = await workspace.run("seq 1 20000; exit 3", 30, seen.append)
    assert (output.exit, output.killed) == (3, "")
    assert output.text.startswith("1\n2\n")
    assert output.text.endswith("19999\n20000\n")
    note = f"[... {output.cut} bytes left out; all of it is in {output.whole} ...]"
    assert [line for line in output.text.splitlines() if not line.isdigit()] == [note]
    whole = await workspace.read_file(output.whole)
    assert whole == "".join(f"{number}\n" for number in range(1, 20001)).encode()
    assert "20000" in "".join(seen)
    assert await workspace.changed() == ()


async def test_output_a_little_over_the_limit_is_whole_and_one_long_line_leaves_room_for_others(
    workspace: AgentWorkspace,
) -> None:
    output = await workspace.run("seq -f %099g 1 180", 30, quiet)
    assert (len(output.text), output.cut, output.whole) == (18_000, 0, "")
    for size in (50_000, 1_000_000):
        output = await workspace.run(f"seq 1 100; head -c {size} /dev/zero | tr '\\0' x; echo; seq 101 200", 30, quiet)
        assert [line for line in output.text.splitlines() if line.isdigit()] == [str(n) for n in range(1, 201)]
        assert f"all of it is in {output.whole}" in output.text
        assert len(output.text) < 5_000
        assert (await workspace.read_file(output.whole)).count(b"x") == size


async def test_a_commands_cpu_time_is_that_of_all_its_processes(workspace: AgentWorkspace) -> None:
    burn, wait = "for ((i = 0; i < 100000; i++)); do :; done", "while [ ! -e burnt ]; do sleep 0.1; done; rm burnt"

    async def cpu_s(command: str) -> float:
        output = await workspace.run(command, 120, quiet)
        assert output.exit == 0, output
        assert output.cpu_s is not None
        return output.cpu_s

    once = await cpu_s(burn)
    assert await cpu_s("sleep 0.1") < once / 2
    for command in (f"({burn}; touch burnt) & {wait}", f"(({burn}; touch burnt) &); {wait}; sleep 0.3"):
        assert await cpu_s(command) > once / 2
    assert await cpu_s(f"setsid bash -c '{burn}; touch burnt; sleep 60' & {wait}") > once / 2


async def test_a_folder_is_moved_and_the_whole_change_shown_as_agents_are_told(workspace: AgentWorkspace) -> None:
    output = await workspace.run("git mv src moved", 30, quiet)
    assert output.exit == 0 or "cross-device link" in output.text, output
    if output.exit:
        await shell(workspace, "mv src moved && git add -A")
    assert "R  src/greet.py -> moved/greet.py" in await shell(workspace, "git status --short")
    await workspace.write_file("new.txt", b"new\n")
    diff = await shell(workspace, "git add -A && git diff HEAD")
    assert "+++ b/new.txt\n@@ -0,0 +1 @@\n+new\n" in diff
    assert "rename to moved/greet.py" in diff
    assert await workspace.changed() == (
        *("moved/deep/er/data.txt", "moved/greet.py", "new.txt", "src/deep/er/data.txt", "src/greet.py"),
    )


async def test_too_much_output_kills_the_command(workspace: AgentWorkspace) -> None:
    output = await workspace.run("yes", 30, quiet)
    assert (output.exit, output.killed) == (None, "output")


async def test_a_timeout_kills_the_whole_process_tree_including_daemons(workspace: AgentWorkspace) -> None:
    daemon = "(setsid sh -c 'echo $$ > daemon.pid; exec sleep 600' &) ; sleep 600"
    output = await workspace.run(daemon, 1.0, quiet)
    assert (output.exit, output.killed) == (None, "timeout")
    assert await shell(workspace, 'kill -0 "$(cat daemon.pid)" 2>/dev/null && echo alive || echo gone') == "gone\n"


async def test_background_processes_of_a_command_end_with_it(workspace: AgentWorkspace) -> None:
    output = await shell(workspace, "(setsid sleep 600 >/dev/null 2>&1 & echo $! > pid); echo done")
    assert output == "done\n"
    assert await shell(workspace, 'kill -0 "$(cat pid)" 2>/dev/null && echo alive || echo gone') == "gone\n"


async def test_a_command_over_the_memory_limit_is_killed(workspace: AgentWorkspace) -> None:
    hog = "import os,time\nfor _ in range(4):\n if os.fork()==0: break\nx=bytearray(200<<20)\ntime.sleep(600)"
    output = await workspace.run(f"python3 -I -S -c '{hog}'", 60, quiet)
    assert (output.exit, output.killed) == (None, "memory")


async def test_a_cancelled_command_is_killed_and_the_next_one_runs(workspace: AgentWorkspace) -> None:
    started = asyncio.Event()
    running = asyncio.create_task(workspace.run("echo on; sleep 600", 900, lambda _: started.set()))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await shell(workspace, "echo next") == "next\n"


async def test_freezing_suspends_a_command_with_its_children_and_its_deadline(
    workspace: AgentWorkspace, workspaces: WorkspacePool, project: Project
) -> None:
    up = asyncio.Event()
    ticking = "setsid sh -c 'while :; do echo x >> ticks; sleep 0.02; done' & "
    waiting = "while [ ! -s ticks ]; do sleep 0.02; done; echo up; while [ ! -e go ]; do sleep 0.05; done; echo went"
    running = asyncio.ensure_future(workspace.run(ticking + waiting, 1.5, lambda text: up.set()))
    await up.wait()
    await workspace.freeze()
    ticks = len(await workspace.read_file("ticks"))
    await workspace.write_file("go", b"")
    other = await workspaces.open(AgentId("agent-2"), project.base)
    later = await other.run("sleep 600", 1.5, quiet)
    assert later.killed == "timeout", "a later command with the same timeout has ended"
    assert not running.done()
    assert len(await workspace.read_file("ticks")) == ticks
    await workspace.thaw()
    output = await running
    assert (output.exit, output.killed, output.text) == (0, "", "up\nwent\n")
    assert output.wall_s < 1.5, "the time while frozen does not count"


async def test_a_frozen_workspace_suspends_its_next_command_which_can_be_cancelled(
    workspace: AgentWorkspace,
) -> None:
    await workspace.freeze()
    running = asyncio.ensure_future(workspace.run("echo begun > begun; sleep 60", 30, quiet))
    assert workspace._session is not None
    while not workspace._session._running:
        await workspace.list_files("", 1, 1)
    await workspace.list_files("", 1, 1)  # comes after the command, which has therefore reached the sandbox
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await workspace.thaw()
    assert await shell(workspace, "echo next") == "next\n", "one command at a time: the frozen one has ended"


async def test_commands_have_no_input_and_a_clean_environment(
    workspace: AgentWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = await shell(workspace, "cat; env; cat /proc/$PPID/environ 2>/dev/null | tr '\\0' '\\n'; ulimit -c")
    names = {line.split("=")[0] for line in output.splitlines() if "=" in line}
    assert "PYTEST_CURRENT_TEST" not in names
    assert not {name for name in names if "KEY" in name or "TOKEN" in name or name.startswith("XDG")}
    assert {"PATH", "HOME", "LANG", "TERM"} <= names
    assert output.splitlines()[-1] == "0"


async def test_a_killed_sandbox_raises_workspace_lost(workspace: AgentWorkspace) -> None:
    started = asyncio.Event()
    running = asyncio.create_task(workspace.run("echo on; sleep 600", 900, lambda _: started.set()))
    await started.wait()
    assert workspace.sandbox_pid is not None
    os.kill(workspace.sandbox_pid, 9)
    with pytest.raises(WorkspaceLost):
        await running
    with pytest.raises(WorkspaceLost):
        await workspace.read_file("README.md")


async def test_a_pattern_that_backtracks_endlessly_blocks_nothing_else(
    workspace: AgentWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.sandbox.session.SEARCH_S", 1.0)
    await workspace.write_file("long.txt", b"a" * 60 + b"!\n")
    searching = asyncio.create_task(workspace.search("(a+)+$", "", 5))
    assert await workspace.read_file("README.md") == b"# Greeter\n"
    with pytest.raises(WorkspaceError, match="took too long"):
        await searching
    assert await shell(workspace, "echo on") == "on\n"


async def test_fifty_concurrent_workspaces_are_separate(workspaces: WorkspacePool, project: Project) -> None:
    count = 50 if workspaces.method == "overlay" else 5
    opened = await asyncio.gather(*(workspaces.open(AgentId(f"a{n}"), project.base) for n in range(count)))

    async def work(number: int) -> tuple[str, ...]:
        await shell(opened[number], f"echo {number} > file{number}", 60)
        return await opened[number].changed()

    assert await asyncio.gather(*(work(n) for n in range(count))) == [(f"file{n}",) for n in range(count)]


async def test_closing_and_sweeping_leave_nothing_behind(workspaces: WorkspacePool, project: Project) -> None:
    workspace = await workspaces.open(AGENT, project.base)
    await shell(workspace, "mkdir locked; touch locked/x; chmod 000 locked")
    await workspace.close()
    with pytest.raises(WorkspaceLost):
        await workspace.read_file("README.md")
    stale = project.folder / "workspaces" / "copies" / "stale-1"
    (stale / "upper").mkdir(parents=True)
    await workspaces.sweep([])
    assert list((project.folder / "workspaces" / "copies").iterdir()) == []
    assert list((project.folder / "workspaces" / "trash").iterdir()) == []


async def test_a_workspace_shows_nothing_of_earlier_tasks(workspaces: WorkspacePool, project: Project) -> None:
    first = await workspaces.open(AGENT, project.base)
    await shell(
        first,
        "echo secret > untracked; echo secret > secret.o; mkdir -p build/deep src/deep/new; echo secret > build/deep/x;"
        "echo secret > README.md; git add -A; git commit -qm secret; git stash list; git config user.name secret;"
        "chmod -x tool.sh; chmod 700 src; rm link; ln -s secret link; rm -r src/deep/er; echo secret > src/deep/er;"
        "echo hellO > src/greet.py; touch -r .gitignore src/greet.py; mkdir locked; echo secret > locked/x;"
        "chmod 000 locked; echo secret > $TMPDIR/left; echo secret > ~/left; mkdir .swarm; echo secret > .swarm/notes;"
        "setfattr -n user.note -v secret src 2>/dev/null; (setsid sleep 600 >/dev/null 2>&1 &)",
    )
    await first.close()
    project.write("src/greet.py", "def greet():\n    return 'later'\n")
    project.write("later/file.txt", "later\n")
    later = project.commit("later")
    second = await workspaces.open(AgentId("agent-2"), later)
    assert await second.changed() == ()
    output = await shell(
        second,
        "git status --porcelain --ignored; git log --all --format=%s -2; git config user.name; ls -A; ls -A $TMPDIR ~;"
        "find . -path ./.git -prune -o -type d ! -perm 755 -print; readlink link; ./tool.sh; cat src/greet.py later/*;"
        "getfattr -d src 2>/dev/null; grep -rl secret . || echo nothing",
    )
    assert "secret" not in output
    assert "left" not in output
    assert output.splitlines()[:3] == ["later", "first", "agent"]
    assert "README.md\ntool\ndef greet():\n    return 'later'\nlater\nnothing\n" in output
    await second.write_file("README.md", b"mine\n")
    assert await second.changed() == ("README.md",)


async def test_a_full_copy_is_restored_for_the_next_workspace(workspaces: WorkspacePool, project: Project) -> None:
    def made() -> tuple[int, int]:
        found = (project.folder / "workspaces/copies").glob("*/files/src/greet.py")
        return next((info.st_ino, info.st_ctime_ns) for info in map(os.stat, found))

    first = await workspaces.open(AGENT, project.base)
    before = made() if first.copy.stamps is not None else None
    await shell(first, "echo x > README.md")
    await first.close()
    second = await workspaces.open(AGENT, project.base)
    assert second.root == first.root
    assert await second.read_file("README.md") == b"# Greeter\n"
    if before is None:
        assert [found.name for found in second.copy.changed.iterdir()] == [".git"]
    elif workspaces.level in ("full", "namespaced"):
        assert made() == before
    else:  # this level cannot prove that no process is left in it
        assert made() != before


async def test_closing_continues_when_its_caller_is_cancelled(workspaces: WorkspacePool, project: Project) -> None:
    workspace = await workspaces.open(AGENT, project.base)
    await workspace.read_file("README.md")
    closing = asyncio.create_task(workspace.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    await workspace.close()
    assert workspaces.sandboxes() == {}
    assert list((project.folder / "workspaces/copies").iterdir()) == []


async def test_two_workspaces_of_one_agent_are_separate(workspaces: WorkspacePool, project: Project) -> None:
    one, other = await asyncio.gather(*(workspaces.open(AGENT, project.base) for _ in range(2)))
    await one.write_file("README.md", b"mine\n")
    assert await other.read_file("README.md") == b"# Greeter\n"


async def test_workspaces_start_with_the_checks_builds_if_they_can_share_layers(
    workspaces: WorkspacePool, project: Project
) -> None:
    check = await workspaces.open(AgentId("check"), project.base)
    await shell(check, "mkdir -p build/deep; echo built > build/deep/x; echo ignored > a.o; echo seen > untracked")
    await workspaces.keep_builds(check)
    with pytest.raises(WorkspaceLost):
        await check.read_file("README.md")
    first = await workspaces.open(AGENT, project.base)
    begins_with = "build\nx\n" if workspaces.warm else ""
    assert await shell(first, "ls -d build a.o untracked 2>/dev/null; ls build/deep 2>/dev/null; true") == begins_with
    assert await shell(first, "git status --porcelain") == ""
    await shell(first, "mkdir -p build/deep; echo mine > build/deep/x; echo mine > build/mine; echo mine > README.md")
    assert await first.changed() == ("README.md",)
    await first.close()
    second = await workspaces.open(AgentId("agent-2"), project.base)
    assert await shell(second, "cat README.md build/mine build/deep/x 2>/dev/null; true") == (
        "# Greeter\nbuilt\n" if workspaces.warm else "# Greeter\n"
    )
    anew = await workspaces.open(AgentId("agent-3"), project.base, clean=True)
    assert await shell(anew, "ls build 2>/dev/null; true") == ""


async def test_a_command_lists_exactly_what_the_base_and_trunk_reach(
    workspaces: WorkspacePool, project: Project
) -> None:
    project.git("checkout", "-q", "-b", "private")
    project.write(".env", "key-of-a-deleted-branch\n")
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "a key")
    key = project.git("rev-parse", "HEAD:.env")
    project.git("checkout", "-q", "main")
    project.git("branch", "-q", "-D", "private")
    other = await workspaces.open(AgentId("agent-2"), project.base)
    await other.write_file("unlanded.txt", b"of another agent\n")
    await other.commit("not landed")
    workspace = await workspaces.open(AGENT, project.base)
    output = await workspace.run(
        f"git cat-file --batch-all-objects --batch-check='%(objectname)'; git cat-file blob {key}; "
        "cat .git/objects/info/alternates",
        60,
        quiet,
    )
    *listed, alternates, history = (line for line in output.text.splitlines() if not line.startswith("fatal:"))
    own = (await workspace.run("git rev-parse HEAD", 60, quiet)).text.strip()
    reached = project.git("rev-list", "--objects", "--no-object-names", project.base).split()
    assert set(listed) == {own, *reached}
    assert "key-of-a-deleted-branch" not in output.text
    if workspace.root == WS:
        assert (alternates, history) == (OBJECTS, f"{OBJECTS}/history")
        assert (await workspace.run(f"touch {OBJECTS}/x", 60, quiet)).exit


SETUP = (
    "mkdir -p build/deps sub && echo $(date +%s%N) > build/deps/made && echo secret > sub/x.o && echo no > README.md"
)


@pytest.fixture
async def prepared(kind: tuple[str, str], project: Project) -> AsyncIterator[WorkspacePool]:
    """Workspaces with a setup command."""
    settings = SandboxSettings(level=kind[0], copies=kind[1])
    build = BuildSettings(setup=SETUP)
    try:
        made = await open_workspaces(project.folder / "workspaces", project.trunk, settings, project.base, build=build)
    except SwarmError as error:
        pytest.skip(error.message)
    yield made
    await made.close()


async def test_every_workspace_starts_with_what_the_setup_command_made(
    prepared: WorkspacePool, project: Project
) -> None:
    output = await prepared.set_up(project.base)
    assert output is not None
    assert output.exit == 0
    assert await prepared.set_up(project.base) is None
    for clean in (False, True):
        workspace = await prepared.open(AGENT, project.base, clean=clean)
        said = await shell(
            workspace, "cat build/deps/made sub/x.o README.md; [ src/greet.py -ot build/deps/made ]; echo $?"
        )
        assert said.splitlines()[1:] == ["secret", "# Greeter", "0"], said
        assert await workspace.changed() == ()
        await workspace.close()


async def test_no_workspace_changes_what_the_setup_command_made(prepared: WorkspacePool, project: Project) -> None:
    await prepared.set_up(project.base)
    worker = await prepared.open(AGENT, project.base)
    await shell(worker, "echo poison > sub/x.o; rm -r build; mkdir build; echo poison > build/more")
    for clean in (False, True):
        other = await prepared.open(AgentId("other"), project.base, clean=clean)
        assert await shell(other, "cat sub/x.o; ls build") == "secret\ndeps\n"
        await other.close()
    await worker.close()


async def test_a_clean_workspace_has_only_what_the_setup_command_made_of_its_own_commit(
    prepared: WorkspacePool, project: Project
) -> None:
    await prepared.set_up(project.base)
    project.write("src/greet.py", "def greet():\n    return 'bye'\n")
    later = project.commit("later")
    clean = await prepared.open(AGENT, later, clean=True)
    assert await shell(clean, "ls build sub 2>&1 | grep -c 'No such'") == "2\n"
    await clean.close()
    worker = await prepared.open(AGENT, later)
    made = await shell(worker, "cat build/deps/made; [ src/greet.py -nt build/deps/made ] && echo newer")
    assert made.splitlines()[1] == "newer"
    await worker.close()
    assert (await prepared.set_up(later)) is not None
    clean = await prepared.open(AGENT, later, clean=True)
    assert await shell(clean, "cat build/deps/made; cat src/greet.py") != made.splitlines()[0]
    await clean.close()


async def test_after_a_failed_setup_workspaces_keep_what_an_earlier_one_made(
    prepared: WorkspacePool, project: Project
) -> None:
    await prepared.set_up(project.base)
    prepared.setup = "mkdir sub; echo half > sub/x.o; echo broken; exit 3"
    project.write("src/greet.py", "")
    later = project.commit("later")
    output = await prepared.set_up(later)
    assert output is not None
    assert (output.exit, output.text) == (3, "broken\n")
    worker = await prepared.open(AGENT, later)
    assert await shell(worker, "cat sub/x.o") == "secret\n"
    await worker.close()
