"""What a contained command cannot do at each level: the sandbox's guarantees, tried from inside."""

# ruff: noqa: ASYNC220, ASYNC230, ASYNC240 - a test may block while it looks from outside

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.settings import SandboxSettings
from engine.domain.types import AgentId, CommitId
from engine.repo.workspaces.pool import WorkspacePool, open_workspaces
from engine.repo.workspaces.workspace import AgentWorkspace
from engine.sandbox.cgroups import ControlGroups, Ungoverned
from engine.sandbox.guarantees import Level
from engine.sandbox.probe import probe
from tests.git import git, make_trunk


def make_source_and_trunk(folder: Path) -> CommitId:
    source = folder / "source"
    source.mkdir()
    git(source, "init", "-q", "-b", "main")
    (source / "a.txt").write_text("a\n")
    git(source, "add", "-A")
    git(source, "commit", "-qm", "first")
    make_trunk(source, folder / "trunk.git")
    return CommitId(git(source, "rev-parse", "HEAD"))


@pytest.fixture(params=["full", "namespaced", "restricted"])
async def workspaces(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[WorkspacePool]:
    base = make_source_and_trunk(tmp_path)
    settings = SandboxSettings(level=request.param, memory="1GiB", processes=64)
    try:
        made = await open_workspaces(tmp_path / "workspaces", tmp_path / "trunk.git", settings, base)
    except SwarmError as error:
        pytest.skip(error.message)
    yield made
    await made.close()


@pytest.fixture
async def workspace(workspaces: WorkspacePool, tmp_path: Path) -> AgentWorkspace:
    return await workspaces.open(AgentId("agent"), CommitId(git(tmp_path / "source", "rev-parse", "HEAD")))


async def shell(workspace: AgentWorkspace, command: str) -> str:
    output = await workspace.run(command, 60, lambda _: None)
    assert output.killed == "", output
    return output.text


async def test_files_outside_cannot_be_read(workspace: AgentWorkspace, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("told\n")
    home = Path(os.path.expanduser("~"))
    said = await shell(
        workspace,
        f"cat {secret} /etc/shadow {home}/.ssh/* {home}/.bashrc {home}/.gitconfig {tmp_path}/source/a.txt 2>/dev/null;"
        f"cat {tmp_path}/workspaces/stage/passwd {tmp_path}/trunk.git/HEAD 2>/dev/null; echo done",
    )
    assert said == "done\n"


async def test_nothing_outside_can_be_written(workspace: AgentWorkspace, tmp_path: Path) -> None:
    targets = [
        tmp_path / "x", "/usr/x", "/etc/x", "/x", "/bin/x", "/proc/sys/kernel/core_pattern", "/dev/x", "/run/x",
        "/var/x",
        tmp_path / "trunk.git/objects/x", tmp_path / "source/.git/objects/x", tmp_path / "workspaces/x", "/sys/x",
        tmp_path / "workspaces/stage/program/inside/x", "/run/swarm/inside/x",
    ]  # fmt: skip
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()
    for target in targets:
        # Writes the value that is already set: if the sandbox were broken, the machine would not be.
        await shell(workspace, f"(printf %s '{pattern.strip()}' > {target}) 2>/dev/null; true")
        assert str(target).startswith("/proc") or not os.path.lexists(target)
    assert await shell(workspace, "(: >> /proc/sys/kernel/core_pattern) 2>/dev/null && echo OPEN; true") == ""


async def test_modes_of_the_machines_files_cannot_be_changed(workspace: AgentWorkspace, tmp_path: Path) -> None:
    if workspace.root != "/ws":
        pytest.skip("the level does not promise it")
    # To their present modes: harmless if it were allowed.
    private = tmp_path / "workspaces" / "stage" / "dev" / "null"
    if os.getuid() == 0:
        assert private.exists()
        assert await shell(workspace, "chmod 600 /dev/null; stat -c %a /dev/null") == "600\n"
        assert os.stat("/dev/null").st_mode & 0o777 == 0o666
        private.chmod(0o666)
    said = await shell(workspace, "chmod 755 /usr 2>&1; chmod 644 /etc/passwd 2>&1")
    assert said.count("Read-only file system") == 2


async def test_the_network_is_unreachable(workspace: AgentWorkspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = await shell(workspace, f"(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo REACHED || echo off")
    assert said == "off\n"


async def test_no_capability_or_privilege_can_be_gained(workspace: AgentWorkspace) -> None:
    said = await shell(workspace, "grep -E '^(Cap(Prm|Eff|Bnd)|NoNewPrivs)' /proc/self/status | awk '{print $2}'")
    permitted, effective, bounding, no_new = said.split()
    assert (permitted, effective, no_new) == ("0" * 16, "0" * 16, "1")
    if workspace.root == "/ws" or os.geteuid() == 0:
        assert bounding == "0" * 16
    assert await shell(workspace, "unshare -Ur true 2>/dev/null && mount -t tmpfs x /mnt && echo MOUNTED; true") == ""


async def test_the_engines_environment_is_not_visible(
    workspaces: WorkspacePool, workspace: AgentWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-a-secret")
    said = await shell(workspace, "cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; env")
    assert "sk-a-secret" not in said
    assert "PYTEST" not in said


async def test_other_processes_are_out_of_reach(workspace: AgentWorkspace) -> None:
    with subprocess.Popen(["sleep", "600"]) as bystander:
        await shell(workspace, f"kill -9 {bystander.pid} 2>/dev/null; true")
        alive = bystander.poll() is None
        bystander.kill()
    assert alive
    if workspace.root == "/ws":
        assert int(await shell(workspace, "ls /proc | grep -c '^[0-9]' ")) <= 5
        assert await shell(workspace, "kill -9 1; kill -INT 1; echo still") == "still\n"


async def test_a_fork_bomb_is_killed(workspace: AgentWorkspace) -> None:
    bomb = (
        "import os,time\ntry:\n for _ in range(200):\n  if os.fork()==0: time.sleep(600)\n"
        "except OSError: pass\ntime.sleep(600)"
    )
    output = await workspace.run(f"python3 -I -S -c '{bomb}'", 5, lambda _: None)
    assert output.killed in ("processes", "timeout")
    assert await shell(workspace, "echo on") == "on\n"


async def test_files_made_in_the_sandbox_belong_to_the_user(workspace: AgentWorkspace, tmp_path: Path) -> None:
    await shell(workspace, "echo x > made")
    [made] = [path for path in (tmp_path / "workspaces" / "copies").rglob("made") if path.is_file()]
    assert made.stat().st_uid == os.getuid()


ENGINE = """
import asyncio, sys
from pathlib import Path
from engine.repo.workspaces.pool import open_workspaces
from engine.domain.settings import SandboxSettings

async def main():
    folder, level, base = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    made = await open_workspaces(folder / "engine", folder / "trunk.git", SandboxSettings(level=level), base)
    workspace = await made.open("agent", base)
    print((workspace.copy.folder / "pid"), flush=True)
    await workspace.run("(setsid sleep 987654 &); echo on; sleep 987654", 900, lambda text: print("on", flush=True))

asyncio.run(main())
"""


@pytest.mark.parametrize("level", ["full", "namespaced", "restricted", "off"])
def test_a_killed_engine_leaves_no_process(level: str, tmp_path: Path) -> None:
    base = make_source_and_trunk(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(tmp_path), level, base], stdout=subprocess.PIPE, text=True
    ) as engine:
        assert engine.stdout is not None
        record = Path(engine.stdout.readline().strip())
        if engine.stdout.readline() != "on\n":
            pytest.skip("the level does not work here")
        launcher = int(record.read_text().split()[0])
        tree = _tree(launcher)
        assert len(tree) >= 3
        ends = [os.pidfd_open(pid) for pid in tree]
        engine.send_signal(signal.SIGKILL)
    for end in ends:
        with open(end, "rb", buffering=0) as pidfd:
            _wait_readable(pidfd.fileno())


@pytest.mark.parametrize("level", ["restricted", "off"])
async def test_the_next_engine_sweeps_what_a_killed_one_left(level: str, tmp_path: Path) -> None:
    base = make_source_and_trunk(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(tmp_path), level, base], stdout=subprocess.PIPE, text=True
    ) as engine:
        assert engine.stdout is not None
        record = Path(engine.stdout.readline().strip())
        if engine.stdout.readline() != "on\n":
            pytest.skip("the level does not work here")
        launcher = int(record.read_text().split()[0])
        os.kill(launcher, signal.SIGSTOP)  # so that it cannot notice that its engine is gone
        ends = [os.pidfd_open(pid) for pid in _tree(launcher)]
        engine.send_signal(signal.SIGKILL)
    assert select.select(ends, [], [], 0)[0] == []
    made = await open_workspaces(tmp_path / "engine", tmp_path / "trunk.git", SandboxSettings(level=level), base)
    await made.sweep([])
    for end in ends:
        with open(end, "rb", buffering=0) as pidfd:
            _wait_readable(pidfd.fileno())
    for name in ("copies", "trash"):
        assert list((tmp_path / "engine" / name).iterdir()) == []
    await made.close()


async def test_a_process_that_reuses_a_recorded_id_is_left_alone(workspaces: WorkspacePool, tmp_path: Path) -> None:
    stale = tmp_path / "workspaces" / "copies" / "stale-1"
    stale.mkdir()
    with subprocess.Popen(["sleep", "600"]) as other:
        (stale / "pid").write_text(f"{other.pid} 1\n")
        await workspaces.sweep([])
        assert other.poll() is None
        other.kill()
    assert not stale.exists()


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(inner for child in children for inner in _tree(int(child)))]


def _wait_readable(fd: int) -> None:
    assert select.select([fd], [], [], 60)[0], "a process outlived the engine"


async def test_the_probe_reports_the_level_its_gaps_and_why_no_better_one_works(tmp_path: Path) -> None:
    report = await probe(SandboxSettings(), tmp_path)
    assert report.level in Level
    assert report.not_guaranteed
    assert report.level is Level.FULL or any(better.startswith("full") for better in report.reasons)
    assert list(tmp_path.iterdir()) == []


async def test_the_probe_works_in_a_folder_whose_path_a_shell_would_read_otherwise(tmp_path: Path) -> None:
    odd = tmp_path / 'O\'Brien "$(x)" `y`\n\udce9'
    odd.mkdir()
    assert (await probe(SandboxSettings(), odd)).level is (await probe(SandboxSettings(), tmp_path)).level


async def test_a_level_that_does_not_work_here_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(memory: int, processes: int, cores: float) -> ControlGroups:
        raise Ungoverned("none is delegated")

    monkeypatch.setattr(ControlGroups, "open", refused)
    with pytest.raises(SwarmError) as caught:
        await probe(SandboxSettings(level="full"), tmp_path)
    assert caught.value.kind is ErrorKind.SANDBOX
    assert "none is delegated" in caught.value.message


async def test_without_bubblewrap_strict_refuses_and_auto_goes_down_a_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.sandbox.probe.find_bubblewrap", lambda: None)
    with pytest.raises(SwarmError, match="strict"):
        await probe(SandboxSettings(level="strict"), tmp_path)
    if os.geteuid() == 0:
        # Fails closed: never `off` unless it is asked for.
        with pytest.raises(SwarmError, match="as root"):
            await probe(SandboxSettings(), tmp_path)
    else:
        assert (await probe(SandboxSettings(), tmp_path)).level is Level.RESTRICTED
