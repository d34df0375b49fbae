"""remove: a note goes for good."""

import argparse
from typing import TextIO

from notes.store import Store

HELP = "delete a note"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", type=int)


def run(arguments: argparse.Namespace, store: Store, out: TextIO) -> int:
    note = store.remove(arguments.id)
    print(f"removed: {note.text}", file=out)
    return 0
