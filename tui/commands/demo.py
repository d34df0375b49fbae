"""`swarm-tui demo`: a bundled sample project in a scratch repo, run with the rehearsal model."""

import shutil
import sys
from argparse import Namespace
from urllib.parse import urlencode

from tui.bridge import ErrorKind, SampleProject, SwarmError, list_samples, sample_folder
from tui.commands.run import open_repo, start
from tui.commands.scratch import scratch_repo

GENERATED = "load"
"""The sample that is generated to measure."""
DEFAULT = "markdown"


def demo(arguments: Namespace) -> int:
    """Run a sample in the app or without; returns the exit status."""
    if arguments.list:
        return _list()
    sample = _sample(_name(arguments))
    if not arguments.headless and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise SwarmError(
            ErrorKind.USAGE, "there is no terminal to open the app in", "print instead: swarm-tui demo --headless"
        )
    _settle(arguments, sample)
    folder = scratch_repo(arguments, sample)
    sys.stderr.write(f"sample: {sample.name}, {sample.title}, in {folder}\n")
    source, settings = open_repo(arguments, folder)
    intent = (sample.folder / "INTENT.md").read_text(encoding="utf-8")
    return start(arguments, source, settings, intent)


def _list() -> int:
    width = min(100, shutil.get_terminal_size().columns)
    for sample in list_samples():
        sys.stdout.write(f"{sample.name:<12}{sample.title}\n{'':<12}{sample.description[: width - 12]}\n")
    return 0


def _name(arguments: Namespace) -> str:
    shaped = [name for name in ("agents", "tasks", "conflicts") if getattr(arguments, name) is not None]
    if shaped and arguments.sample not in ("", GENERATED):
        raise SwarmError(
            ErrorKind.USAGE, f"--{shaped[0]} shapes the generated sample only", f"write: swarm-tui demo {GENERATED} …"
        )
    if shaped:
        return GENERATED
    return str(arguments.sample) or DEFAULT


def _sample(name: str) -> SampleProject:
    sample_folder(name)  # raises with the nearest name
    return next(sample for sample in list_samples() if sample.name == name)


def _settle(arguments: Namespace, sample: SampleProject) -> None:
    """What the sample needs as options, before those that the person gave."""
    query: dict[str, str] = {}
    for option, least in (("speed", 0.0), ("tasks", 1), ("agents", 1), ("conflicts", 0.0)):
        value = getattr(arguments, option)
        if value is not None and not least <= value < 1e6:
            raise SwarmError(ErrorKind.USAGE, f"--{option} {value} is out of range", f"write {least:g} or more")
        if value is not None and option != "agents":
            query[option] = f"{value:g}"
    if arguments.conflicts is not None and arguments.conflicts > 1:
        raise SwarmError(ErrorKind.USAGE, f"--conflicts {arguments.conflicts} is out of range", "write a share, 0 to 1")
    model = f"rehearsal:{sample.name}{f'?{urlencode(query)}' if query else ''}"
    arguments.model = [model, *arguments.model]
    if arguments.agents is not None and arguments.workers is None:
        arguments.workers = str(arguments.agents)
    if arguments.check is None:
        arguments.check = sample.check
