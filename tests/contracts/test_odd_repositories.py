"""Workspaces of unusual repositories, with every copy method and sandbox level that this machine supports."""

from pathlib import Path

import pytest

from engine.domain.errors import SwarmError
from engine.domain.settings import SandboxSettings
from engine.domain.types import AgentId, RunId
from engine.ports.protocols import WorkspaceError
from engine.repo.changes import scan
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from engine.repo.workspaces.pool import WorkspacePool, open_workspaces
from engine.sandbox.session import SandboxSession
from tests.contracts.workspace_kinds import KINDS
from tests.engine.repo.user_repo import UserRepo

AGENT = AgentId("agent-1")


@pytest.fixture(params=KINDS, ids=lambda kind: "-".join(kind))
def settings(request: pytest.FixtureRequest) -> SandboxSettings:
    level, method = request.param
    return SandboxSettings(level=level, copies=method, memory="512MiB", output="1MiB")


@pytest.fixture
def repo(tmp_path: Path) -> UserRepo:
    """A repository with four commits."""
    made = UserRepo.make(tmp_path / "repo", {"a.txt": b"1\n"})
    for number in (2, 3, 4):
        made.commit({"a.txt": b"%d\n" % number}, f"commit {number}")
    return made


async def start(folder: Path, repo: Path, settings: SandboxSettings) -> tuple[GitTrunk, WorkspacePool]:
    """The trunk and the workspaces of a run on a repository."""
    (folder / "run").mkdir()
    trunk = await GitTrunk.create(folder / "run", await inspect_repo(repo), RunId("r-1"))
    return trunk, await resume(folder, trunk, settings)


async def resume(folder: Path, trunk: GitTrunk, settings: SandboxSettings) -> WorkspacePool:
    try:
        return await open_workspaces(folder / "workspaces", trunk.git_dir, settings, trunk.base, trunk.pending)
    except SwarmError as error:
        pytest.skip(error.message)


def shallow_clone(repo: UserRepo, folder: Path, depth: int) -> UserRepo:
    repo.git("clone", "-q", f"--depth={depth}", f"file://{repo.root}", str(folder))
    return UserRepo(folder)


async def shell(workspaces: WorkspacePool, trunk: GitTrunk, command: str, *, clean: bool = False) -> str:
    workspace = await workspaces.open(AGENT, await trunk.tip(), clean=clean)
    output = await workspace.run(command, 30, lambda _: None)
    assert output.exit == 0, output.text
    await workspace.close()
    return output.text


HISTORY = "git log --format=%s && git rev-list --count HEAD && git blame -s a.txt && git fsck --connectivity-only"


@pytest.mark.parametrize("depth", [1, 3])
async def test_git_reads_the_history_of_a_shallow_clone_in_copies_and_checks(
    depth: int, repo: UserRepo, tmp_path: Path, settings: SandboxSettings
) -> None:
    clone = shallow_clone(repo, tmp_path / "shallow", depth)
    trunk, workspaces = await start(tmp_path, clone.root, settings)
    for clean in (False, True):
        assert f"\n{depth}\n" in await shell(workspaces, trunk, HISTORY, clean=clean)
    workspace = await workspaces.open(AGENT, await trunk.tip())
    await workspace.write_file("b.txt", b"b\n")
    landed = await trunk.land(await workspace.commit("b\n"), "b\n")
    assert landed.commit
    text = await shell(workspaces, trunk, HISTORY)
    assert text.startswith("b\ncommit 4\n")
    assert f"\n{depth + 1}\n" in text
    await workspaces.close()


async def test_a_later_process_reads_the_history_of_a_shallow_clone_that_was_unshallowed_meanwhile(
    repo: UserRepo, tmp_path: Path, settings: SandboxSettings
) -> None:
    clone = shallow_clone(repo, tmp_path / "shallow", 1)
    trunk, workspaces = await start(tmp_path, clone.root, settings)
    await workspaces.close()
    clone.git("fetch", "-q", "--unshallow")
    trunk = await GitTrunk.open(tmp_path / "run")
    workspaces = await resume(tmp_path, trunk, settings)
    assert "\n1\n" in await shell(workspaces, trunk, HISTORY)
    workspace = await workspaces.open(AGENT, await trunk.tip())
    await workspace.write_file("b.txt", b"b\n")
    await trunk.land(await workspace.commit("b\n"), "b\n")
    assert "\n2\n" in await shell(workspaces, trunk, HISTORY)
    assert await trunk.publish() == ""
    clone.git("merge", "-q", "swarm/r-1/trunk")
    assert clone.git("rev-list", "--count", "HEAD") == "5"
    assert clone.git("fsck", "--no-dangling") == ""
    await workspaces.close()


FORMS = {"lf.txt": b"one\ntwo\n", "crlf.txt": b"one\r\ntwo\r\n", "mixed.txt": b"one\r\ntwo\n", "bin": b"\0\r\n"}


@pytest.mark.parametrize(
    "attributes", [b"", b"* text=auto\n", b"*.txt text\n", b"*.txt eol=crlf\n", b"* ident -text\n"]
)
@pytest.mark.parametrize("autocrlf", ["true", "input", "false"])
@pytest.mark.parametrize("settings", [("namespaced", "overlay"), ("off", "checkout")], ids="-".join, indirect=True)
async def test_a_change_differs_for_the_user_only_where_it_was_made(
    autocrlf: str, attributes: bytes, tmp_path: Path, settings: SandboxSettings
) -> None:
    repo = UserRepo.make(tmp_path / "repo", {**FORMS, ".gitattributes": attributes})
    repo.git("config", "core.autocrlf", autocrlf)
    repo.git("rm", "-rq", "--cached", ".")
    repo.git("reset", "-q", "--hard")
    trunk, workspaces = await start(tmp_path, repo.root, settings)
    workspace = await workspaces.open(AGENT, trunk.base)
    for name in FORMS:
        assert await workspace.read_file(name) == (repo.root / name).read_bytes()
    assert (await workspace.run("git status --porcelain; touch *", 30, lambda _: None)).text == ""
    assert await workspace.changed() == ()
    for name in FORMS:
        content = (await workspace.read_file(name)).replace(b"two", b"2")
        await workspace.write_file(name, content)
    await workspace.write_file("new.txt", b"new\r\n")
    landed = await trunk.land(await workspace.commit("change\n"), "change\n")
    await trunk.publish()
    for name in FORMS:
        (repo.root / name).write_bytes((repo.root / name).read_bytes().replace(b"two", b"2"))
    (repo.root / "new.txt").write_bytes(b"new\r\n")
    repo.git("add", "-A")
    assert repo.git("diff", "--cached", "--stat", "swarm/r-1/trunk") == ""
    assert landed.commit
    later = await workspaces.open(AgentId("agent-2"), landed.commit)
    assert await later.changed() == ()
    repo.git("reset", "-q", "--hard")
    repo.git("merge", "-q", "swarm/r-1/trunk")
    for name in FORMS:
        assert await later.read_file(name) == (repo.root / name).read_bytes()
    await workspaces.close()


async def test_a_file_with_an_encoding_is_stored_as_git_would(tmp_path: Path, settings: SandboxSettings) -> None:
    repo = UserRepo.make(tmp_path / "repo", {".gitattributes": b"*.strings working-tree-encoding=UTF-16\n"})
    repo.commit({"a.strings": "ü\n".encode("utf-16")})
    trunk, workspaces = await start(tmp_path, repo.root, settings)
    workspace = await workspaces.open(AGENT, trunk.base)
    assert await workspace.read_file("a.strings") == "ü\n".encode("utf-16")
    await workspace.write_file("a.strings", "ü\nß\n".encode("utf-16"))
    await workspace.write_file("b.strings", await workspace.encode_new("b.strings", "new\n"))
    landed = await trunk.land(await workspace.commit("change\n"), "change\n")
    await trunk.publish()
    assert repo.git("show", "swarm/r-1/trunk:a.strings") == "ü\nß"
    assert repo.git("show", "swarm/r-1/trunk:b.strings") == "new"
    await workspace.write_file("a.strings", b"no mark")
    with pytest.raises(WorkspaceError, match="strings is not UTF-16"):
        await workspace.commit("broken\n")
    assert landed.commit
    later = await workspaces.open(AgentId("agent-2"), landed.commit)
    assert await later.read_file("a.strings") == "ü\nß\n".encode("utf-16")
    assert await later.changed() == ()
    await workspaces.close()


async def test_a_new_file_has_the_line_ends_of_attributes_or_neighbours(
    tmp_path: Path, settings: SandboxSettings
) -> None:
    files = {"win/a.cs": b"a\r\nb\r\n", "win/run.sh": b"#!/bin/sh\n", "unix/a.cs": b"a\nb\n", "b.bat": b"b\r\n"}
    repo = UserRepo.make(tmp_path / "repo", {**files, ".gitattributes": b"*.lf text eol=lf\n*.crlf text eol=crlf\n"})
    trunk, workspaces = await start(tmp_path, repo.root, settings)
    workspace = await workspaces.open(AGENT, trunk.base)
    for path, text, expected in (
        ("win/new.cs", "1\n2\n", b"1\r\n2\r\n"),
        ("win/deeper/new.cs", "1\n", b"1\r\n"),
        ("win/new.lf", "1\n", b"1\n"),
        ("win/new.sh", "#!/bin/sh\n", b"#!/bin/sh\n"),
        ("unix/new.cs", "1\n", b"1\n"),
        ("unix/new.crlf", "1\n", b"1\r\n"),
        ("unix/own", "1\r\n", b"1\r\n"),
        ("new.bat", "1\n", b"1\r\n"),
        (f"{workspace.root}/win/new.cs", "1\n", b"1\r\n"),
        ("/elsewhere", "1\n", b"1\n"),
    ):
        assert await workspace.encode_new(path, text) == expected, path
    await workspaces.close()


async def test_the_line_end_of_a_new_file_takes_one_request_however_many_files_are_beside_it(
    tmp_path: Path, settings: SandboxSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = UserRepo.make(tmp_path / "repo", {f"win/{number}.cs": b"a\r\n" for number in range(40)})
    trunk, workspaces = await start(tmp_path, repo.root, settings)
    workspace = await workspaces.open(AGENT, trunk.base)
    ask, asked = SandboxSession.ask, list[bytes]()

    async def counted(self: SandboxSession, what: bytes, *fields: bytes) -> list[bytes]:
        asked.append(what)
        return await ask(self, what, *fields)

    monkeypatch.setattr(SandboxSession, "ask", counted)
    assert await workspace.encode_new("win/deeper/new.cs", "1\n") == b"1\r\n"
    assert asked == [b"line_end"]
    await workspaces.close()


async def test_a_search_sees_the_lines_of_texts_in_unusual_forms(tmp_path: Path, settings: SandboxSettings) -> None:
    texts = {
        "crlf": b"one\r\ntwo\r\nthree\r\n",
        "cr": b"one\rtwo\rthree\r",
        "utf16": "one\r\ntwo\r\n".encode("utf-16"),
        "mark": b"\xef\xbb\xbftwo\n",
        "feed": b"one\x0cone\ntwo\n",
    }
    repo = UserRepo.make(tmp_path / "repo", texts)
    trunk, workspaces = await start(tmp_path, repo.root, settings)
    workspace = await workspaces.open(AGENT, trunk.base)
    found = await workspace.search("^two$", ".", 100)
    assert sorted((match.path, match.line, match.text) for match in found) == [
        ("cr", 2, "two"), ("crlf", 2, "two"), ("feed", 2, "two"), ("mark", 1, "two"), ("utf16", 2, "two"),
    ]  # fmt: skip
    assert await workspace.search("\\r|\\n", ".", 100) == []
    await workspaces.close()


async def test_a_large_tracked_file_may_be_touched_but_not_changed(
    tmp_path: Path, settings: SandboxSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "MAX_FILE_BYTES", 1 << 20)
    repo = UserRepo.make(tmp_path / "repo", {"big.bin": b"\0" * (3 << 20), "a.txt": b"a\n"})
    trunk, workspaces = await start(tmp_path, repo.root, settings)
    workspace = await workspaces.open(AGENT, trunk.base)
    await workspace.run("touch big.bin; cp big.bin copy; cp copy big.bin; rm copy", 30, lambda _: None)
    await workspace.write_file("a.txt", b"b\n")
    assert await workspace.changed() == ("a.txt",)
    await workspace.commit("small\n")
    for command in ("echo more >> big.bin", "git checkout -q -- big.bin; chmod +x big.bin"):
        await workspace.run(command, 30, lambda _: None)
        with pytest.raises(WorkspaceError, match=r"big\.bin: .* MiB .*git checkout -- big\.bin") as refused:
            await workspace.commit("large\n")
        assert "gitignore" not in str(refused.value)
    await workspace.run("git checkout -q -- big.bin; git mv big.bin moved.bin", 30, lambda _: None)
    with pytest.raises(WorkspaceError, match=r"moved\.bin: its 3 MiB are too large .* if you moved it, move it back"):
        await workspace.commit("moved\n")
    assert (await workspace.run("git mv moved.bin big.bin", 30, lambda _: None)).exit == 0
    await workspace.commit("small again\n")
    await workspaces.close()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 12\n"


@pytest.mark.parametrize("name", ["lfs", "crypt"])
async def test_a_file_behind_a_filter_cannot_be_changed_and_the_filter_never_runs(
    name: str, tmp_path: Path, settings: SandboxSettings
) -> None:
    stored = POINTER % 1 if name == "lfs" else b"secret\n"
    attributes = f"*.bin filter={name}\n".encode()
    repo = UserRepo.make(tmp_path / "repo", {"a.bin": stored, "b.bin": stored, ".gitattributes": attributes})
    for key in ("clean", "smudge"):
        repo.git("config", f"filter.{name}.{key}", f"touch {tmp_path}/ran; cat")
    assert "filters" in "".join((await inspect_repo(repo.root)).warnings)
    trunk, workspaces = await start(tmp_path, repo.root, settings)
    workspace = await workspaces.open(AGENT, trunk.base)
    assert await workspace.read_file("a.bin") == stored
    for path in ("a.bin", "new.bin"):
        await workspace.write_file(path, b"content\n")
        with pytest.raises(WorkspaceError, match=f"{path} needs the filter {name}"):
            await workspace.commit("real content\n")
        await workspace.run("git checkout -q -- a.bin; rm -f new.bin; touch a.bin; git rm -q b.bin", 30, lambda _: None)
    await workspace.write_file("free.txt", b"free\n")
    landed = await trunk.land(await workspace.commit("no content\n"), "no content\n")
    assert landed.paths == ("b.bin", "free.txt")
    await trunk.publish()
    assert not (tmp_path / "ran").exists()
    await workspaces.close()


@pytest.mark.parametrize("settings", [("namespaced", "overlay"), ("off", "checkout")], ids="-".join, indirect=True)
async def test_attributes_outside_the_project_apply_as_in_the_users_git(
    tmp_path: Path, settings: SandboxSettings
) -> None:
    repo = UserRepo.make(tmp_path / "repo", {"log": b"1\n", "a.c": b"a\n", "a.wide": b"a\n"})
    local = repo.root / ".git" / "info" / "attributes"
    local.parent.mkdir(exist_ok=True)
    local.write_text("log merge=union\n*.c text eol=crlf\n*.wide working-tree-encoding=UTF-16LE\n")
    trunk, workspaces = await start(tmp_path, repo.root, settings)
    first, second = [await workspaces.open(AgentId(name), trunk.base) for name in ("a", "b")]
    assert await first.read_file("a.c") == b"a\r\n"
    assert (await first.run("git status --porcelain", 30, lambda _: None)).text == ""
    await first.write_file("a.wide", "b\n".encode("utf-16-le"))
    await first.write_file("a.c", b"a\r\nb\r\n")
    await first.write_file("log", b"1\n2\n")
    await second.write_file("log", b"1\n3\n")
    for workspace in (first, second):
        assert (await trunk.land(await workspace.commit("change\n"), "change\n")).commit
    await trunk.publish()
    shown = [repo.git("show", f"swarm/r-1/trunk:{path}") for path in ("log", "a.c", "a.wide")]
    assert shown == ["1\n2\n3", "a\nb", "b"]
    later = await workspaces.open(AGENT, await trunk.tip())
    assert await later.read_file("a.c") == b"a\r\nb\r\n"
    assert await later.read_file("a.wide") == "b\n".encode("utf-16-le")
    assert await later.changed() == ()
    await workspaces.close()
