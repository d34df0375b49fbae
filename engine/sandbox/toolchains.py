"""Which of the machine's tools and settings agents may use: read-only folders, PATH, and the commands' environment."""

import os
import stat
from pathlib import Path

from msgspec import Struct

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
# What lies beside tools in a person's home and must stay unseen even when a folder around it is shared.
SECRET_NAMES = frozenset(
    {
        ".aws", ".azure", ".docker", ".gcloud", ".git-credentials", ".gnupg", ".kube", ".netrc", ".npmrc", ".pypirc",
        ".ssh", "auth.json", "credentials", "credentials.json", "credentials.toml", "id_ed25519", "id_rsa",
    }
)  # fmt: skip


class Tools(Struct, frozen=True):
    """`folders` are bound read-only at their own place, `masked` files and folders below them are hidden.

    `homes` maps what lies in the person's home to the same place in the agent's.
    """

    path: tuple[str, ...]
    folders: tuple[str, ...]
    homes: tuple[tuple[str, str], ...]
    masked: tuple[str, ...]
    env: dict[str, str]


def find_tools(path: str, home: Path, extra: tuple[str, ...], needed: tuple[str, ...]) -> Tools:
    """The tools on `path` (a PATH's text), the settings' `extra` folders and those `needed` by us."""
    folders: list[str] = [*needed]
    dirs: list[str] = []
    env: dict[str, str] = {}
    for part in path.split(":"):
        if not part.startswith("/") or not os.path.isdir(part):
            continue
        if _under(part, "/usr") or part in SYSTEM_PATH:
            continue
        folder = _toolchain(Path(part), home)
        if folder is None:
            continue
        folders.append(str(folder))
        dirs.append(part)
        if folder.name == ".pyenv":
            env["PYENV_ROOT"] = str(folder)
        if part == str(home / ".cargo/bin") and (home / ".rustup").is_dir():
            folders.append(str(home / ".rustup"))
            env["RUSTUP_HOME"] = str(home / ".rustup")
    homes = []
    for text in extra:
        folder = Path(os.path.normpath(home / text[2:] if text.startswith("~/") else Path(text)))
        if not folder.is_absolute() or not folder.exists():
            continue
        folders.append(str(folder))
        if folder.is_relative_to(home) and folder != home:
            homes.append((str(folder), f"{HOME}/{folder.relative_to(home)}"))
    folders = _outermost(folders)
    masked = tuple(secret for folder in folders for secret in _secrets(Path(folder)))
    return Tools(tuple(dict.fromkeys([*dirs, *SYSTEM_PATH])), tuple(folders), tuple(homes), masked, env)


def _toolchain(part: Path, home: Path) -> Path | None:
    """The folder to share so that the programs in `part` work; None when it would show too much."""
    for tool in (".pyenv", ".rbenv", ".nodenv", ".goenv", ".asdf", ".sdkman", ".volta", ".bun", ".deno"):
        if part.is_relative_to(home / tool):
            return home / tool
    if part == home or home.is_relative_to(part):
        return None
    above = part.parent
    prefix = (above / "pyvenv.cfg").exists() or any((above / name).is_dir() for name in ("lib", "include", "pkg"))
    private = above == home or home.is_relative_to(above) or above == home / ".local"
    if part.name in ("bin", "sbin", "shims") and prefix and not private and len(above.parts) > 2:
        return above
    return part


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
    try:
        for entry in folder.iterdir():
            if entry.name in SECRET_NAMES:
                found.append(str(entry))
            elif entry.is_dir() and not entry.is_symlink():
                try:
                    found += [str(inner) for inner in entry.iterdir() if inner.name in SECRET_NAMES]
                except OSError:
                    continue
    except OSError:
        pass
    return found


def command_env(tools: Tools, home: str, tmp: str) -> dict[str, str]:
    """What a command finds in its environment: nothing of the host's but where tools are."""
    return {
        "PATH": ":".join(tools.path),
        "HOME": home,
        "USER": "agent",
        "LOGNAME": "agent",
        "SHELL": "/bin/sh",
        "TMPDIR": tmp,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "CI": "1",
        "PAGER": "cat",
        "GIT_PAGER": "cat",
        "GIT_EDITOR": "true",
        "EDITOR": "true",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONPYCACHEPREFIX": f"{tmp}/pycache",  # not beside the sources: few projects' ignore files cover them all
        "DEBIAN_FRONTEND": "noninteractive",
        **tools.env,
    }


def proc_entries() -> list[str]:
    """Of `/proc`, beside the processes: what could be written by who owns it, and every folder.

    A process whose user is root to the kernel may write `/proc/sys` even without any capability.
    """
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() or entry.is_symlink():
            continue
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and mode & 0o222):
            found.append(entry.path)
    return sorted(found)
