"""Workspaces start with the caches that setup and checks left in the home of commands, and share no lock there."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.domain.settings import BuildSettings
from engine.domain.types import AgentId
from engine.repo.workspaces import warm_builds
from engine.repo.workspaces.workspace import AgentWorkspace
from tests.engine.repo.workspaces.cached_project import Project, shell

SETUP = "mkdir -p ~/.cargo/registry && echo set up > ~/.cargo/registry/package"


@pytest.fixture
async def project(tmp_path: Path) -> AsyncIterator[Project]:
    project = Project(tmp_path)
    await project.start(BuildSettings())
    yield project
    await project.workspaces.close()


FILL = "mkdir -p ~/.cache/tool ~/.cargo/registry; echo {0} > ~/.cache/tool/{0}; echo {0} > ~/.cargo/registry/last"


async def test_workspaces_start_with_the_caches_that_the_check_left(project: Project) -> None:
    await project.check(project.base, FILL.format("one"))
    assert await project.seen(project.base, "cat ~/.cache/tool/* ~/.cargo/registry/*") == "one\none\n"
    assert await project.check(project.base, f"cat ~/.cache/tool/one; {FILL.format('two')}") == "one\n"
    assert await project.seen(project.base, "cat ~/.cache/tool/* ~/.cargo/registry/*") == "one\ntwo\ntwo\n"


async def test_what_agents_write_into_caches_stays_in_their_workspaces(project: Project) -> None:
    await project.check(project.base, FILL.format("one"))
    agent, beside = await project.open(project.base), await project.open(project.base)
    await shell(agent, "echo poison | tee ~/.cache/tool/one ~/.cache/tool/more; rm ~/.cargo/registry/last")
    look = "cat ~/.cache/tool/* ~/.cargo/registry/*"
    assert await shell(beside, look) == "one\none\n"
    await agent.close()
    assert await project.seen(project.base, look) == "one\none\n"
    assert await project.check(project.base, look) == "one\none\n"


async def test_a_check_from_nothing_starts_without_caches_and_replaces_them(project: Project) -> None:
    await project.check(project.base, FILL.format("poison"))
    assert await project.seen(project.base, "ls -A ~", clean=True) == ""
    await project.check(project.base, FILL.format("fresh"), clean=True)
    assert await project.seen(project.base, "cat ~/.cache/tool/* ~/.cargo/registry/*") == "fresh\nfresh\n"


async def test_discarded_builds_take_the_caches_with_them(project: Project) -> None:
    await project.check(project.base, FILL.format("one"))
    await project.workspaces.discard_builds()
    assert await project.seen(project.base, "ls -A ~") == ""


async def test_only_the_folders_that_the_settings_name_are_kept_of_a_home(project: Project) -> None:
    await project.check(
        project.base,
        f"{FILL.format('one')}; mkdir -p ~/.cargo/bin ~/bin; touch ~/.cargo/bin/cargo ~/.cargo/config.toml ~/.bashrc"
        " ~/.profile ~/.gitconfig ~/.npmrc ~/bin/tool",
    )
    assert (
        await project.seen(project.base, "cd; find . -type f | sort") == "./.cache/tool/one\n./.cargo/registry/last\n"
    )


async def test_links_in_a_home_lead_nowhere_on_the_machine(project: Project, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    for name in ("registry", "pycache", "tool"):
        (outside / name).mkdir(parents=True)
        (outside / name / "mine").write_text("mine\n")
    await project.check(
        project.base, f"ln -s {outside} ~/.cargo; ln -s {outside} ~/.cache; ln -s {outside}/tool ~/.npm"
    )
    assert await project.seen(project.base, "ls -A ~") == ""
    assert sorted(path.name for path in outside.rglob("*")) == ["mine", "mine", "mine", "pycache", "registry", "tool"]


async def test_nobody_waits_for_a_lock_in_a_cache_or_build_that_another_workspace_holds(project: Project) -> None:
    locks = "~/.cargo/registry/.package-cache ~/.cache/lock build/.cargo-lock"
    await project.check(project.base, f"mkdir -p ~/.cargo/registry ~/.cache build; touch {locks} ~/.cache/read")
    held = [await project.open(project.base) for _ in range(2)]
    holding = asyncio.Event()
    hold = " ".join(f"flock -x {lock}" for lock in locks.split())

    async def keep_locked(workspace: AgentWorkspace) -> None:
        command = f"exec 9< ~/.cache/read; flock -x 9; {hold} sh -c 'touch .git/index.lock; echo holding; sleep 600'"
        await workspace.run(command, 600, lambda text: holding.set() if "holding" in text else None)

    holder = asyncio.create_task(keep_locked(held[0]))
    await holding.wait()
    free = " && ".join(f"flock -n -x {lock} echo free" for lock in (*locks.split(), "~/.cache/read"))
    said = await shell(held[1], f"{free}; echo changed > code.py; git add code.py && git commit -qm own && echo free")
    assert said == "free\n" * 5
    holder.cancel()
    await asyncio.gather(holder, return_exceptions=True)


async def test_bytecode_of_the_check_is_used_until_its_source_changes(project: Project) -> None:
    command = "python3 -c 'import code_; print(code_.answer())'"
    project.write("code_.py", "def answer():\n    return 41\n")
    base = project.commit()
    await project.check(base, f"sleep 1.1; {command}")
    found = "find ~/.cache/pycache/ws -name 'code_*.pyc' | wc -l"
    assert (await project.seen(base, found)).strip() == "1"
    project.write("code_.py", "def answer():\n    return 42\n")
    assert await project.seen(project.commit(), command) == "42\n"


async def test_layers_of_caches_stay_few_and_are_removed_with_their_workspaces(project: Project) -> None:
    held = []
    for number in range(warm_builds.MAX_LAYERS + 3):
        await project.check(project.base, f"mkdir -p build; touch build/{number}; {FILL.format(number)}")
        held.append(await project.open(project.base))
    for number, workspace in enumerate(held):
        names = "".join(f"{name}\n" for name in range(number + 1))
        assert await shell(workspace, "ls ~/.cache/tool; cat ~/.cargo/registry/last") == f"{names}{number}\n"
        assert len(workspace.stack.caches) <= warm_builds.MAX_LAYERS
        await workspace.close()
    assert project.layers() <= 2 * warm_builds.MAX_LAYERS + 1


async def test_builds_and_caches_share_one_size_limit(project: Project) -> None:
    await project.restart(BuildSettings(warm_size="1MiB"))
    await project.check(project.base, "mkdir ~/.cache; head -c 2M /dev/urandom > ~/.cache/large")
    assert await project.seen(project.base, "ls -A ~") == ""
    assert project.layers() == 1


async def test_a_shared_cache_counts_in_no_workspaces_disk_limit_but_what_is_added_does(tmp_path: Path) -> None:
    project = Project(tmp_path)
    await project.start(BuildSettings(), disk="8MiB")
    await project.check(project.base, "mkdir ~/.cache; head -c 6M /dev/urandom > ~/.cache/large")
    copies = [await project.open(project.base) for _ in range(3)]
    used = [await shell(copy, "stat -c %s ~/.cache/large; head -c 5M /dev/urandom > ~/.cache/more") for copy in copies]
    assert used == [f"{6 << 20}\n"] * 3, "none of them is over its limit"
    output = await copies[0].run("head -c 9M /dev/urandom > ~/.cache/again; sleep 60", 60, lambda _: None)
    assert output.killed == "disk"
    await project.workspaces.close()


async def test_without_caches_in_the_settings_none_are_kept(project: Project) -> None:
    await project.restart(BuildSettings(caches=()))
    await project.check(project.base, f"mkdir build; touch build/x; {FILL.format('one')}")
    assert await project.seen(project.base, "ls -A ~; ls build") == "x\n"


async def test_a_workspace_that_is_continued_still_has_its_caches(project: Project) -> None:
    await project.check(project.base, FILL.format("one"))
    agent = AgentId("agent")
    left = await project.workspaces.open(agent, project.base)
    await shell(left, "echo mine > ~/.cache/tool/mine")
    await project.restart(BuildSettings())
    await project.workspaces.sweep([agent])
    again = await project.workspaces.open(agent, project.base)
    assert await shell(again, "cat ~/.cache/tool/*") == "mine\none\n"
    await again.close()


@pytest.fixture
async def prepared(tmp_path: Path) -> AsyncIterator[Project]:
    """With a setup command."""
    project = Project(tmp_path)
    await project.start(BuildSettings(setup=SETUP))
    yield project
    await project.workspaces.close()


async def test_what_setup_downloads_is_there_for_checks_of_its_commit_and_for_agents(prepared: Project) -> None:
    await prepared.workspaces.set_up(prepared.base)
    look = "cat ~/.cargo/registry/package"
    assert await prepared.check(prepared.base, look, clean=True) == "set up\n"
    assert await prepared.seen(prepared.base, look) == "set up\n"
    prepared.write("more.py", "more\n")
    later = prepared.commit()
    assert await prepared.seen(later, look) == "set up\n"
    assert await prepared.seen(later, f"{look} 2>/dev/null || echo none", clean=True) == "none\n"
