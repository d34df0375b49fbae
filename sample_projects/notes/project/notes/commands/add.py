"""add: a new note."""

import argparse
from typing import TextIO

from notes.store import Store

HELP = "add a note"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="+")


def run(arguments: argparse.Namespace, store: Store, out: TextIO) -> int:
    note = store.add(" ".join(arguments.text))
    print(f"{note.id}  {note.text}", file=out)
    return 0
