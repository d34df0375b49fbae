"""shell: run a command in the agent's own copy."""

from msgspec import Struct

from engine.settings import SandboxSettings
from engine.tools.tool import Answer, Desk, Tool, refused


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    command: str
    timeout_s: float = 0.0


async def call(desk: Desk, arguments: Arguments) -> Answer:
    if not arguments.command.strip():
        return refused("the command is empty")
    before = await desk.changed()
    output, waited = await desk.command(arguments.command, arguments.timeout_s)
    paths = tuple(sorted(before ^ await desk.changed()))
    head = f"killed: {_cause(output.killed, desk.settings.sandbox)}" if output.exit is None else f"exit {output.exit}"
    lines = [f"{head} after {output.wall_s:.1f} s", output.text]
    if output.cut:
        lines.append(f"({output.cut} bytes were left out in the middle; all of it is in {output.whole})")
    return Answer("\n".join(line for line in lines if line), paths=paths, gate_wait_s=waited)


def _cause(killed: str, limits: SandboxSettings) -> str:
    """What ended a command, and the limit that it met."""
    limit = {
        "memory": f"it and all it started may take {limits.memory}",
        "swarm memory": "all agents' commands together took too much, and it was the largest",
        "processes": f"it may have {limits.processes} processes and threads at once",
        "output": f"it may write {limits.output}",
        "cpu": f"it may use {limits.cpu} of processor time",
        "disk": f"your copy may grow by {limits.disk}; delete what you do not need",
    }.get(killed)
    return f"{killed} ({limit})" if limit else killed


TOOL = Tool("shell", Arguments, call, writes=True, target=lambda a: " ".join(a.command.split())[:80])
