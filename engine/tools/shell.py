"""shell: run a command in the agent's copy."""

from typing import Annotated

from msgspec import Meta, Struct

from engine.domain.bounds import Seconds, ShellCommand
from engine.domain.events import Draft
from engine.domain.settings import SandboxSettings
from engine.domain.types import Pathology
from engine.domain.units import duration_s
from engine.policy.build_commands import is_build
from engine.policy.machine_load import busy
from engine.policy.pathologies import NUDGES, found
from engine.policy.recorded_tests import test_run
from engine.tools.tool import Answer, Tool, ToolContext, refused

ONE_FOLDER = (
    "(a folder of the project cannot be renamed in one step here, also by `git mv`: use `mv`, which copies it, then "
    "`git add -A`)"
)
"""The copy is an overlay, in which the kernel renames files but no folder of a lower layer."""


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    command: Annotated[ShellCommand, Meta(description="Run by bash (or sh) at the root of your copy.")]
    timeout_s: Annotated[Seconds, Meta(description="Seconds after which the command is killed.")] = 0.0


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    if not arguments.command.strip():
        return refused("the command is empty")
    me = context.agent.id
    if context.snapshot.pathologies.get(me, {}).get(Pathology.DOES_THE_WORK, 0) > NUDGES:
        return refused(
            "you keep changing files, and nothing you change is kept: spawn tasks for the changes; "
            "commands run again after your next message"
        )
    before = await context.changed()
    began = context.clock.now()
    output, waited = await context.command(arguments.command, arguments.timeout_s)
    paths = tuple(sorted(before ^ await context.changed()))
    head = (
        f"killed: {_cause(output.killed, context.settings.sandbox)}" if output.exit is None else f"exit {output.exit}"
    )
    cpu = "" if output.cpu_s is None else f", {output.cpu_s:.1f} s of CPU"
    load = busy(context.snapshot.samples, began, output.wall_s, output.cpu_s, output.starved_s)
    note = f" (the machine is busy: {load})" if load else ""
    lines = [f"{head} after {output.wall_s:.1f} s{cpu}{note}", output.text]
    drafts: tuple[Draft, ...] = ()
    if spoiled := await context.spoiled():
        finding = found(context.snapshot, me, Pathology.DOES_THE_WORK, f"changed {', '.join(spoiled[:5])}")
        drafts = (finding.draft,)
        lines.append(f"(you changed {', '.join(spoiled[:5])}; nothing you change is kept: spawn a task for the change)")
    if output.exit and "cross-device link" in output.text:
        lines.append(ONE_FOLDER)
    lines.append((await context.left_out()).strip())
    text = "\n".join(line for line in lines if line)
    build = is_build(arguments.command, context.settings.build.gate)
    ending = (output.exit, output.killed, output.text, output.wall_s)
    tests = test_run(arguments.command, *ending, context.snapshot.check_command)
    return Answer(text, paths=paths, gate_wait_s=waited, build=build, tests=tests, drafts=drafts)


def _cause(killed: str, limits: SandboxSettings) -> str:
    """What ended a command, with the limit it exceeded."""
    limit = {
        "memory": f"limit: {limits.memory} for the command and everything it started",
        "swarm memory": "all agents' commands together exceeded their limit; this one used the most",
        "swarm processes": f"limit: {limits.swarm_processes} for all agents' commands together; this one had the most",
        "swarm disk": "all agents' copies together exceeded their limit; yours is the largest, so delete what you can",
        "processes": f"limit: {limits.processes} processes and threads at once",
        "output": f"limit: {limits.output}",
        "cpu": f"limit: {limits.cpu} of CPU time",
        "disk": f"limit: your copy may grow by {limits.disk}; delete what you do not need",
    }.get(killed)
    return f"{killed} ({limit})" if limit else killed


TOOL = Tool(
    "shell",
    Arguments,
    call,
    writes=True,
    target=lambda a: " ".join(a.command.split())[:80],
    limits=lambda settings: {"timeout_s": round(duration_s(settings.sandbox.command_timeout), 3)},
)
