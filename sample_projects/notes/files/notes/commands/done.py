"""done: a note is dealt with."""

import argparse
from typing import TextIO

from notes.store import Store

HELP = "mark a note done"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", type=int)


def run(arguments: argparse.Namespace, store: Store, out: TextIO) -> int:
    note = store.finish(arguments.id)
    print(f"done: {note.text}", file=out)
    return 0
