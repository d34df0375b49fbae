"""What a folder on PATH needs to work, and how much of what lies beside it may be shared for that.

The folder above a `bin` is shared only if it is proved to be an installation. A project has a `bin`, too, and beside it
its history and its keys.
"""

import os
import stat
from pathlib import Path

WORK_TREE = (".git", ".hg", ".svn", ".jj", ".bzr", "_darcs", ".pijul", ".fslckout", "CVS")
"""What lies at the top of a work tree."""
PROJECT = (
    ".env", ".envrc", "Cargo.toml", "Gemfile", "Makefile", "Rakefile", "build.gradle", "build.gradle.kts",
    "CMakeLists.txt", "Dockerfile", "composer.json", "compose.yaml", "config.ru", "deno.json", "docker-compose.yml",
    "go.mod", "go.work", "manage.py", "meson.build", "mix.exs", "package.json", "pom.xml", "pyproject.toml",
    "requirements.txt", "setup.cfg", "setup.py", "swarm.toml", "INTENT.md",
)  # fmt: skip
"""What projects have and installations do not: `.env` and its like, manifests, build files."""
PARTS = ("bin", "sbin", "lib", "lib32", "lib64", "libexec", "include", "share", "Cellar", "opt")
"""The folders of an installation that programs in its `bin` use. Its `etc` and `var` may hold keys and data."""
MANAGERS = (
    ".asdf", ".bun", ".deno", ".fnm", ".goenv", ".nodenv", ".nvm", ".pyenv", ".rbenv", ".rustup", ".sdkman", ".volta",
    ".local/share/fnm", ".local/share/mise", ".local/share/pipx", ".local/share/uv", ".nix-profile",
)  # fmt: skip
"""Folders of a home that tool managers fill. Some are work trees, of the manager itself."""
WHOLE = (".pyenv", ".rbenv", ".nodenv", ".goenv", ".asdf", ".sdkman", ".volta", ".bun", ".deno")
"""Managers whose programs need more of the manager's folder than one installation in it."""
NEAR_ROOT = 3
"""Parts of a path that is not at the top of the filesystem, as `/opt` is."""
MOST_PROGRAMS = 500
"""Programs of one folder that are looked at, or shared one by one."""
LINKS = 3
"""Installations that one leads to through the links in its `bin`, and links that lead to a program."""
PRIVATE = (".cache", ".config", ".gnupg", ".local/share", ".local/state", ".ssh")
"""Folders of a home that are never shared, nor what is around them."""


class Surveyor:
    """Decides what to share for folders on PATH. `home` and the folders in `kept_out` are never part of it."""

    def __init__(self, home: Path, kept_out: tuple[Path, ...] = ()) -> None:
        real = Path(os.path.realpath(home))
        self._homes = tuple({home, real})
        self._kept_out = (*(real / name for name in PRIVATE), *(Path(os.path.realpath(path)) for path in kept_out))

    def shared(self, folder: Path) -> list[str]:
        """The folders and files that the programs in a folder on PATH need, that one first; empty if none may be."""
        return list(dict.fromkeys(self._shared(folder, LINKS)))

    def in_project(self, folder: Path) -> bool:
        """Whether a folder, which may be a work tree itself, lies in a work tree other than the home."""
        above = Path(os.path.realpath(folder)).parent
        return above not in self._homes and self._in_work_tree(above)

    def _shared(self, folder: Path, links: int) -> list[str]:
        real = Path(os.path.realpath(folder))
        if self._holds_private(real):
            return []
        if (manager := self._manager(folder)) is not None:
            return [str(manager)]
        if self._is_project(real) or len(real.parts) < NEAR_ROOT:
            return [str(folder / name) for name in _programs(folder) if not (folder / name).is_symlink()]
        found = self._installation(folder) or [str(folder)]
        if links and (not self._in_work_tree(real) or _is_virtual(real.parent)):
            for target in self._linked(folder, found):
                found += self._behind(target, links - 1)
        return found

    def _installation(self, folder: Path) -> list[str]:
        """What to share of the installation whose programs are in `folder`; empty if it is not proved to be one."""
        above = folder.parent
        real = Path(os.path.realpath(above))
        if folder.name not in ("bin", "sbin", "Scripts") or self._holds_private(real) or self._is_project(real):
            return []
        if len(real.parts) < NEAR_ROOT:
            return []
        if _is_virtual(real) or (self._managed(real) and _has_part(real)):
            return [str(above)]
        if self._in_work_tree(real):
            return []
        if (real / "conda-meta").is_dir() or _is_go(real) or _is_java(real):
            return [str(above)]
        return [str(above / name) for name in PARTS if (real / name).is_dir()] if _has_part(real) else []

    def _behind(self, target: Path, links: int) -> list[str]:
        """What a program needs that a link on PATH leads to: its installation, or else only the program."""
        if self._installation(target.parent):
            return self._shared(target.parent, links)
        if self._in_work_tree(target.parent) and not self._managed(target):
            return []
        return [str(target)]

    def _linked(self, folder: Path, shared: list[str]) -> list[Path]:
        """What links in `folder` lead to, each step of the way, as far as it is not shared yet."""
        tops = [*shared, "/usr", "/bin"]
        found: dict[Path, None] = {}
        for name in _programs(folder):
            step = folder / name
            for _ in range(LINKS):
                if not step.is_symlink():
                    break
                step = Path(os.path.normpath(step.parent / step.readlink()))
                if not any(step.is_relative_to(top) for top in tops):
                    found[step] = None
        return list(found)

    def _manager(self, folder: Path) -> Path | None:
        """The folder of a manager around `folder` that is shared whole."""
        around = (home / name for home in self._homes for name in WHOLE)
        return next((manager for manager in around if folder.is_relative_to(manager)), None)

    def _managed(self, real: Path) -> bool:
        return any(home / name in real.parents for home in self._homes for name in MANAGERS)

    def _holds_private(self, real: Path) -> bool:
        """Whether a folder is, or is around, the home or something in it that is never shared."""
        return any(kept.is_relative_to(real) for kept in (*self._homes, *self._kept_out))

    @staticmethod
    def _is_project(real: Path) -> bool:
        return any(os.path.lexists(real / name) for name in (*WORK_TREE, *PROJECT))

    @staticmethod
    def _in_work_tree(real: Path) -> bool:
        return any(os.path.lexists(folder / name) for folder in (real, *real.parents) for name in WORK_TREE)


def _is_virtual(real: Path) -> bool:
    """Whether a folder is a Python environment: a marker, an interpreter, and a library."""
    return (
        (real / "pyvenv.cfg").is_file()
        and any(os.path.lexists(real / "bin" / name) for name in ("python", "python3"))
        and any(real.glob("lib*/python3*/site-packages"))
    )


def _is_go(real: Path) -> bool:
    return (real / "VERSION").is_file() and (real / "src/runtime").is_dir() and (real / "pkg").is_dir()


def _is_java(real: Path) -> bool:
    return (real / "release").is_file() and (real / "lib").is_dir() and (real / "bin/java").is_file()


def _has_part(real: Path) -> bool:
    return any((real / name).is_dir() for name in ("lib", "lib64", "libexec", "include", "share"))


def _programs(folder: Path) -> list[str]:
    """The names of the programs in a folder: files that can be executed, or links to such files."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    mode = entry.stat().st_mode
                except OSError:
                    continue
                if stat.S_ISREG(mode) and mode & 0o111:
                    found.append(entry.name)
                if len(found) == MOST_PROGRAMS:
                    break
    except OSError:
        return []
    return sorted(found)
