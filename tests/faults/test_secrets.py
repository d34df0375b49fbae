"""Searches everything that leaves a run for keys planted in a repo's files and the program's environment."""

import asyncio
import fcntl
import itertools
import os
import pty
import re
import select
import signal
import string
import struct
import subprocess
import termios
import time
from pathlib import Path

import msgspec

from engine.control.client import ControlClient
from engine.domain.commands import Pause, Resume
from engine.domain.events import ToolFinished
from tests.engine.real_runs import git, make_repo
from tests.faults.programs import PROGRAM, Case

IN_REPO = "gh" + "p_" + (string.ascii_letters + string.digits)[:36]
OWN = "sk-" + "ant-api03-" + string.digits + string.ascii_letters
MARKED = b"masked: github token"
OTHERS = "a plain sentence that nobody else knows"
PLAYBOOK = f"""
[[planner]]
title = "root"
[[planner.move]]
read = ["secrets.env"]
shell = "env; cat secrets.env"
spawn = ["look"]

[[task]]
title = "look"
goal = "Look at the token."
step = [
  {{ say = "The token is {IN_REPO}, is it not?", read = ["secrets.env", "AGENTS.md"] }},
  {{ search = "TOKEN" }},
  {{ shell = "cat secrets.env; env; cat /proc/1/environ /proc/self/environ | tr '\\\\0' '\\\\n'" }},
  {{ write = "copy.env", content = "TOKEN=[masked: github token]\\n" }},
  {{ write = "names.txt", content = "TOKEN\\n" }},
]
handoff.summary = "The token {IN_REPO} is in secrets.env."
"""


class Planted(Case):
    """A run whose agents read keys."""

    def __init__(self, folder: Path) -> None:
        self.home, self.state = folder / "home", folder / "state"
        self.home.mkdir()
        self.intent = folder / "INTENT.md"
        self.intent.write_text(f"Use the token {IN_REPO} wisely.\n")
        (folder / "playbook.toml").write_text(PLAYBOOK)
        self.repo = make_repo(
            folder / "repo",
            {"secrets.env": f"TOKEN={IN_REPO}\nAGAIN='{OWN}'\n", "AGENTS.md": f"It is {IN_REPO}.\n", "run.py": "1\n"},
        )
        self.model = f"rehearsal:{folder}?speed=4"
        self.kills = 0

    def words(self) -> list[str]:
        return [
            *("run", str(self.repo), "--intent", str(self.intent), "--model", self.model),
            *("--check", "cat secrets.env", "--json"),
        ]

    def environ(self, variables: object = None) -> dict[str, str]:
        keys = {"ANTHROPIC_API_KEY": OWN, "DEPLOY_SECRET": OTHERS}
        return super().environ({**keys, "TERM": "xterm-256color"})


def test_no_planted_key_leaves_a_run(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    process = planted.started()
    assert process.stdout is not None
    out = process.stdout.readline()  # it is live from now on
    socket = asyncio.run(_listened_to(planted))
    screen = _screen(planted)
    asyncio.run(_goes_on(planted))
    out += process.stdout.read()
    assert process.wait() == 0, planted.said
    export = subprocess.run(
        [PROGRAM, "export", planted.run.run], env=planted.environ(), capture_output=True, check=True
    ).stdout
    left = {
        "stdout": out,
        "stderr": planted.said.encode(),
        "the socket's traffic": socket,
        "the screen": screen,
        "the export": export,
    }
    left |= {str(path): path.read_bytes() for path in planted.run.folder.path.rglob("*") if _is_record(path)}
    assert any(name.endswith("journal.db") for name in left)
    for name, content in left.items():
        for key in (IN_REPO, OWN, OTHERS):
            assert key.encode() not in content, f"{key[:12]}… is in {name}"
            assert key[10:30].encode() not in content, f"a part of {key[:12]}… is in {name}"
    for name in ("stdout", "the socket's traffic", "the export"):
        assert b"[" + MARKED in left[name], name
    assert MARKED in _text(screen)
    trunk = f"swarm/{planted.run.run}/trunk"
    assert git(planted.repo, "show", f"{trunk}:secrets.env").startswith(f"TOKEN={IN_REPO}")
    assert "copy.env" not in git(planted.repo, "ls-tree", "--name-only", trunk), "a mark is not written"
    assert "names.txt" in git(planted.repo, "ls-tree", "--name-only", trunk)
    assert IN_REPO not in git(planted.repo, "log", "--format=%B", trunk)


def _is_record(path: Path) -> bool:
    """Whether the run itself wrote the file, as opposed to the project's objects and copies."""
    return path.is_file() and not {"trunk.git", "workspaces"} & set(path.parts)


async def _listened_to(planted: Planted) -> bytes:
    """What a client receives until the worker has tried everything: the events and its diff. Then the run pauses."""
    heard = b""
    client = await ControlClient.connect(planted.run.folder.socket)
    try:
        await client.send(Pause())  # until somebody listens
        _, events = await client.subscribe()
        await client.send(Resume())
        async for event in events:
            heard += msgspec.json.encode(event)
            if isinstance(event.body, ToolFinished) and event.body.answer == "wrote names.txt":
                assert event.agent
                heard += (await client.diff(event.agent)).encode()
                break
        await client.send(Pause())
        await events.aclose()
    finally:
        await client.close()
    return heard


async def _goes_on(planted: Planted) -> None:
    client = await ControlClient.connect(planted.run.folder.socket)
    await client.send(Resume())
    await client.close()


def _screen(planted: Planted) -> bytes:
    """What the app writes to its terminal while its panes are visited, until a mark was shown."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(PROGRAM, [PROGRAM, "attach", planted.run.run], planted.environ())
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
    written = b""
    walk = itertools.cycle((b"", b"1j", b"2", b"]", b"]", b"]", b"3", b"4"))
    deadline = time.monotonic() + 60
    while MARKED not in _text(written) and time.monotonic() < deadline:
        os.write(terminal, next(walk))
        if select.select([terminal], [], [], 0.3)[0]:
            written += os.read(terminal, 1 << 20)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(terminal)
    return written


def _text(written: bytes) -> bytes:
    return re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", written)
