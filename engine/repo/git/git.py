"""Runs git processes: hardened environment and config, bounded time and output, errors with a hint."""

import asyncio
import os
import signal
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from engine.domain.errors import ErrorKind, SwarmError

OLDEST = (2, 38)
"""The first git whose merge-tree has --write-tree."""

_STDERR_KEPT = 64 * 1024
_CHUNK = 256 * 1024

# Nothing that a repo's config names may run, prompt, reach a network or rewrite the repo behind our back.
_CONFIG = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.logAllRefUpdates=false",
    "core.quotePath=false",
    "core.askPass=",
    "core.attributesFile=/dev/null",
    "core.alternateRefsCommand=true",
    "credential.helper=",
    "protocol.allow=never",
    "protocol.file.allow=always",
    "safe.directory=*",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "fetch.writeCommitGraph=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "log.showSignature=false",
    "i18n.commitEncoding=UTF-8",
    "i18n.logOutputEncoding=UTF-8",
    "color.ui=false",
    "advice.detachedHead=false",
)

# As a person's own git would answer (safe.directory, excludes, line endings), but without hooks and monitors.
_PERSON_CONFIG = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "color.ui=false", "submodule.recurse=false")

_PERSON_VARIABLES = (
    "HOME",
    "XDG_CONFIG_HOME",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CEILING_DIRECTORIES",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
)

_SAID_NO = "see the message of git above, then try again"


class TookTooLongError(SwarmError):
    """git took too long and was killed."""


class GitResult(Struct, frozen=True):
    """What a git process did. `cut` says that its output was longer than the limit and that it was killed."""

    exit: int
    out: bytes
    err: str
    cut: bool = False

    @property
    def text(self) -> str:
        """The output as text without the line end."""
        return self.out.decode("utf-8", "replace").rstrip("\n")

    @property
    def complaint(self) -> str:
        """The most telling line of what git wrote to stderr."""
        lines = [line.strip() for line in self.err.splitlines() if line.strip()]
        telling = [line for line in lines if line.startswith(("fatal:", "error:"))]
        return (telling or lines or [f"git ended with status {self.exit}"])[0]


class Git(Struct, frozen=True):
    """git in one place. Every process gets a fresh environment; nothing of the caller's leaks in.

    `cwd` is where it runs, `git_dir`, `work_tree` and `objects` override what git would find there, `config` are
    further `KEY=VALUE` settings. With `as_person` the person's own global config counts. `timeout_s` bounds a
    process; one that takes longer is killed with all it started.
    """

    cwd: Path
    git_dir: Path | None = None
    work_tree: Path | None = None
    objects: Path | None = None
    config: tuple[str, ...] = ()
    as_person: bool = False
    timeout_s: float = 300.0

    async def run(
        self,
        *args: str,
        stdin: bytes = b"",
        accept: Collection[int] = (0,),
        env: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> GitResult:
        """Run `git ARGS`. `limit` bounds stdout in bytes: what is longer is cut.

        Raises SwarmError (git) when the status is not in `accept` or the time is over, SwarmError (repo) when
        there is no git.
        """
        result = await _run(
            self._argv(args), self.cwd, {**self.environment(), **(env or {})}, stdin, limit, self.timeout_s
        )
        if result.exit not in accept and not result.cut:
            raise SwarmError(ErrorKind.GIT, f"git {args[0]}: {result.complaint}", hint_of(result.err))
        return result

    async def text(self, *args: str, stdin: bytes = b"") -> str:
        """The output of `git ARGS` without its line end. Raises like `run`."""
        return (await self.run(*args, stdin=stdin)).text

    def environment(self) -> dict[str, str]:
        """The whole environment of a process."""
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "TZ": "UTC",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_PAGER": "cat",
            "GIT_AUTHOR_NAME": "swarm-tui",
            "GIT_AUTHOR_EMAIL": "swarm@localhost",
            "GIT_COMMITTER_NAME": "swarm-tui",
            "GIT_COMMITTER_EMAIL": "swarm@localhost",
        }
        if self.as_person:
            env.update({name: os.environ[name] for name in _PERSON_VARIABLES if name in os.environ})
        else:
            env.update(GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL="/dev/null", GIT_ATTR_NOSYSTEM="1")
        for name, path in (
            ("GIT_DIR", self.git_dir),
            ("GIT_WORK_TREE", self.work_tree),
            ("GIT_OBJECT_DIRECTORY", self.objects),
        ):
            if path is not None:
                env[name] = str(path)
        return env

    def _argv(self, args: Sequence[str]) -> list[str]:
        argv = ["git"]
        for setting in (*(_PERSON_CONFIG if self.as_person else _CONFIG), *self.config):
            argv += ("-c", setting)
        return [*argv, *args]


async def require_git() -> tuple[int, int]:
    """The version of the installed git. Raises SwarmError (repo) when there is none or it is too old."""
    return check_version(await Git(Path("/")).text("version"))


def check_version(answer: str) -> tuple[int, int]:
    """The version in what `git version` answered. Raises SwarmError (repo) when it is too old."""
    words = answer.split()
    numbers = [int(part) for part in (words[2].split(".") if len(words) > 2 else []) if part.isdigit()][:2]
    version = (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)
    if version < OLDEST:
        needed = ".".join(map(str, OLDEST))
        raise SwarmError(ErrorKind.REPO, f"git too old: {answer.strip()}", f"install git {needed} or newer")
    return version


async def _run(
    argv: list[str], cwd: Path, env: Mapping[str, str], stdin: bytes, limit: int | None, timeout_s: float
) -> GitResult:
    process = await _start(argv, cwd, env, piped=bool(stdin))
    try:
        async with asyncio.timeout(timeout_s):
            (out, cut), (err, _), _ = await asyncio.gather(
                _drain(process, process.stdout, limit),
                _drain(None, process.stderr, _STDERR_KEPT),
                _feed(process, stdin),
            )
            status = await process.wait()
    except TimeoutError as error:
        raise TookTooLongError(
            ErrorKind.GIT, f"git took longer than {timeout_s:g} s and was killed", "is the disk or the machine stuck?"
        ) from error
    finally:
        if process.returncode is None:
            _kill(process)
            await process.wait()
    return GitResult(status, out, err.decode("utf-8", "replace"), cut)


async def _start(argv: list[str], cwd: Path, env: Mapping[str, str], *, piped: bool) -> asyncio.subprocess.Process:
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env=env,
            stdin=asyncio.subprocess.PIPE if piped else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # so that what git starts dies with it
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # asyncio would kill the process alone, and what it has started by then would live on.
        await asyncio.wait([starting])
        if starting.exception() is None:
            _kill(starting.result())
            await starting.result().wait()
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        if error.filename not in (None, "git"):
            raise SwarmError(ErrorKind.GIT, f"no such folder: {cwd}", "was it removed while the swarm ran?") from error
        raise SwarmError(ErrorKind.REPO, "git is not installed", "install git and put it on PATH") from error
    except OSError as error:
        raise SwarmError(
            ErrorKind.GIT, f"git does not start: {error.strerror}", "check the machine's limits"
        ) from error


async def _drain(
    process: asyncio.subprocess.Process | None, stream: asyncio.StreamReader | None, limit: int | None
) -> tuple[bytes, bool]:
    """All of a stream up to `limit`, and whether there was more. A given process is killed at the limit."""
    kept: list[bytes] = []
    size = 0
    cut = False
    while stream is not None and (chunk := await stream.read(_CHUNK)):
        if limit is not None and size + len(chunk) > limit:
            if not cut:
                kept.append(chunk[: limit - size])
                size = limit
            cut = True
            if process is not None:
                _kill(process)
        else:
            kept.append(chunk)
            size += len(chunk)
    return b"".join(kept), cut


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    if process.stdin is None:
        return
    try:
        process.stdin.write(data)
        await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass  # git ended early; its status says why
    process.stdin.close()


def _kill(process: asyncio.subprocess.Process) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def hint_of(err: str) -> str:
    """What to do about what git or the system said."""
    if "No space left" in err:
        return "the disk is full: free some space, then resume"
    if "Permission denied" in err or "Read-only file system" in err:
        return "the folder cannot be written: check its permissions"
    if ".lock': File exists" in err:
        return "another git process is at work in this repo: wait for it, or remove its stale lock file"
    return _SAID_NO
