"""The command line as a person has it, in a home of its own: called in this process, or the installed program."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import msgspec

from tests.git import IDENTITY
from tui.cli import main

PROGRAM = Path(sys.executable).with_name("swarm-tui")
KEYS = ("ANTHROPIC_", "OPENAI_", "SWARM_", "GIT_", "XDG_")


class Answer(msgspec.Struct):
    """What a command answered."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The error's line; there is exactly one, with exactly one hint after it, and no traceback."""
        assert "Traceback" not in self.err, self.err
        lines = self.err.splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        assert len(errors) == 1, self.err
        assert lines[-2] == errors[0], self.err
        assert lines[-1].startswith("hint: "), self.err
        return errors[0].removeprefix("error: ")

    @property
    def hint(self) -> str:
        assert self.error
        return self.err.splitlines()[-1].removeprefix("hint: ")

    @property
    def summary(self) -> dict[str, object]:
        """The one JSON object on stdout, or the last line of many."""
        found: dict[str, object] = msgspec.json.decode(self.out.strip().split("\n")[-1])
        return found


@contextmanager
def _standing(where: Path, environ: Mapping[str, str], stdin: bytes) -> Iterator[tuple[io.BytesIO, io.BytesIO]]:
    """This process as if it had been started there: folder, environment and streams; gives what is written."""
    out, err = io.BytesIO(), io.BytesIO()
    before = Path.cwd()
    streams = {"stdin": io.TextIOWrapper(io.BytesIO(stdin)), "stdout": io.TextIOWrapper(out)}
    streams["stderr"] = io.TextIOWrapper(err, write_through=True)
    with patch.dict(os.environ, environ, clear=True), patch.multiple(sys, **streams):
        os.chdir(where)
        try:
            yield out, err
        finally:
            os.chdir(before)
            for name in ("stdout", "stderr"):
                streams[name].flush()
            for stream in streams.values():
                stream.detach()


class Person:
    """Someone at a shell with an empty home, a repo and no keys."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.repo = folder / "repo"
        self.home.mkdir()
        self.repo.mkdir()
        self.state = self.home / ".local" / "state" / "swarm-tui"
        self.intent = folder / "INTENT.md"
        self.intent.write_text("A second command that says goodbye.\n")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(KEYS)}
        self.environ = {**clean, "HOME": str(self.home), "GIT_CONFIG_NOSYSTEM": "1"}

    def git(self, *words: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            ["git", *IDENTITY, *words],
            cwd=cwd or self.repo,
            env=self.environ,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, name: str = "README.md", text: str = "hello\n") -> None:
        if not (self.repo / ".git").exists():
            self.git("init", "-q", "-b", "main")
        (self.repo / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "-q", "-m", name)

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        return {**self.environ, **variables}

    def swarm(self, *words: str, cwd: Path | None = None, stdin: bytes = b"", **variables: str) -> Answer:
        """What the command line answers, without starting a process for it."""
        with _standing(cwd or self.home, self.environment(variables), stdin) as (out, err):
            try:
                status = main(words)
            except SystemExit as asked:  # by `--help`
                status = int(asked.code or 0)
        return Answer(status, out.getvalue().decode(), err.getvalue().decode())

    def program(self, *words: str, cwd: Path | None = None, stdin: bytes = b"", **variables: str) -> Answer:
        """What the installed program answers, in a process of its own."""
        done = subprocess.run(
            [PROGRAM, *words],
            cwd=cwd or self.home,
            env=self.environment(variables),
            input=stdin,
            capture_output=True,
            timeout=110,
            check=False,
        )
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    def run(self, *options: str, **variables: str) -> Answer:
        """`run` on the repo with the rehearsal, unless other models are named."""
        model = () if any(option == "--model" for option in options) else ("--model", "rehearsal:notes?speed=0")
        return self.swarm("run", str(self.repo), "--intent", str(self.intent), *model, *options, **variables)

    def left(self) -> list[str]:
        """Files that the program left in the home."""
        return sorted(str(file.relative_to(self.home)) for file in self.home.rglob("*") if file.is_file())

    def refs(self) -> str:
        return self.git("for-each-ref", "--format=%(refname)")


TEMPLATE = (Path(__file__).parent.parent.parent / "tui/templates/INTENT.md").read_bytes()
