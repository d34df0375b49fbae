"""shell: run a command in the agent's own copy."""

from msgspec import Struct

from engine.domain.events import Draft
from engine.domain.settings import SandboxSettings
from engine.domain.types import Pathology
from engine.policy.build_commands import is_build
from engine.policy.pathologies import NUDGES, found
from engine.tools.tool import Answer, Desk, Tool, refused


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    command: str
    timeout_s: float = 0.0


async def call(desk: Desk, arguments: Arguments) -> Answer:
    if not arguments.command.strip():
        return refused("the command is empty")
    me = desk.agent.id
    if desk.snapshot.pathologies.get(me, {}).get(Pathology.DOES_THE_WORK, 0) > NUDGES:
        return refused(
            "you keep changing files, and nothing of it is kept: have the work done; commands are yours again "
            "after your next message"
        )
    before = await desk.changed()
    output, waited = await desk.command(arguments.command, arguments.timeout_s)
    paths = tuple(sorted(before ^ await desk.changed()))
    head = f"killed: {_cause(output.killed, desk.settings.sandbox)}" if output.exit is None else f"exit {output.exit}"
    lines = [f"{head} after {output.wall_s:.1f} s", output.text]
    if output.cut:
        lines.append(f"({output.cut} bytes were left out in the middle; all of it is in {output.whole})")
    drafts: tuple[Draft, ...] = ()
    if spoiled := await desk.spoiled():
        finding = found(desk.snapshot, me, Pathology.DOES_THE_WORK, f"it changed {', '.join(spoiled[:5])}")
        drafts = (finding.draft,)
        lines.append(
            f"(you have changed {', '.join(spoiled[:5])}: nothing of it is kept; spawn a task for what has to change)"
        )
    text = "\n".join(line for line in lines if line)
    build = is_build(arguments.command, desk.settings.build.gate)
    return Answer(text, paths=paths, gate_wait_s=waited, build=build, drafts=drafts)


def _cause(killed: str, limits: SandboxSettings) -> str:
    """What ended a command, and the limit that it met."""
    limit = {
        "memory": f"it and all it started may take {limits.memory}",
        "swarm memory": "all agents' commands together took too much, and it was the largest",
        "swarm processes": f"all agents' commands together may have {limits.swarm_processes}, and it had the most",
        "swarm disk": "all agents' copies together may grow no more, and yours is the largest; delete what you can",
        "processes": f"it may have {limits.processes} processes and threads at once",
        "output": f"it may write {limits.output}",
        "cpu": f"it may use {limits.cpu} of processor time",
        "disk": f"your copy may grow by {limits.disk}; delete what you do not need",
    }.get(killed)
    return f"{killed} ({limit})" if limit else killed


TOOL = Tool("shell", Arguments, call, writes=True, target=lambda a: " ".join(a.command.split())[:80])
