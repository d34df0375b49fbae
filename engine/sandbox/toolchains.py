"""Which of the machine's tools agents may use: read-only folders, PATH, and the environment of commands."""

import os
import re
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from engine.domain.os_text import path_str, path_text
from engine.sandbox.installations import Surveyor

HOME = "/home/agent"
SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
SYSTEM_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
ETC = (
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "debian_version",
    "fonts",
    "gai.conf",
    "java",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "locale.alias",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "protocols",
    "rpc",
    "services",
    "shells",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
)
# Files beside tools in a home directory that stay hidden even if a folder around them is shared.
SECRET_NAMES = frozenset(
    {
        ".aws", ".azure", ".docker", ".gcloud", ".git-credentials", ".gnupg", ".kube", ".netrc", ".npmrc", ".pypirc",
        ".ssh", "auth.json", "credentials", "credentials.json", "credentials.toml", "id_ed25519", "id_rsa",
    }
)  # fmt: skip


# Their shims are scripts that ask a program elsewhere which version to start: they need the manager's whole folder.
VERSION_MANAGERS = {
    "pyenv": "PYENV_ROOT", "rbenv": "RBENV_ROOT", "nodenv": "NODENV_ROOT", "goenv": "GOENV_ROOT",
    "asdf": "ASDF_DATA_DIR",
}  # fmt: skip
SHIMS = "shims"
SHIM_S = 10.0
"""Seconds that a shim may take to print its version."""
_ABSOLUTE = re.compile(r"(?<![\w.$}~-])/[\w./+-]+")


class Tools(Struct, frozen=True):
    """`folders` are mounted read-only at their own paths; `masked` files and folders below them are hidden.

    `from_path` are those of the folders that are shared because they lie on PATH. `homes` maps paths in the user's home
    to the same paths in the agent's home, where masked ones are hidden, too.
    """

    path: tuple[str, ...]
    folders: tuple[str, ...]
    homes: tuple[tuple[str, str], ...]
    masked: tuple[str, ...]
    env: dict[str, str]
    from_path: tuple[str, ...] = ()

    def hidden(self) -> list[tuple[str, str]]:
        """The masked paths that exist, at each place where they would be visible."""
        found = []
        for secret in filter(os.path.exists, self.masked):
            also = [target + secret[len(source) :] for source, target in self.homes if _under(secret, source)]
            found += [(secret, place) for place in (secret, *also)]
        return found

    def readable(self) -> list[str]:
        """The readable parts if nothing can be hidden: of folders with something masked, everything else."""
        return [path for folder in self.folders for path in _without(folder, self.masked)]


def find_tools(
    path: str, home: Path, extra: tuple[str, ...], needed: tuple[str, ...], kept_out: tuple[Path, ...] = ()
) -> Tools:
    """The tools on `path` (a PATH's text), the settings' `extra` folders, and the folders that the engine `needed`.

    Nothing around the `kept_out` folders is shared because it lies on `path`.
    """
    surveyor = Surveyor(home, kept_out)
    folders: list[str] = []
    dirs: list[str] = []
    env: dict[str, str] = {}
    for part in path.split(":"):
        part = os.path.realpath(part) if ".." in part.split("/") else os.path.normpath(part)
        if not part.startswith("/") or not os.path.isdir(part) or part in SYSTEM_PATH:
            continue
        if _under(part, "/usr"):
            dirs.append(part)
            continue
        if os.path.basename(part.rstrip("/")) == SHIMS:
            manager = None if surveyor.in_project(Path(part).parent) else _manager(Path(part))
            if manager is not None:
                folders.append(str(Path(part).parent))
                dirs.append(part)
                env |= manager
            continue
        shared = surveyor.shared(Path(part))
        if not shared:
            continue
        folders += shared
        dirs.append(part)
        name = os.path.basename(shared[0])
        if name.startswith(".") and name[1:] in VERSION_MANAGERS:
            env[VERSION_MANAGERS[name[1:]]] = shared[0]
        rustup = Path(part).parent.parent / ".rustup"
        if Path(part).parts[-2:] == (".cargo", "bin") and rustup.is_dir():
            folders.append(str(rustup))
            env["RUSTUP_HOME"] = str(rustup)
    from_path = tuple(map(path_text, _outermost(folders)))
    folders += needed
    homes = []
    for text in map(path_str, extra):
        folder = Path(os.path.normpath(home / text[2:] if text.startswith("~/") else Path(text)))
        if not folder.is_absolute() or not folder.exists():
            continue
        folders.append(str(folder))
        if folder.is_relative_to(home) and folder != home:
            homes.append((str(folder), f"{HOME}/{folder.relative_to(home)}"))
    folders = _outermost(folders)
    dirs = list(dict.fromkeys([*dirs, *SYSTEM_PATH]))
    if not _has_python(dirs, folders):
        dirs.append(str(Path(sys.base_prefix) / "bin"))
        folders = _outermost([*folders, os.path.realpath(sys.base_prefix), sys.base_prefix])
    secrets = (_within(secret, folders) for folder in folders for secret in _secrets(Path(folder)))
    masked = tuple(dict.fromkeys(secret for secret in secrets if secret))
    return Tools(tuple(dirs), tuple(folders), tuple(homes), masked, env, from_path)


def _manager(shims: Path) -> dict[str, str] | None:
    """The variables that make a version manager's shims work without the user's home; None if they do not work.

    A shim's target must lie in the manager's own folder, because nothing else of a home is shared. If one shim prints
    its version with that folder alone, all are assumed to work.
    """
    root = shims.parent
    variable = VERSION_MANAGERS.get(root.name.removeprefix("."))
    if variable is None:
        return None
    try:
        names = sorted(entry.name for entry in os.scandir(shims) if entry.is_file() and os.access(entry, os.X_OK))
    except OSError:
        return None
    name = next((wanted for wanted in ("python3", "ruby", "node", "go") if wanted in names), names[0] if names else "")
    env = {variable: str(root)}
    if not name or not _stays_within(shims / name, root):
        return None
    path = ":".join((str(shims), *SYSTEM_PATH))
    command = [str(shims / name), "version" if name == "go" else "--version"]
    try:
        said = subprocess.run(
            command,
            env={**env, "PATH": path, "HOME": "/nonexistent"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SHIM_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return env if said.returncode == 0 else None


def _stays_within(script: Path, root: Path) -> bool:
    """Whether all programs that a shim mentions lie in `root` or in system folders."""
    try:
        with script.open(encoding="utf-8", errors="surrogateescape") as stream:
            text = stream.read(8192)
    except OSError:
        return False
    own = (str(root), os.path.realpath(root), "/usr", "/bin", "/dev")
    return all(any(_under(named, folder) for folder in own) for named in _ABSOLUTE.findall(text) if named.strip("/"))


def _has_python(dirs: list[str], folders: list[str]) -> bool:
    """Whether a `python3` on the path also exists inside: it, or its link target, lies in a shared folder."""
    for folder in dirs:
        program = os.path.join(folder, "python3")
        real = os.path.realpath(program)
        seen = any(_under(real, shared) for shared in (*folders, "/usr", "/bin"))
        if seen and os.path.isfile(real) and os.access(real, os.X_OK):
            return True
    return False


def _outermost(folders: list[str]) -> list[str]:
    kept: list[str] = []
    for folder in sorted(set(folders), key=lambda name: (name.count("/"), name)):
        if not any(_under(folder, other) for other in kept) and folder != "/":
            kept.append(folder)
    return kept


def _under(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _secrets(folder: Path) -> list[str]:
    """Credentials in the first two levels of a shared folder."""
    found = []
    with suppress(OSError):
        for entry in folder.iterdir():
            if entry.name in SECRET_NAMES:
                found.append(str(entry))
            elif entry.is_dir() and not entry.is_symlink():
                with suppress(OSError):
                    found += [str(inner) for inner in entry.iterdir() if inner.name in SECRET_NAMES]
    return found


def _within(secret: str, folders: list[str]) -> str:
    """Where a secret lies within a shared folder; empty for a link that leads out of it, or nowhere."""
    if not os.path.islink(secret):
        return secret
    real = os.path.realpath(secret)
    if not os.path.exists(real):
        return ""
    tops = ((folder, os.path.realpath(folder)) for folder in folders)
    return next((folder + real[len(top) :] for folder, top in tops if _under(real, top)), "")


def _without(path: str, masked: tuple[str, ...]) -> list[str]:
    if path in masked:
        return []
    if not any(_under(secret, path) for secret in masked):
        return [path]
    try:
        inner = [entry.path for entry in os.scandir(path) if not entry.is_symlink()]
    except OSError:
        return []
    return [each for entry in inner for each in _without(entry, masked)]


def proc_entries() -> list[str]:
    """Parts of `/proc` to hide besides processes: files that their owner could write, and every folder.

    A process whose user is root in the kernel's view may write `/proc/sys` even without capabilities.
    """
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() or entry.is_symlink():
            continue
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and mode & 0o222):
            found.append(entry.path)
    return sorted(found)
