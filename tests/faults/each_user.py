"""Tries the guarantees as the current user and, for root, as an ordinary user too: part of `make faults`.

Prints one line for each user and sandbox level. An ordinary user cannot read root's files, so it gets a copy of this
project and an environment of its own.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from engine.sandbox.guarantees import Level

PROJECT = Path(__file__).parents[2]
USER = 64_000
"""An id that no user has."""
LEVELS = [level.value for level in Level if level is not Level.OFF]
RESULTS = ("failure", "error", "skipped")


def run(python: str, folder: Path, *, user: int | None, arguments: list[str]) -> Counter[tuple[str, str]]:
    """The results by level and kind."""
    report = folder / "faults.xml"
    report.unlink(missing_ok=True)
    names = " or ".join(LEVELS)
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", "-k", names]
    as_user = {} if user is None else {"user": user, "group": user, "extra_groups": list[int]()}
    env = dict(os.environ)
    if user is not None:
        env |= {"TMPDIR": str(folder / "tmp"), "HOME": str(folder / "tmp")}
    subprocess.run([*command, *(arguments or tests_of_levels())], cwd=folder, env=env, check=False, **as_user)  # type: ignore[call-overload]
    counts: Counter[tuple[str, str]] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        level = next((level for level in LEVELS if level in case.attrib["name"].partition("[")[2]), "any level")
        counts[level, next((kind for kind in RESULTS if case.find(kind) is not None), "passed")] += 1
    report.unlink()
    return counts


def tests_of_levels() -> list[str]:
    """The files whose tests are run at each level."""
    files = sorted((PROJECT / "tests/faults").glob("test_*.py"))
    return [str(file.relative_to(PROJECT)) for file in files if "place: Place" in file.read_text(encoding="utf-8")]


def copy_for(user: int, folder: Path) -> str:
    """Copy the project with its packages; returns the interpreter of the copy's environment."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name, follow_symlinks=False)
    (folder / "tmp").mkdir()
    packages = Path(".venv/lib") / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    shutil.copytree(PROJECT / packages, folder / packages, ignore=shutil.ignore_patterns("_editable_*"))
    for place, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            os.chown(os.path.join(place, name), user, user, follow_symlinks=False)
    subprocess.run([usable_python(user), "-m", "venv", "--without-pip", ".venv"], cwd=folder, user=user, check=True)
    return str(folder / ".venv/bin/python")


def usable_python(user: int) -> str:
    """An interpreter of this version that the user may run: compiled packages fit no other."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    test = f"import sys; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
    for candidate in (
        getattr(sys, "_base_executable", sys.executable),
        f"/usr/bin/python{version}",
        "/usr/bin/python3",
    ):
        try:
            if subprocess.run([candidate, "-c", test], user=user, capture_output=True, check=False).returncode == 0:
                return str(candidate)
        except OSError:
            continue
    raise SystemExit(f"error: an ordinary user can run no Python {version} here\nhint: install it for all users")


def main(arguments: list[str]) -> int:
    users = {"this user" if os.geteuid() else "root": run(sys.executable, PROJECT, user=None, arguments=arguments)}
    if os.geteuid() == 0:
        with tempfile.TemporaryDirectory(prefix="swarm-faults-") as name:
            folder = Path(name)
            folder.chmod(0o755)
            python = copy_for(USER, folder)
            users["an ordinary user"] = run(python, folder, user=USER, arguments=arguments)
    for user, counts in users.items():
        for level in LEVELS:
            kinds = ", ".join(f"{counts[level, kind]} {kind}" for kind in ("passed", *RESULTS) if counts[level, kind])
            print(f"{user}, {level}: {kinds or 'none'}")
    return int(any(kind in RESULTS[:2] for counts in users.values() for _, kind in counts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
