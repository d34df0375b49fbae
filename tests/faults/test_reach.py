"""Attempts to reach beyond the copy: files, keys, sockets, networks, terminals, descriptors."""

# ruff: noqa: ASYNC240 - a test may block while it looks from outside

import asyncio
import contextlib
import fcntl
import os
import socket
from pathlib import Path

import pytest

from engine.repo.workspaces.workspace import AgentWorkspace
from tests.faults.contained import SECRET, Place, bystander, open_place, python, shell

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_keys_and_files_of_the_user_cannot_be_read(place: Place, agent: AgentWorkspace) -> None:
    home = place.home
    said = await shell(
        agent,
        f"cat {home}/.ssh/id_rsa {home}/.aws/credentials {home}/.netrc {place.outside}/file ~/.ssh/* 2>/dev/null;"
        f"cat /etc/shadow /root/.ssh/* /root/.bash_history {place.folder}/source/a.txt 2>/dev/null;"
        f"ln -s {home}/.ssh/id_rsa key; cat key 2>/dev/null; echo done",
    )
    assert said == "done\n"


async def test_the_engines_environment_and_memory_cannot_be_read(
    place: Place, agent: AgentWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", f"sk-{SECRET}")
    pattern = f"s[k]-{SECRET}"  # so that the search's own command line does not contain it
    with bystander() as other:  # it has the engine's whole environment
        fresh = await place.open()
        said = await shell(
            fresh,
            f"cat /proc/*/environ /proc/*/cmdline 2>/dev/null | grep -aoE '{pattern}'; env | grep -E '{pattern}';"
            f"for each in /proc/{os.getpid()} /proc/{other.pid} /proc/$PPID /proc/1; do"
            "  head -c1 $each/mem $each/environ $each/fd/0 2>/dev/null; done; echo done",
        )
    assert said == "done\n"
    await fresh.close()


async def test_nothing_outside_can_be_written(place: Place, agent: AgentWorkspace) -> None:
    targets = (
        place.home / "x", place.outside / "x", place.folder / "x", place.folder / "trunk.git/x", Path("/usr/x"),
        Path("/etc/x"), Path("/x"), Path("/dev/x"), Path("/run/x"), Path("/sys/x"), Path("/var/x"),
        place.home / ".ssh/authorized_keys", place.folder / "workspaces/stage/program/x",
    )  # fmt: skip
    for target in targets:
        said = await shell(
            agent, f"(echo x > {target}) 2>/dev/null; (echo x >> {place.outside}/file) 2>/dev/null; true"
        )
        assert said == ""
        assert not os.path.lexists(target)
    assert (place.outside / "file").read_text() == f"{SECRET}\n"
    await shell(agent, f"rm -rf {place.outside} {place.home}/.ssh; mv {place.home} /tmp; true")
    assert (place.outside / "file").exists()
    assert (place.home / ".ssh/id_rsa").exists()


async def test_modes_outside_cannot_be_changed_where_the_level_promises_it(place: Place, agent: AgentWorkspace) -> None:
    target = place.outside / "file"
    await shell(agent, f"chmod 777 {target} 2>/dev/null; true")
    changed = target.stat().st_mode & 0o777 == 0o777
    target.chmod(0o644)
    assert not changed or not place.promises("writes only in its own workspace")


async def test_sockets_of_the_machine_are_unreachable(
    place: Place, agent: AgentWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like those of docker, ssh-agent, dbus and tmux: in the home, /run and /tmp, and abstract ones."""
    monkeypatch.setenv("SSH_AUTH_SOCK", str(place.home / "agent.sock"))
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:abstract=swarm-test-bus")
    named = [place.home / "agent.sock", Path("/tmp") / f"swarm-test-{os.getpid()}.sock"]
    addresses = [str(path) for path in named] + [f"\0swarm-test-bus-{os.getpid()}"]
    listening = []
    try:
        for address in addresses:
            server = socket.socket(socket.AF_UNIX)
            listening.append(server)
            server.bind(address)
            server.listen()
        said = await python(
            agent,
            "import os, socket\n"
            f"for address in {[*addresses, '/var/run/docker.sock', '/run/docker.sock']!r}:\n"
            "    try:\n"
            "        socket.socket(socket.AF_UNIX).connect(address); print('REACHED', repr(address))\n"
            "    except OSError: pass\n"
            "print([name for name in os.environ if 'SOCK' in name or 'TMUX' in name or 'DBUS' in name])",
        )
        assert said == "[]\n"
        assert await shell(agent, "tmux ls 2>/dev/null; docker ps 2>/dev/null; ssh-add -l 2>/dev/null; true") == ""
    finally:
        for server in listening:
            server.close()
        for path in named:
            path.unlink(missing_ok=True)


async def test_loopback_and_name_servers_are_unreachable(place: Place, agent: AgentWorkspace) -> None:
    assert place.promises("reaches no network")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.setblocking(False)
        said = await python(
            agent,
            "import socket\n"
            f"for kind, port in ((socket.SOCK_STREAM, {tcp.getsockname()[1]}), (socket.SOCK_DGRAM, 53),"
            f" (socket.SOCK_DGRAM, {udp.getsockname()[1]})):\n"
            "    try:\n"
            "        each = socket.socket(socket.AF_INET, kind); each.settimeout(1)\n"
            "        each.connect(('127.0.0.1', port)); each.send(b'x'); each.recv(1); print('REACHED', port)\n"
            "    except OSError: pass\n"
            "try: print(socket.getaddrinfo('localhost.example.com', 80))\n"
            "except OSError: pass\n"
            "try: socket.create_connection(('169.254.169.254', 80), 1); print('METADATA')\n"
            "except OSError: pass\n",
        )
        assert said == ""
        with pytest.raises(BlockingIOError):
            udp.recv(1)


async def test_vsock_netlink_and_raw_sockets_are_refused(place: Place, agent: AgentWorkspace) -> None:
    said = await python(
        agent,
        "import socket\n"
        "for name, family, kind, protocol in (('vsock', 40, 1, 0), ('audit', 16, 3, 9), ('uevent', 16, 3, 15),"
        " ('diag', 16, 3, 4), ('packet', 17, 3, 768), ('raw', 2, 3, 1), ('alg', 38, 5, 0), ('bluetooth', 31, 3, 1)):\n"
        "    try: socket.socket(family, kind, protocol); print('OPENED', name)\n"
        "    except OSError: pass\n"
        "try:\n"
        "    names = [name for _, name in socket.if_nameindex()]\n"
        "    print('SEEN', names) if names != ['lo'] else None\n"
        "except OSError: pass\n",
    )
    assert said == ""


async def test_two_agents_on_one_port_do_not_reach_each_other(place: Place, agent: AgentWorkspace) -> None:
    """Each has its own loopback; without namespaces, neither gets the port."""
    program = (
        'python3 -I -S -c "import socket, time\n'
        "try: server = socket.create_server(('127.0.0.1', 8123)); print('bound', flush=True)\n"
        "except PermissionError: print('refused', flush=True)\n"
        'time.sleep(%d)"'
    )
    other = await place.open()
    tried = asyncio.Event()
    first = asyncio.create_task(agent.run(program % 600, 900, lambda _: tried.set()))
    await tried.wait()
    second = await shell(other, program % 0)
    first.cancel()
    assert second == ("bound\n" if agent.root == "/ws" else "refused\n")
    await other.close()


async def test_no_descriptors_or_input_are_inherited(place: Place, agent: AgentWorkspace) -> None:
    with (place.outside / "file").open("rb") as secret:
        os.set_inheritable(secret.fileno(), True)
        fresh = await place.open()
        assert await shell(fresh, "cat; read line; echo $?; ls /proc/self/fd | wc -l") == (
            "1\n4\n"  # its three, and that of the listing
        )
        await fresh.close()


async def test_rm_rf_removes_at_most_the_agents_own_copy(place: Place, agent: AgentWorkspace) -> None:
    """Of the whole root if it is the sandbox's own, else only of files that nobody misses."""
    victim = "/" if agent.root == "/ws" else str(place.outside)
    await agent.run(
        f"touch /usr/swarm-test 2>/dev/null && exit; rm -rf --no-preserve-root {victim} . 2>/dev/null",
        2,
        lambda _: None,
    )
    assert not Path("/usr/swarm-test").exists()
    assert (place.outside / "file").read_text() == f"{SECRET}\n"
    assert Path("/usr/bin/env").exists()
    assert (place.folder / "source/a.txt").exists()


LOCKS = """
import fcntl, os, struct, sys, time
def held(take):
    try:
        take()
    except OSError as error:
        return error.strerror
    return "held"
file = os.open(sys.argv[1], os.O_RDONLY)
read_lock = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
print(held(lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)))
print(held(lambda: fcntl.fcntl(file, fcntl.F_SETLK, read_lock)))
print(held(lambda: fcntl.fcntl(os.open(sys.argv[1], os.O_RDONLY), 37, read_lock)))  # F_OFD_SETLK
print(held(lambda: fcntl.fcntl(os.open(sys.argv[1], os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_RDLCK)))
sys.stdout.flush()
time.sleep(600)
"""


async def test_locks_and_leases_of_commands_do_not_make_the_users_tools_wait(place: Place, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "deep").mkdir(parents=True)
    locks = [cache / ".package-cache", cache / "deep/lock"]
    for file in (*locks, cache / "hold.py"):
        file.write_text(LOCKS)
    os.mkfifo(cache / "fifo")
    (tmp_path / "place").mkdir()
    beside = await open_place(tmp_path / "place", place.level.value, read_only=(str(cache),))
    agent = await beside.open()
    ready, said = asyncio.Event(), [""]

    def hear(text: str) -> None:
        said[0] += text
        if said[0].count("\n") >= 4 * len(locks):
            ready.set()

    holders = "".join(f"python3 -I -S {cache}/hold.py {file} & " for file in locks)
    holding = asyncio.create_task(agent.run(f"{holders} cat {cache}/fifo > heard", 60, hear))
    try:
        await asyncio.wait((holding, waiting := asyncio.create_task(ready.wait())), return_when="FIRST_COMPLETED")
        waiting.cancel()
        refused = [name for file in locks for name in (*locked(file), *leased(file))]
        with contextlib.suppress(OSError):  # nobody reads from it
            os.close(os.open(cache / "fifo", os.O_WRONLY | os.O_NONBLOCK))
            refused.append("pipe")
    finally:
        holding.cancel()
        await beside.workspaces.close()
    assert said[0].count("held") >= 3 * len(locks), said
    assert not refused or not place.promises("holds no lock"), refused


def locked(file: Path) -> list[str]:
    """The kinds of locks on a file that the user cannot take now."""
    refused = []
    with file.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            refused.append("flock")
    return refused


def leased(file: Path) -> list[str]:
    """What stops the user from writing a file at once."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_NONBLOCK)
    except BlockingIOError:
        return ["lease"]
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return ["record lock"]
    finally:
        os.close(descriptor)
    return []
