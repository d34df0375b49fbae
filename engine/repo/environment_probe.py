"""Looks into a copy of the base, in the sandbox that agents get, and says what their commands find there.

One short command does the looking. The project's files only decide what it looks for: their text never becomes part of
it. What it prints comes from programs that the project may have brought, so only versions and paths are taken from it.
"""

import asyncio
import hashlib
import logging
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from engine.domain.environment import Environment, Interpreter
from engine.domain.errors import SwarmError
from engine.domain.os_text import output_text
from engine.domain.settings import Settings
from engine.domain.types import AgentId, CommitId
from engine.policy.project_tools import MANAGERS, READ, TOOLS, commands, languages, managers_needed, tools_named
from engine.ports.protocols import Entry, Workspace, WorkspaceError, WorkspaceLost, Workspaces

LOOK_S = 90.0
"""Seconds for all of it, with the copy; the command has COMMAND_S of them."""
COMMAND_S = 45.0
CALL_S = 10
"""Seconds that a program may take to print its version."""
SLOW_S = 0.1
SLOW_TIMES = 3.0
"""A call by name is slow if it takes SLOW_S more CPU time than one by path, and SLOW_TIMES as much."""
TOOLS_MOST = 24
FILES_MOST, FILE_BYTES = 40, 256 * 1024
"""How many of the project's files are read to see which tools they name, and how large these may be."""
FOLDERS_MOST, ENTRIES_MOST = 30, 300
NOT_ITS_OWN = frozenset({".venv/", "venv/", "node_modules/", "vendor/", "target/", "build/", "dist/", ".tox/"})
"""Folders at the top of a project that hold what others wrote."""
AGENT = AgentId("environment")

log = logging.getLogger("swarm")

_VERSION = re.compile(r"\d+(?:\.[\w+-]{1,20}){1,4}")
_PATH = re.compile(r"/[\w./+@:~-]{1,200}")
_TIME = re.compile(r"(\d{1,4})m(\d{1,2}\.\d{1,9})s")
_PYTHON = (
    "import sys, os; e = sys.executable; print(sys.version.split()[0]); "
    "print(e if sys.prefix != sys.base_prefix else os.path.realpath(e))"
)
_ASKED = {
    "python3": ("-c", _PYTHON),
    "python": ("-c", _PYTHON),
    ".venv/bin/python": ("-c", _PYTHON),
    "venv/bin/python": ("-c", _PYTHON),
    "node": ("-e", "console.log(process.versions.node + '\\n' + process.execPath)"),
    "ruby": ("-e", "puts RUBY_VERSION, RbConfig.ruby"),
    "php": ("-r", "echo PHP_VERSION, chr(10), PHP_BINARY;"),
    "perl": ("-e", 'printf "%vd\\n%s\\n", $^V, $^X'),
    "go": ("version",),
    "rustc": ("--version",),
    "java": ("-version",),
}
"""How each interpreter is asked for its version, and for its own path if it can tell."""
_ALSO = {"python3": ("python3", "python", ".venv/bin/python", "venv/bin/python")}

_SCRIPT = r"""exec 2>/dev/null </dev/null
set -f
line="
"
tab=$(printf '\t') timed='' python='' modules=' '
limited() { timeout -k 1 CALL_S "$@"; }
command -v timeout >/dev/null || limited() { "$@"; }
call() { # PROGRAM FLAG CODE: the first two lines that it prints, and its CPU time: wall time is that of the machine
  (limited "$1" "$2" ${3:+"$3"} 2>&1 | head -n 2 | head -c 600 | tr '\n\t' '\t '; echo; times) | sed -n '1p;$p'
}
ask() { # NAME FLAG CODE: its version, its path, and the CPU time of a call by name and of one by path
  p=$(command -v "$1") || { echo "absent$tab$1"; return; }
  said=$(call "$p" "$2" "$3") by_path=
  by_name=${said##*"$line"} said=${said%%"$line"*}
  case $2 in *version) real=$(readlink -f "$p");; *) real=$(printf %s "$said" | cut -f 2);; esac
  [ "$1" = python3 ] && [ -x "$real" ] && python=$real
  if [ -x "$real" ] && [ "$real" != "$(readlink -f "$p")" ]; then
    if [ "$timed" != "${p%/*}" ]; then # the first call of all filled caches
      quick=$(call "$real" "$2" "$3" | tail -n 1) by_name=$(call "$p" "$2" "$3" | tail -n 1)
    fi
    timed=${p%/*} by_path=$quick
  fi
  echo "interpreter$tab$1$tab$(printf %s "$said" | cut -f 1)$tab$real$tab$by_name$tab$by_path"
}
import() { # NAME MODULE ...: those that Python can import, of the project's own environment or else of the system
  # A folder without code has no origin, though it can be imported.
  for py in .venv/bin/python venv/bin/python "${python:-python3}"; do
    command -v "$py" >/dev/null || continue
    found=$(limited "$py" -c 'import importlib.util as u, sys
for name, module in zip(sys.argv[1::2], sys.argv[2::2]):
    if getattr(u.find_spec(module), "origin", None): print(name)' "$@" | head -c 4000)
    [ "$py" = "$python" ] && py=python3
    for name in $found; do
      case $modules in *" $name "*) ;; *) modules="$modules$name " && echo "module$tab$name$tab$py";; esac
    done
  done
}
starts() { # PROGRAM: whether what its first line names exists
  IFS= read -r first <"$1"
  case $first in '#!'*) ;; *) return 0;; esac
  set -- ${first#??}
  case $1 in */env) [ "$2" = -S ] && shift; command -v "$2" >/dev/null;; *) [ -x "$1" ];; esac
}
can() { # PROGRAM NAME: a version manager has a script for programs of all versions, also for those that cannot start
  p=$(command -v "$1") || return 1
  case $p in
    */shims/* | */cargo-*)
      case $modules in *" $2 "*) return 1;; esac
      limited "$1" --version >/dev/null
      case $1:$? in *:126 | *:127 | cargo-*:[1-9]*) return 1;; esac;;
    *) starts "$p";;
  esac
}
tool() { # NAME PROGRAM
  for each in ".venv/bin/$2" "venv/bin/$2" "node_modules/.bin/$2" "vendor/bin/$2" "$2"; do
    can "$each" "$1" && { echo "tool$tab$1$tab$each"; return; }
  done
}
manager() { can "$1" "$1" && echo "manager$tab$1"; }
"""


class SandboxEnvironmentProbe:
    """Implements protocols.EnvironmentProbe with a workspace of its own. `network`: whether commands can reach one."""

    def __init__(self, workspaces: Workspaces, settings: Settings, *, network: bool) -> None:
        self._workspaces = workspaces
        limits = settings.sandbox
        parts = (workspaces.level, workspaces.method, workspaces.tools, workspaces.setup, network, limits)
        self.conditions = hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
        self._known = Environment(
            self.conditions,
            network=network,
            limits=(
                f"{limits.command_timeout} a command",
                f"{limits.memory} of memory",
                f"{limits.processes} processes",
                f"{limits.output} of output",
                f"{limits.disk} of new files in a copy",
            ),
        )

    async def look(self, commit: CommitId, intent: str) -> Environment:
        """See protocols.EnvironmentProbe."""
        try:
            async with asyncio.timeout(LOOK_S):
                workspace = await self._workspaces.open(AGENT, commit)
                try:
                    return await _look(workspace, self._known, intent)
                finally:
                    await workspace.close()
        except (WorkspaceLost, WorkspaceError, SwarmError, OSError) as error:  # a TimeoutError is an OSError
            log.warning("cannot look at the environment of commands: %r", error)
            return msgspec.structs.replace(self._known, gap="a copy could not be looked at")


async def _look(workspace: Workspace, known: Environment, intent: str) -> Environment:
    top, below = await _listed(workspace)
    paths = [entry.path for entry in (*top, *below)]
    read = [entry for entry in (*top, *below) if READ.fullmatch(entry.path) and entry.size <= FILE_BYTES]
    files: dict[str, str] = {}
    for entry in read[:FILES_MOST]:
        with suppress(WorkspaceError):  # a pipe, or a link that leads out
            files[entry.path] = output_text(await workspace.read_file(entry.path))
    named = tools_named((entry.path for entry in top), (*files.values(), intent))[:TOOLS_MOST]
    needed = managers_needed(entry.path for entry in top)
    output = await workspace.run(_command(languages(paths), named), COMMAND_S, lambda text: None)
    said = [line.split("\t") for line in output.text.splitlines()]
    found = list(_interpreters(said))
    tools = {name: how for line in said for name, how in _tool(line) if name in named}
    managers = [
        name for name in MANAGERS if ["manager", name] in said or ["module", name] in [line[:2] for line in said]
    ]
    missing = [*(name for name in needed if name not in managers), *(name for name in named if name not in tools)]
    whole = ["done"] in said
    return msgspec.structs.replace(
        known,
        interpreters=tuple(found),
        absent=tuple(name for name in ("python3", "python") if ["absent", name] in said),
        managers=tuple(managers),
        tools=tuple(tools[name] for name in named if name in tools),
        tests=tuple(tools[name] for name in named if name in tools and TOOLS[name].tests),
        missing=tuple(missing) if whole else (),
        commands=commands(files),
        gap="" if whole else f"the look was cut off after {COMMAND_S:.0f} s",
    )


async def _listed(workspace: Workspace) -> tuple[list[Entry], list[Entry]]:
    """The files at the top of a copy, and those up to two folders below that."""
    top = await workspace.list_files("", 1, ENTRIES_MOST)
    folders = [entry.path for entry in top if entry.path.endswith("/") and entry.path not in NOT_ITS_OWN]
    below: list[Entry] = []
    for folder in folders[:FOLDERS_MOST]:
        with suppress(WorkspaceError):
            below += await workspace.list_files(folder, 2, ENTRIES_MOST)
    return [entry for entry in top if not entry.path.endswith("/")], below


def _command(interpreters: tuple[str, ...], named: tuple[str, ...]) -> str:
    """The shell command. Timings come first, alone; what has to be started comes last, all at once."""
    names = [name for language in interpreters for name in _ALSO.get(language, (language,))]
    calls = [shlex.join(("ask", name, *_ASKED[name])) for name in names]
    if "python3" in interpreters:
        modules = [word for name in named if (module := TOOLS[name].module) for word in (name, module)]
        calls.append(shlex.join(("import", "pip", "pip", *modules)))
    calls += [shlex.join(("tool", name, program)) + " &" for name in named if (program := TOOLS[name].program)]
    calls += [f"manager {name} &" for name in MANAGERS]
    return "\n".join((_SCRIPT.replace("CALL_S", str(CALL_S)), *calls, "wait", "echo done"))


def _interpreters(said: list[list[str]]) -> Iterator[Interpreter]:
    """Those that work, as far as what they printed can be a version and a path."""
    for line in said:
        match line:
            case ["interpreter", name, version, path, by_name, by_path] if name in _ASKED:
                found = _VERSION.search(version)
                if found is None:
                    continue
                call_s, direct_s = _seconds(by_name), _seconds(by_path)
                slow = call_s > direct_s + SLOW_S and call_s > direct_s * SLOW_TIMES
                real = path if _PATH.fullmatch(path) else ""
                yield Interpreter(name, found[0], real, call_s if slow and real else 0.0)


def _seconds(times: str) -> float:
    """The sum of what `times` prints for the ended commands of a shell, such as `0m0.31s 0m0.04s`."""
    return sum(int(minutes) * 60 + float(seconds) for minutes, seconds in _TIME.findall(times))


def _tool(line: list[str]) -> Iterator[tuple[str, str]]:
    """A tool's name and how it is called. A module that nobody calls is only named."""
    match line:
        case ["tool", name, program] if name in TOOLS and program.endswith(TOOLS[name].program):
            yield name, program
        case ["module", name, python] if name in TOOLS and python.endswith(("python", "python3")):
            yield name, f"{python} -m {TOOLS[name].module}" if TOOLS[name].program else name
