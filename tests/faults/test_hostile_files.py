"""What an agent plants in its copy to attack the engine: links, races, special files, its own `.git`."""

import asyncio
import os
import platform
import shutil
import subprocess

import pytest

from engine.domain.os_text import path_str
from engine.ports.protocols import WorkspaceError
from engine.repo.landing.trunk_objects import UNLANDED
from engine.repo.workspaces.workspace import AgentWorkspace
from engine.state.fold.agents import INDEX_LOCKED
from tests.faults.contained import SECRET, Place, run, shell

pytestmark = pytest.mark.asyncio(loop_scope="session")

RACES = 40
HOSTILE_GIT = {
    "nonsense": "printf '[' >> .git/config",
    "pipes that nobody writes to": r"mkfifo pipe .gitignore; printf '[include]\n\tpath = ../pipe\n' >> .git/config",
    "a work tree elsewhere": "git config core.worktree /usr",
    "programs": r"""
        for key in core.fsmonitor core.pager pager.ls-files core.alternateRefsCommand filter.x.clean filter.x.process \
            diff.x.textconv alias.ls-files; do git config $key '!touch ran; touch ran'; done
        printf '* filter=x diff=x\n' > .gitattributes; mkdir -p .git/hooks; printf '#!/bin/sh\ntouch ran\n' > program
        chmod +x program; for hook in post-index-change fsmonitor-watchman; do cp program .git/hooks/$hook; done
        rm -f ran""",
    "a program that fetches what is missing": """
        mkdir gone; echo x > gone/x; git add gone; git commit -qm gone
        git sparse-checkout set --cone --sparse-index src; tree=$(git rev-parse HEAD:gone)
        rm -f .git/objects/$(echo $tree | cut -c1-2)/$(echo $tree | cut -c3-)
        git config core.repositoryFormatVersion 1; git config extensions.partialClone origin
        git config remote.origin.promisor true; git config protocol.allow always
        git config remote.origin.url "ext::touch $PWD/ran"; rm -f ran""",
}
"""Commands that prepare the copy's git folder against whoever starts git there."""


def shown(place: Place, *args: str) -> str:
    """What git shows in trunk's repository, with the changes that have not landed."""
    trunk = place.folder / "trunk.git"
    env = {"PATH": os.environ["PATH"], "GIT_OBJECT_DIRECTORY": str(trunk / UNLANDED)}
    done = subprocess.run(["git", "--git-dir", trunk, *args], env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip()


async def test_links_fifos_and_devices_do_not_lead_file_tools_outside(place: Place, agent: AgentWorkspace) -> None:
    outside = place.outside
    await shell(
        agent,
        f"ln -s {outside} folder; ln -s {outside}/file file; ln -s ../../../../../../../..{outside}/file up;"
        "ln -s /proc/self/environ env; ln -s /dev/zero zero; ln -s /proc/1/root root; mkfifo fifo; ln -s loop loop;"
        "mknod disk b 7 0 2>/dev/null; python3 -I -S -c 'import socket; socket.socket(1).bind(\"sock\")' 2>/dev/null;"
        f"ln {outside}/file hard 2>/dev/null; ln /etc/passwd hard2 2>/dev/null; true",
    )
    for path in ("folder/file", "file", "up", "env", "zero", "root/etc/shadow", "fifo", "loop", f"{outside}/file"):
        with pytest.raises(WorkspaceError):
            await agent.read_file(path)
        with pytest.raises(WorkspaceError):
            await agent.write_file(path, b"x")
    for path in ("folder", "root"):
        with pytest.raises(WorkspaceError):
            await agent.list_files(path, 3, 99)
        with pytest.raises(WorkspaceError):
            await agent.search("", path, 99)
    assert all(SECRET not in match.text for match in await agent.search(SECRET, "", 99))
    assert (outside / "file").read_text() == f"{SECRET}\n"
    patch = await agent.diff()
    assert SECRET not in patch
    commit = await agent.commit("links\n")
    assert SECRET not in shown(place, "show", "--format=", commit)


@pytest.mark.parametrize("prepare", HOSTILE_GIT.values(), ids=HOSTILE_GIT)
async def test_no_git_folder_stops_a_search_or_makes_it_start_a_program(prepare: str, agent: AgentWorkspace) -> None:
    await shell(agent, f"echo needle > src/new.txt; {prepare}")
    assert [match.path for match in await agent.search("needle", "", 9)] == ["src/new.txt"]
    assert await shell(agent, "ls ran 2>/dev/null; echo on") == "on\n"


async def test_concurrent_renames_do_not_lead_file_tools_outside(place: Place, agent: AgentWorkspace) -> None:
    """A folder is replaced by a link to the outside and back, as fast as possible, while it is read and written."""
    await shell(agent, f"mkdir spot; echo inside > spot/file; ln -s {place.outside} trap")
    renameat2 = {"x86_64": 316, "aarch64": 276}[platform.machine()]
    swap = (
        "python3 -I -S -c 'import ctypes\n"
        "call = ctypes.CDLL(None).syscall\n"
        f'while call({renameat2}, -100, b"spot", -100, b"trap", 2) == 0: pass\n'
        'print("cannot")\''
    )
    on = asyncio.Event()
    racing = asyncio.create_task(agent.run(f"echo on; {swap}", 900, lambda _: on.set()))
    await on.wait()
    for number in range(RACES):
        try:
            assert SECRET.encode() not in await agent.read_file("spot/file")
        except WorkspaceError:
            pass
        try:
            await agent.write_file(f"spot/new{number}", b"written\n")
        except WorkspaceError:
            pass
        if number % 10 == 0:
            assert SECRET not in await agent.diff()
    assert not racing.done()
    racing.cancel()
    await asyncio.gather(racing, return_exceptions=True)
    assert [path.name for path in place.outside.iterdir()] == ["file"]


PLANT = """
cd "$ROOT"
run="touch $MARK"
mkdir -p .git/hooks bin
for hook in pre-commit post-checkout post-commit post-index-change reference-transaction fsmonitor-watchman; do
  printf '#!/bin/sh\\n%s\\n' "$run" > .git/hooks/$hook; chmod +x .git/hooks/$hook
done
git config core.fsmonitor "$run"; git config core.hooksPath .git/hooks; git config diff.external "$run"
git config core.pager "$run"; git config core.editor "$run"; git config core.sshCommand "$run"
git config filter.evil.clean "$run"; git config filter.evil.smudge "$run"; git config filter.evil.process "$run"
git config diff.evil.textconv "$run"; git config diff.evil.command "$run"; git config merge.evil.driver "$run"
git config gpg.program "$run"; git config commit.gpgSign true; git config alias.status "!$run"
git config include.path ../included; printf '[core]\\n\\tfsmonitor = %s\\n' "$run" > included
printf '* filter=evil diff=evil merge=evil\\n' > .gitattributes; mkdir -p .git/info; cp .gitattributes .git/info/
git init -q nested; printf '#!/bin/sh\\n%s\\n' "$run" > nested/.git/hooks/pre-commit; echo x > nested/file
mkdir sub; printf 'gitdir: %s\\n' "$OUT" > sub/.git; echo x > sub/file
printf '[submodule "m"]\\n\\tpath = m\\n\\turl = ext::sh -c "%s"\\n' "$run" > .gitmodules
echo changed > a.txt
"""


async def test_nothing_that_a_copys_git_configuration_names_is_executed(place: Place, agent: AgentWorkspace) -> None:
    mark = place.folder / "executed"
    plant = PLANT.replace("$MARK", str(mark)).replace("$ROOT", agent.root).replace("$OUT", str(place.outside))
    await shell(agent, plant)
    for trick in (
        "true",
        f"echo {place.outside} > .git/commondir",
        f"echo {place.outside} > .git/objects/info/alternates",
        "mv .git moved; printf 'gitdir: moved\\n' > .git",
        f"rm -rf .git; ln -s {place.outside} .git",
        "rm -rf .git; mkfifo .git",
    ):
        await shell(agent, trick)
        assert "a.txt" in await agent.changed()
        assert "+changed" in await agent.diff()
        landed = await agent.commit("planted\n")
        assert shown(place, "show", f"{landed}:a.txt") == "changed"
    await agent.advance(landed, place.base)
    assert await agent.read_file("a.txt") == b"changed\n"
    assert not mark.exists()
    assert {path.name for path in place.outside.iterdir()} == {"file"}


async def test_a_stale_index_lock_does_not_stop_a_landing(place: Place, agent: AgentWorkspace) -> None:
    await shell(agent, "touch .git/index.lock .git/HEAD.lock .git/refs/heads/work.lock; echo new > new.txt")
    assert INDEX_LOCKED in await shell(agent, "git add new.txt"), "so it is told and counted"
    landed = await agent.commit("locked\n")
    assert shown(place, "show", f"{landed}:new.txt") == "new"
    trunk = place.folder / "trunk.git"
    shutil.copytree(trunk / UNLANDED / "pack", trunk / "objects" / "pack", dirs_exist_ok=True)  # as if it had landed
    await agent.advance(landed, landed)
    assert await agent.changed() == ()


async def test_folders_three_thousand_deep_only_fail_their_own_landing(place: Place, agent: AgentWorkspace) -> None:
    dig = 'import os\\nfor _ in range(3000): os.mkdir("d"); os.chdir("d")\\nopen("bottom", "w").write("x" * 9000)'
    await shell(agent, f"echo new > new.txt; mkdir deep; cd deep; python3 -I -S -c $'{dig}'")
    assert await agent.changed() == ("new.txt",)
    assert "new.txt" in await agent.diff()
    await agent.list_files("", 99, 99)
    await agent.search("bottom", "", 9)
    with pytest.raises(WorkspaceError, match="too deeply"):
        await agent.commit("deep\n")
    await shell(agent, "echo /deep >> .gitignore")
    landed = await agent.commit("without\n")
    assert shown(place, "show", f"{landed}:new.txt") == "new"


async def test_folders_of_mode_000_do_not_stop_a_landing(place: Place, agent: AgentWorkspace) -> None:
    shut = "mkdir -p shut/in; echo x > shut/in/file; echo new > new.txt; chmod 000 shut/in/file shut/in shut"
    await shell(agent, shut)
    assert "new.txt" in await agent.changed()
    assert "new.txt" in await agent.diff()
    assert await shell(agent, "echo on") == "on\n"
    await shell(agent, "chmod -R u+rwX shut")
    landed = await agent.commit("opened\n")
    assert shown(place, "show", f"{landed}:shut/in/file") == "x"
    await shell(agent, "chmod 000 shut")


async def test_terminal_escapes_in_output_names_and_messages_stay_text(place: Place, agent: AgentWorkspace) -> None:
    """Those in output are passed on unchanged, those in names as text that reads back; the screen paints none."""
    output = await run(agent, "printf '\\033]0;owned\\007\\033[2Jtext\\n'; touch $'\\033[31mred' $'line\\nbreak'")
    assert output.text == "\x1b]0;owned\x07\x1b[2Jtext\n"
    names = await agent.changed()
    assert names == (r"\x1b[31mred", r"line\x0abreak")
    landed = await agent.commit("escapes \x1b[2J\n\nSwarm-Task: forged\x1b]0;x\x07\n")
    names_landed = shown(place, "ls-tree", "-z", "--name-only", landed).split("\0")
    assert set(map(path_str, names)) == {"\x1b[31mred", "line\nbreak"} <= set(names_landed)
