"""Runs benches by name: `python -m tests.bench [NAME [OPTION…]]`."""

import importlib
import pkgutil
import sys
from collections.abc import Sequence
from difflib import get_close_matches

import tests.bench

PREFIX = "bench_"


def main(words: Sequence[str]) -> int:
    """Run the named bench with its options, or all of them; the exit status is 2 for a name that none has."""
    known = sorted(
        found.name.removeprefix(PREFIX)
        for found in pkgutil.iter_modules(tests.bench.__path__)
        if found.name.startswith(PREFIX)
    )
    names = known if not words or words[0].startswith("-") else [words[0]]
    options = list(words[1:] if words and not words[0].startswith("-") else words)
    if names[0] not in known:
        near = get_close_matches(names[0], known, 1, 0.0) if known else []
        sys.stderr.write(f"error: no bench is named {names[0]!r}\nhint: there are {', '.join(known)}")
        sys.stderr.write(f"; perhaps {near[0]}\n" if near else "\n")
        return 2
    for name in names:
        report = importlib.import_module(f"tests.bench.{PREFIX}{name}").run(options)
        sys.stdout.write(f"{report.table()}\n{report.json()}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
