"""Closing the terminal ends the app but not the run, with and without a hang-up signal."""

import fcntl
import os
import pty
import subprocess
import termios

import msgspec
import pytest

from tests.tui.command_line import PROGRAM, Person


@pytest.mark.parametrize("controlling", [True, False], ids=["signalled", "silent"])
def test_a_run_continues_to_its_end_after_its_terminal_closes(person: Person, controlling: bool) -> None:
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, b"\x28\0\x78\0\0\0\0\0")
    adopt = ["setsid", "--ctty"] if controlling else ["setsid"]
    process = subprocess.Popen(
        [*adopt, "--wait", PROGRAM, "demo", "notes", "--speed", "0.2"],
        stdin=side,
        stdout=side,
        stderr=side,
        env=person.environment({"TERM": "xterm-256color"}),
    )
    os.close(side)
    seen = b""
    while b"REHEARSAL" not in seen or b"thinking" not in seen:
        seen += os.read(main, 65536)
    os.close(main)
    assert process.wait() == 0
    listed = subprocess.run([PROGRAM, "runs", "--json"], env=person.environ, capture_output=True, check=True)
    [run] = [msgspec.json.decode(line) for line in listed.stdout.splitlines()]
    assert (run["state"], run["live"]) == ("finished", False)
