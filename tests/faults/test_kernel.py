"""Attacks on the kernel's interfaces: privileges, namespaces, tracing, keyrings, signals."""

import platform
from pathlib import Path

import pytest

from engine.repo.workspaces.workspace import AgentWorkspace
from engine.sandbox.seccomp import ABSENT, FORBIDDEN, NUMBERS, QUEUES, build_filter
from tests.faults.contained import CALL, Place, bystander, python, shell

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_no_privilege_is_held_or_gained(place: Place, agent: AgentWorkspace) -> None:
    said = await shell(agent, "grep -E '^(Cap(Prm|Eff)|NoNewPrivs|Seccomp)' /proc/self/status | awk '{print $2}'")
    assert said.split()[:4] == ["0" * 16, "0" * 16, "1", "2"]
    said = await shell(
        agent,
        "cp /bin/grep mine; chmod 6755 mine; ./mine CapEff /proc/self/status; su root -c id 2>/dev/null;"
        "sudo -n id 2>/dev/null; mknod block b 7 0 2>/dev/null && echo MADE; chroot . /bin/true 2>/dev/null && echo IN;"
        "mount -t tmpfs x /mnt 2>/dev/null && echo MOUNTED; true",
    )
    assert said == f"CapEff:\t{'0' * 16}\n"


async def test_nested_namespaces_are_refused(place: Place, agent: AgentWorkspace) -> None:
    said = await shell(
        agent,
        "for each in -U -Ur -m -p -n -i -u -C -T; do unshare $each true 2>/dev/null && echo NESTED $each; done;"
        "nsenter -t 1 -m true 2>/dev/null && echo ENTERED; true",
    )
    assert said == ""
    said = await python(agent, f"{CALL}\nprint(call({_number('clone')}, 0x10000011, 0, 0, 0, 0), call(435, 0, 88))")
    assert said == "EPERM ENOSYS\n"


async def test_dangerous_system_calls_are_refused(place: Place, agent: AgentWorkspace) -> None:
    """Keyrings, io_uring, bpf, modules, mounts and all other filtered calls, really called."""
    assert build_filter(namespaces=True, network=False) is not None
    names = [name for name in (*ABSENT, *FORBIDDEN, *(() if agent.root == "/ws" else QUEUES)) if _number(name) >= 0]
    program = f"{CALL}\nfor name, number in {[(name, _number(name)) for name in names]!r}: print(name, call(number, 0))"
    answers = dict(line.split() for line in (await python(agent, program)).splitlines())
    assert answers == {name: "EPERM" if name in FORBIDDEN else "ENOSYS" for name in names}


async def test_input_cannot_be_injected_into_a_terminal(place: Place, agent: AgentWorkspace) -> None:
    said = await python(
        agent,
        "import fcntl, os\n"
        "for request in (0x5412, 0x541c):\n"
        "    try: fcntl.ioctl(0, request, b'x'); print('FAKED')\n"
        "    except PermissionError: print('refused')\n"
        "try: os.open('/dev/tty', os.O_RDWR); print('TERMINAL')\n"
        "except OSError: print('none')\n",
    )
    assert said == "refused\nrefused\nnone\n"


async def test_other_processes_cannot_be_traced_signalled_or_limited(place: Place, agent: AgentWorkspace) -> None:
    with bystander() as other:
        said = await python(
            agent,
            f"{CALL}\nimport os\n"
            "launcher = int(open('/proc/%d/stat' % os.getppid()).read().split()[3])\n"
            f"for pid in ({other.pid}, launcher): print(call({_number('ptrace')}, 16, pid, 0, 0))\n"
            f"for pid in ({other.pid}, launcher):\n"
            "    for number in (9, 15, 19):\n"
            "        try: os.kill(pid, number)\n"
            "        except OSError: pass\n"
            f"print(call({_number('prlimit64')}, {other.pid}, 0, (ctypes.c_ulong * 2)(0, 0), 0))",
        )
        assert other.poll() is None
        assert _state(other.pid) != "T"
    assert set(said.split()) <= {"EPERM", "ESRCH"}


async def test_a_command_can_trace_its_own_child(place: Place, agent: AgentWorkspace) -> None:
    said = await python(
        agent,
        f"{CALL}\nimport os, time\npid = os.fork()\nif pid == 0: time.sleep(600)\n"
        f"print(call({_number('ptrace')}, 16, pid, 0, 0))",
    )
    assert said == "done\n"


async def test_kill_9_of_all_processes_reaches_at_most_the_command_itself(place: Place, agent: AgentWorkspace) -> None:
    with bystander() as other:
        await agent.run("sleep 600 & kill -9 -1; kill -STOP -1; kill -9 0", 20, lambda _: None)
        assert other.poll() is None
    assert await shell(agent, "echo on") == "on\n"


async def test_a_command_cannot_harm_its_own_launcher(place: Place, agent: AgentWorkspace) -> None:
    said = await shell(
        agent,
        "kill -9 $PPID; kill -STOP $PPID; kill -INT $PPID; ls -l /proc/$PPID/fd/1 2>/dev/null | grep -c 'pipe:';"
        "(echo x > /proc/$PPID/fd/1) 2>/dev/null && echo WRITTEN;"
        "(echo x > /proc/$PPID/mem) 2>/dev/null && echo WRITTEN; true",
    )
    assert said.splitlines()[-1] == "0"
    assert await shell(agent, "echo on") == "on\n"


def _number(name: str) -> int:
    """A system call's number on this machine, -1 if there is none."""
    column = 0 if platform.machine() == "x86_64" else 1
    known = {"ptrace": (101, 117), **NUMBERS}[name][column]
    return -1 if known is None else known


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
