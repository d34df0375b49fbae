"""Runs benches by name: `python -m tests.bench [NAME [OPTION…]]`."""

import pkgutil
import subprocess
import sys
from collections.abc import Sequence

import tests.bench

PREFIX = "bench_"


def known() -> list[str]:
    """The names of all benches, sorted."""
    found = (module.name for module in pkgutil.iter_modules(tests.bench.__path__))
    return sorted(name.removeprefix(PREFIX) for name in found if name.startswith(PREFIX))


def main(words: Sequence[str]) -> int:
    """Run the named bench with its options, or all of them. 2 for a name that none has, else the worst exit status."""
    names = [words[0]] if words else known()
    if not set(names) <= set(known()):
        sys.stderr.write(f"error: no bench is named {names[0]!r}\nhint: there are {', '.join(known())}\n")
        return 2
    statuses = [
        subprocess.run([sys.executable, "-m", f"tests.bench.{PREFIX}{name}", *words[1:]], check=False).returncode
        for name in names
    ]
    return max(map(abs, statuses))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
