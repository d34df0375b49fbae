"""Runs git processes with a hardened environment and configuration, bounded time and output, and errors with hints."""

import asyncio
import os
import re
import signal
from collections.abc import Collection, Mapping
from pathlib import Path

from msgspec import Struct

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.os_text import output_text, path_text, shell_word

MIN_VERSION = (2, 38)
"""The first version of git whose merge-tree has --write-tree."""

USER_REPO_TIMEOUT_S = 30.0
"""For commands in a user's repository, where an included file may be a pipe that nobody writes to."""

_STDERR_LIMIT = 64 * 1024
_CHUNK = 256 * 1024

# The repository's own config must not be able to run a program, prompt, reach the network or start maintenance.
# Settings for one case beat those for all (protocol.NAME.allow, url.BASE.insteadOf), so transports are closed by
# GIT_ALLOW_PROTOCOL in the environment, which beats both.
_CONFIG = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.logAllRefUpdates=false",
    "core.quotePath=false",
    "core.askPass=",
    "core.attributesFile=/dev/null",
    "core.alternateRefsCommand=true",
    "credential.helper=",
    "core.pager=cat",
    "core.editor=false",
    "core.sshCommand=false",
    "core.gitProxy=none",
    "diff.external=",
    "gpg.program=false",
    "uploadpack.packObjectsHook=",
    "protocol.allow=never",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "log.showSignature=false",
    "i18n.commitEncoding=UTF-8",
    "i18n.logOutputEncoding=UTF-8",
    "color.ui=false",
    "advice.detachedHead=false",
)

_USER_VARIABLES = (
    "HOME",
    "XDG_CONFIG_HOME",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CEILING_DIRECTORIES",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
)

_DAMAGE = re.compile(
    r"unable to (read|find|get|parse|unpack)|not a tree object|could not (read|parse)|is empty$|is corrupt|inflate: "
    r"|hash mismatch|(bad|missing|invalid) (\w+ )?(object|blob|tree|commit)|no match for id|premature end|match index",
    re.IGNORECASE | re.MULTILINE,
)
"""In what git and libgit2 say when an object is missing or damaged."""

_DEFAULT_HINT = "fix what git reports above, then try again"


class GitTimeoutError(SwarmError):
    """A git process exceeded its timeout and was killed."""


class GitResult(Struct, frozen=True):
    """The result of a git process. `cut`: its output exceeded the limit, so it was killed."""

    exit: int
    out: bytes
    err: str
    cut: bool = False

    @property
    def text(self) -> str:
        """The output as text, without trailing newlines."""
        return output_text(self.out).rstrip("\n")

    @property
    def error_line(self) -> str:
        """The first `fatal:` or `error:` line of stderr, or its first line."""
        lines = [line.strip() for line in self.err.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith(("fatal:", "error:"))]
        return (errors or lines or [f"git exited with status {self.exit}"])[0]


class Git(Struct, frozen=True):
    """Runs git in one folder. Every process gets a fresh environment that inherits nothing from the caller.

    `git_dir`, `work_tree` and `objects` override what git would find from `cwd`. `config` adds `KEY=VALUE` settings.
    With `as_user`, git also reads the user's global configuration, for example which folders are safe. A process that
    exceeds `timeout_s` is killed with all its children.
    """

    cwd: Path
    git_dir: Path | None = None
    work_tree: Path | None = None
    objects: Path | None = None
    config: tuple[str, ...] = ()
    as_user: bool = False
    timeout_s: float = 300.0

    async def run(
        self,
        *args: str,
        stdin: bytes = b"",
        accept: Collection[int] = (0,),
        env: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> GitResult:
        """Run `git ARGS`. Stdout is cut at `limit` bytes.

        Raises SwarmError (git) when the exit status is not in `accept` or the timeout expires, SwarmError (repo) when
        git is not installed.
        """
        result = await _run(
            self.command(*args), self.cwd, {**self.environment(), **(env or {})}, stdin, limit, self.timeout_s
        )
        if result.exit not in accept and not result.cut:
            raise SwarmError(ErrorKind.GIT, f"git {args[0]}: {result.error_line}", hint_for(result.err))
        return result

    async def text(self, *args: str, stdin: bytes = b"") -> str:
        """The output of `git ARGS` without trailing newlines. Raises like `run`."""
        return (await self.run(*args, stdin=stdin)).text

    def environment(self) -> dict[str, str]:
        """The complete environment of a git process."""
        env = {
            "PATH": _absolute(os.environ.get("PATH", os.defpath)),
            "LC_ALL": "C",
            "TZ": "UTC",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_ALLOW_PROTOCOL": "",
            "GIT_ASKPASS": "false",
            "SSH_ASKPASS": "false",
            "GIT_SSH_COMMAND": "false",
            "GIT_EDITOR": "false",
            "GIT_PAGER": "cat",
            "GIT_AUTHOR_NAME": "swarm-tui",
            "GIT_AUTHOR_EMAIL": "swarm@localhost",
            "GIT_COMMITTER_NAME": "swarm-tui",
            "GIT_COMMITTER_EMAIL": "swarm@localhost",
        }
        if self.as_user:
            env.update({name: os.environ[name] for name in _USER_VARIABLES if name in os.environ})
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

    def command(self, *args: str) -> list[str]:
        """The complete command line of a git process, for the environment of `environment`."""
        argv = ["git"]
        for setting in (*_CONFIG, *(() if self.as_user else ("safe.directory=*",)), *self.config):
            argv += ("-c", setting)
        return [*argv, *args]


def _absolute(path: str) -> str:
    """PATH without entries that mean a folder of whatever repository git runs in."""
    return os.pathsep.join(folder for folder in path.split(os.pathsep) if os.path.isabs(folder))


async def require_git() -> tuple[int, int]:
    """The version of the installed git. Raises SwarmError (repo) when git is missing or too old."""
    return check_version(await Git(Path("/")).text("version"))


def check_version(answer: str) -> tuple[int, int]:
    """The version in the output of `git version`. Raises SwarmError (repo) when it is too old."""
    words = answer.split()
    numbers = [int(part) for part in (words[2].split(".") if len(words) > 2 else []) if part.isdigit()][:2]
    version = (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)
    if version < MIN_VERSION:
        needed = ".".join(map(str, MIN_VERSION))
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
                _drain(None, process.stderr, _STDERR_LIMIT),
                _feed(process, stdin),
            )
            status = await process.wait()
    except TimeoutError as error:
        raise GitTimeoutError(
            ErrorKind.GIT,
            f"git timed out after {timeout_s:g} s and was killed",
            "is a file in the repo's git folder a pipe? otherwise check whether the disk or the machine is overloaded",
        ) from error
    finally:
        if process.returncode is None:
            _kill(process)
            await process.wait()
    return GitResult(status, out, output_text(err), cut)


async def _start(argv: list[str], cwd: Path, env: Mapping[str, str], *, piped: bool) -> asyncio.subprocess.Process:
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env=env,
            stdin=asyncio.subprocess.PIPE if piped else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # so that killing the group also kills what git started
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # asyncio would kill only the process itself; its children would survive.
        await asyncio.wait([starting])
        if starting.exception() is None:
            _kill(starting.result())
            await starting.result().wait()
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        if error.filename not in (None, "git"):
            raise SwarmError(
                ErrorKind.GIT, f"no such folder: {path_text(cwd)}", "was it removed during the run?"
            ) from error
        raise SwarmError(ErrorKind.REPO, "git is not installed", "install git and put it on PATH") from error
    except OSError as error:
        raise SwarmError(
            ErrorKind.GIT, f"cannot start git: {error.strerror}", "check the machine's process and memory limits"
        ) from error


async def _drain(
    process: asyncio.subprocess.Process | None, stream: asyncio.StreamReader | None, limit: int | None
) -> tuple[bytes, bool]:
    """Read a stream up to `limit` bytes. Returns them and whether there was more; at the limit, kills `process`."""
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
        pass  # git exited early; its status says why
    process.stdin.close()


def _kill(process: asyncio.subprocess.Process) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def fsck_hint(git_dir: Path | None = None) -> str:
    """What the user can do about missing or damaged objects of a repository; without `git_dir`, of their own."""
    where = f" --git-dir {shell_word(git_dir)}" if git_dir is not None else ""
    return f"objects are missing or damaged: git{where} fsck names them; fetch or restore them, then try again"


def hint_for(err: str, default: str = _DEFAULT_HINT) -> str:
    """What the user can do about an error message of git or the operating system."""
    if "No space left" in err:
        return "the disk is full: free some space, then resume"
    if "Permission denied" in err or "Read-only file system" in err:
        return "the folder is not writable: check its permissions"
    if ".lock': File exists" in err:
        return "another git process is using this repo: wait for it, or remove its stale lock file"
    if "bad config line" in err or "unexpected line in" in err:
        return "correct that file by hand"
    return fsck_hint() if _DAMAGE.search(err) else default


def disk_error(what: str, error: OSError) -> SwarmError:
    """`what` failed because the operating system refused to read or write a file."""
    reason = error.strerror or str(error)
    return SwarmError(ErrorKind.GIT, f"{what}: {reason}", hint_for(reason))
