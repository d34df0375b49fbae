"""Runs part of a test as an ordinary user, whom file modes stop: they do not stop root."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from engine.domain.errors import SwarmError

NOBODY = 65534


def give_away(folder: Path) -> None:
    """Let an ordinary user own a folder of root's."""
    subprocess.run(["chmod", "755", folder], check=True)
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", folder], check=True)


def as_an_ordinary_user(work: Callable[[], str]) -> str:
    """What `work` returns, or the error that it raises, in a process that file modes apply to."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            try:
                answer = work()
            except SwarmError as error:
                answer = f"{error.message}; {error.hint}"
            os.write(writes, answer.encode())
        finally:
            os._exit(0)
    os.close(writes)
    with open(reads, "rb") as answers:
        told = answers.read().decode()
    os.waitpid(child, 0)
    return told
