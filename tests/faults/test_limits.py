"""Commands that use up the machine: each is ended at its limit, with the cause."""

import asyncio
import os
import sys
import time
from contextlib import ExitStack

import pytest

from engine.domain.types import AgentId
from engine.repo.workspaces.workspace import AgentWorkspace
from tests.faults.contained import PROCESSES, Place, bystander, open_place, processes_with, python, run, shell

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOG = "import time\nheld = []\nfor _ in range(%d):\n held.append(b'x' * (8 << 20)); time.sleep(0.01)\ntime.sleep(600)"
STEPS = 40
"""Parts of 8 MiB: two thirds beyond the limit, and no more in case the limit does not hold."""


def inline(text: str) -> str:
    return f"python3 -I -S -c '{text}'".replace("b'x'", 'b"x"')


async def test_the_check_gets_more_of_a_scarce_cpu_than_an_agent(place: Place) -> None:
    agent = await place.open()
    check = await place.workspaces.open(AgentId("check"), place.base, preferred=True)
    try:
        for workspace, niceness in ((agent, 10), (check, 5)):
            output = await workspace.run("nice", 60.0, lambda _: None)
            assert int(output.text) == max(niceness, os.getpriority(os.PRIO_PROCESS, 0))
    finally:
        await agent.close()
        await check.close()


async def test_daemons_and_processes_that_ignore_signals_die_at_the_deadline(
    place: Place, agent: AgentWorkspace
) -> None:
    mark = f"60{time.monotonic_ns() % 10**9}"
    spawn = (
        f"(setsid sh -c 'trap \"\" TERM INT HUP; sleep {mark}1 & sleep {mark}2' &) ;"
        f"(nohup sleep {mark}3 >/dev/null 2>&1 &) ; (setsid setsid sleep {mark}4 & disown) ; sleep {mark}5"
    )
    output = await run(agent, spawn, 1.5)
    assert (output.exit, output.killed) == (None, "timeout")
    assert processes_with(mark) == []
    assert await shell(agent, f"(setsid sleep {mark}6 >/dev/null 2>&1 &); echo left") == "left\n"
    assert processes_with(mark) == []


async def test_a_command_that_gets_no_cpu_is_not_blamed_for_the_time(agent: AgentWorkspace) -> None:
    """It shares one core with other programs, so that it takes several times as long as it may."""
    pinned = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    work = f"{pinned}import time\nwhile time.process_time() < 0.5: pass\nprint('done')"
    with ExitStack() as others:
        for _ in range(4):
            others.enter_context(bystander(sys.executable, "-c", f"{pinned}while True: pass"))
        output = await run(agent, f"python3 -I -S - <<'END'\n{work}\nEND", 1)
    assert (output.killed, output.text) == ("", "done\n"), output
    assert output.starved_s > output.wall_s / 2
    idle = await run(agent, "sleep 60", 0.5)
    assert (idle.exit, idle.killed) == (None, "timeout")


async def test_a_fork_bomb_is_ended(place: Place, agent: AgentWorkspace) -> None:
    """A real one if the kernel limits it, else one that stops by itself in case the limit does not hold."""
    hard = place.promises("stays within its process limit")
    bomb = "bomb() { bomb | bomb & }; bomb; sleep 600"
    tame = inline("import os,time\nfor _ in range(8): os.fork()\ntime.sleep(600)")
    assert (await run(agent, bomb if hard else tame, 30)).killed == "processes"
    assert await shell(agent, "echo on") == "on\n"


async def test_threads_count_as_processes(place: Place, agent: AgentWorkspace) -> None:
    start = "threading.Thread(target=time.sleep, args=(600,)).start()"
    threads = f"import threading,time\nthreading.stack_size(65536)\nfor _ in range({PROCESSES + 6}): {start}"
    assert (await run(agent, f"python3 -I -c '{threads}'", 30)).killed == "processes"


async def test_a_memory_hog_is_ended_with_the_cause(place: Place, agent: AgentWorkspace) -> None:
    for hog in (inline(HOG % STEPS), f"({inline(HOG % (STEPS // 2))} & {inline(HOG % (STEPS // 2))})"):
        output = await run(agent, hog, 30)
        assert (output.exit, output.killed) == (None, "memory")
    assert await shell(agent, "echo on") == "on\n"


async def test_all_commands_together_stay_within_the_swarms_memory(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("swarm")
    shared = await open_place(folder, place.level.value, swarm_memory="256MiB")
    agents = [await shared.open() for _ in range(3)]
    small, *large = agents
    half = inline(HOG % 20)  # 160 MiB each: below its own limit
    idle = asyncio.create_task(run(small, "sleep 600", 900))
    outputs = [asyncio.create_task(run(agent, half, 30)) for agent in large]
    ended, going = await asyncio.wait(outputs, return_when=asyncio.FIRST_COMPLETED)
    assert {task.result().killed for task in ended} == {"swarm memory"}
    assert not idle.done()
    for task in (*going, idle):
        task.cancel()
    await asyncio.gather(*going, idle, return_exceptions=True)
    await shared.workspaces.close()


async def test_all_commands_together_stay_within_the_swarms_processes(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shared = await open_place(tmp_path_factory.mktemp("crowd"), place.level.value, swarm_processes=64)
    agents = [await shared.open() for _ in range(3)]
    many = "for each in $(seq 30); do sleep 600 & done; wait"  # below its own limit
    outputs = [asyncio.create_task(run(agent, many, 900)) for agent in agents]
    ended, going = await asyncio.wait(outputs, return_when=asyncio.FIRST_COMPLETED)
    assert {task.result().killed for task in ended} == {"swarm processes"}
    for task in going:
        task.cancel()
    await asyncio.gather(*going, return_exceptions=True)
    assert shared.workspaces.limits_met() == ("processes",)
    assert await shell(agents[0], "echo on") == "on\n"
    await shared.workspaces.close()


async def test_all_copies_together_stay_within_the_swarms_disk(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shared = await open_place(tmp_path_factory.mktemp("disk"), place.level.value, swarm_disk="100MiB")
    idle, busy = [await shared.open() for _ in range(2)]
    write = "head -c 40M /dev/zero > big1; head -c 20M /dev/zero > big2"
    assert await shell(idle, f"{write}; sleep 1.2") == ""  # until it has been measured
    output = await run(busy, f"{write}; sleep 600", 900)
    assert (output.exit, output.killed) == (None, "swarm disk")
    assert shared.workspaces.limits_met() == ("disk",)
    assert await shell(busy, "rm big*; echo clean") == "clean\n"
    await shared.workspaces.close()


async def test_commands_yield_the_cpu_to_the_program(place: Place, agent: AgentWorkspace) -> None:
    """Asks the kernel for a command's weight relative to the rest of the machine."""
    file = "/proc/self/autogroup"  # a kernel without session groups has nothing to set
    wait = f"while [ -e {file} ] && ! grep -q 'nice 10' {file}; do sleep 0.05; done"
    assert await shell(agent, f"{wait}; [ $(nice) -ge 10 ]; echo $?") == "0\n"


async def test_cpu_time_is_limited_over_the_whole_tree(place: Place, tmp_path_factory: pytest.TempPathFactory) -> None:
    strict = await open_place(tmp_path_factory.mktemp("cpu"), place.level.value, cpu="300ms")
    agent = await strict.open()
    output = await run(agent, "for each in 1 2 3 4; do (while :; do :; done) & done; wait", 60)
    assert (output.exit, output.killed) == (None, "cpu")
    brief = "for each in 1 2 3 4 5 6 7 8; do (for i in $(seq 50000); do :; done); done; sleep 600"
    assert (await run(agent, brief, 60)).killed == "cpu", "the time of children that have ended counts"
    await strict.workspaces.close()


async def test_a_full_tmp_and_shm_refuse_more_and_harm_no_one_else(place: Place, agent: AgentWorkspace) -> None:
    output = await run(
        agent,
        'for each in "$TMPDIR" /dev/shm "$HOME"; do'
        "  dd if=/dev/zero of=$each/fill bs=1M count=300 2>&1 | grep -ocE 'No space|denied|too large|limit'; done;"
        'rm -f "$TMPDIR/fill" "$HOME/fill"; echo over',
    )
    if agent.root == "/ws":
        assert output.text == "1\n1\n1\nover\n"
    else:  # at this level they are on disk and count for the copy
        assert output.killed == "disk" or output.text.endswith("over\n")
        assert await shell(agent, 'rm -f "$TMPDIR/fill" "$HOME/fill"') == ""
    assert await shell(agent, "echo on > file; cat file") == "on\n"


async def test_a_copy_that_fills_the_disk_is_ended_and_can_be_cleaned_up(place: Place, agent: AgentWorkspace) -> None:
    output = await run(agent, "for each in 1 2 3; do head -c 50M /dev/zero > big$each; done; sleep 600", 60)
    assert (output.exit, output.killed) == (None, "disk")
    assert await shell(agent, "rm big*; echo clean") == "clean\n"
    assert await agent.changed() == ()


@pytest.mark.parametrize(
    "fill",
    [
        "exec 3> a 4> b; rm a b; head -c 60M /dev/zero >&3; head -c 50M /dev/zero >&4",
        "mkdir empty; cd empty; seq 30000 | xargs touch",
    ],
    ids=["removed files", "empty files"],
)
async def test_deleted_and_empty_files_count_as_well(place: Place, agent: AgentWorkspace, fill: str) -> None:
    output = await run(agent, f"{fill}; sleep 600", 60)
    assert (output.exit, output.killed) == (None, "disk")
    assert await shell(agent, "rm -rf empty; echo on") == "on\n"


async def test_a_file_of_a_petabyte_cannot_be_made(place: Place, agent: AgentWorkspace) -> None:
    await run(agent, "truncate -s 1P huge; fallocate -l 1T huge; head -c 100M /dev/zero > long")
    sizes = {entry.path: entry.size for entry in await agent.list_files("", 1, 99)}
    assert max(sizes.get("huge", 0), sizes.get("long", 0)) <= 64 << 20
    await agent.changed()


async def test_endless_output_is_ended(place: Place, agent: AgentWorkspace) -> None:
    assert (await run(agent, "yes")).killed == "output"
    assert (await run(agent, "(setsid cat /dev/zero &) ; sleep 600")).killed == "output"


async def test_open_files_are_limited(place: Place, agent: AgentWorkspace) -> None:
    said = await python(
        agent, "held = []\ntry:\n while True: held.append(open('/dev/null'))\nexcept OSError: print(len(held) < 256)"
    )
    assert said == "True\n"


async def test_reading_input_ends_at_once(place: Place, agent: AgentWorkspace) -> None:
    assert await shell(
        agent, "cat; read line || echo none; python3 -I -S -c 'print(repr(input()))' 2>/dev/null; true"
    ) == ("none\n")


async def test_a_closed_copy_leaves_no_processes(place: Place) -> None:
    mark = f"61{time.monotonic_ns() % 10**9}"
    workspace = await place.open()
    on = asyncio.Event()
    command = f"(setsid sleep {mark} &); echo on; sleep {mark}"
    running = asyncio.create_task(workspace.run(command, 900, lambda _: on.set()))
    await on.wait()
    await workspace.close()
    await asyncio.gather(running, return_exceptions=True)
    assert processes_with(mark) == []
    assert not workspace.copy.folder.exists()


async def test_a_command_takes_only_a_share_of_what_the_kernel_counts_per_user(
    place: Place, agent: AgentWorkspace
) -> None:
    """POSIX timers take queued signals, and message queues memory, from the limits of the user who runs the engine."""
    said = await python(
        agent,
        """
import ctypes, resource
libc = ctypes.CDLL(None, use_errno=True)
timers = 0
while timers < 20_000:
    if libc.syscall(ctypes.c_long(TIMER), ctypes.c_int(1), None, ctypes.byref(ctypes.c_int())):
        break
    timers += 1
print(timers)
print(resource.getrlimit(resource.RLIMIT_SIGPENDING)[1], resource.getrlimit(12)[1])  # RLIMIT_MSGQUEUE
""".replace("TIMER", "107" if os.uname().machine == "aarch64" else "222"),
    )
    timers, pending, queues = map(int, said.split())
    assert timers <= pending <= 1_024
    assert queues <= 64 << 10
