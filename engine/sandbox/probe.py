"""Finds out what this machine supports: a level counts only if a real contained self-test passes."""

import asyncio
import logging
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.settings import SandboxSettings
from engine.domain.units import duration_s, size_bytes
from engine.ports.protocols import WorkspaceError, WorkspaceLost
from engine.sandbox import guarantees
from engine.sandbox.bubblewrap import Bubblewrap, find_bubblewrap, overlaid_folders
from engine.sandbox.cgroups import ControlGroups, Ungoverned
from engine.sandbox.containment import FILTER, Containment, Limits
from engine.sandbox.disk import DiskWatch
from engine.sandbox.guarantees import CopyMethod, Level, SandboxReport
from engine.sandbox.inside.usage import machine_memory
from engine.sandbox.launchers import Zygote
from engine.sandbox.mounts import Mount, Surroundings, prepare_stage
from engine.sandbox.program import python
from engine.sandbox.removal import delete_tree
from engine.sandbox.seccomp import build_filter
from engine.sandbox.session import SandboxSession
from engine.sandbox.shared_limits import SharedLimits
from engine.sandbox.toolchains import find_tools
from engine.sandbox.unseen import Unseen

log = logging.getLogger("swarm")

KEPT = "known to the engine only"
AS_ROOT_RESTRICTED = "as root it would let agents change the modes of every file; run as an ordinary user"
NO_FILTER = "this kind of machine's system calls are not known, so none can be refused"
TRIED = {"auto": (Level.FULL, Level.NAMESPACED, Level.RESTRICTED), "strict": (Level.FULL, Level.NAMESPACED)}
"""The levels that are tried, best first, for settings that leave the choice open."""
SMALL = 48 << 20
"""The memory limit of the self-test's group: a process that allocates more must be ended."""
AUTO_SHARE = 0.75
"""The share of the machine's memory and free disk that all commands, or copies, may use by default."""


class Choice(Struct, frozen=True):
    containment: Containment
    method: CopyMethod
    report: SandboxReport


async def probe(settings: SandboxSettings, folder: Path | None = None) -> SandboxReport:
    """The containment that a run would get. `folder`: where copies would lie (default: a temporary folder).

    Raises SwarmError (sandbox) if the settings require what this machine does not support.
    """
    place = Path(tempfile.mkdtemp(prefix="swarm-probe-", dir=folder))
    try:
        objects = place / "objects"
        objects.mkdir()
        choice = await choose(place, objects, settings)
        await asyncio.to_thread(choice.containment.close)
        return choice.report
    finally:
        await asyncio.to_thread(delete_tree, place)


async def choose(folder: Path, objects: Path, settings: SandboxSettings) -> Choice:
    """The best level and copy method that work in `folder` and that the settings allow. Fails closed.

    Raises SwarmError (sandbox) if none works here.
    """
    wanted = TRIED.get(settings.level) or (Level(settings.level),)
    methods = tuple(CopyMethod) if settings.copies == "auto" else (CopyMethod(settings.copies),)
    stage = folder / "stage"
    devices = await asyncio.to_thread(prepare_stage, stage)
    bwrap = await asyncio.to_thread(find_bubblewrap)
    containment = _containment(bwrap, stage, objects, settings, devices)
    reasons: dict[str, str] = {}
    for level in wanted:
        if level is Level.RESTRICTED and os.geteuid() == 0 and settings.level == "auto":
            reasons[level.value] = AS_ROOT_RESTRICTED
            continue
        try:
            tried = await asyncio.to_thread(_at, containment, level)
        except Ungoverned as error:
            reasons[level.value] = str(error)
            continue
        for method in methods:
            forking = replace(tried, zygote=Zygote(stage)) if tried.namespaces else tried
            reason = await _refusal(forking, method, folder)
            if not reason:
                tried = forking
            elif forking.zygote is not None:
                forking.zygote.close()
                log.info("launchers cannot be forked here: %s", reason)
                reason = await _refusal(tried, method, folder)
            if not reason:
                found = bwrap if tried.namespaces and bwrap else Bubblewrap("", "", False)
                granted = (*(["network"] if settings.network else []), *settings.read_only)
                lacks, tools = _lacks(tried, devices), tried.around.tools.from_path
                report = SandboxReport(level, method, found.path, found.version, lacks, reasons, granted, tools)
                return Choice(tried, method, report)
            reasons.setdefault(f"{level.value}, {method.value}", reason)
        await asyncio.to_thread(tried.close)
    raise SwarmError(
        ErrorKind.SANDBOX,
        f"no sandbox of level {settings.level} works here: {'; '.join(reasons.values())}",
        "run `swarm-tui doctor`; `--sandbox off` runs commands without one",
    )


def _at(containment: Containment, level: Level) -> Containment:
    """Raises Ungoverned if the level needs a control group or a filter that is not available."""
    groups = None
    if level is Level.FULL:
        if build_filter(namespaces=True, network=containment.around.network) is None:
            raise Ungoverned(NO_FILTER)
        limits = containment.limits
        groups = ControlGroups.open(limits.swarm_memory, limits.swarm_processes, limits.swarm_cpu)
    return replace(containment, level=level, groups=groups)


def _lacks(containment: Containment, devices: bool) -> tuple[str, ...]:
    level, groups = containment.level, containment.groups
    lacks = list(guarantees.not_guaranteed(level))
    if level is Level.NAMESPACED and build_filter(namespaces=True, network=False) is None:
        lacks.append(guarantees.UNFILTERED)
    if groups is not None and not groups.weighed:
        lacks.append(guarantees.UNWEIGHED)
    if containment.limits.swarm_cpu and not (groups is not None and groups.weighed):
        lacks.append(guarantees.UNLIMITED_CPU)
    around = containment.around
    if containment.namespaces and any(source not in around.overlaid for source, _ in around.shared()):
        lacks.append(guarantees.SHARED_LOCKS)
    if containment.around.network:
        lacks.append(guarantees.NETWORK_GRANTED)
    if os.geteuid() == 0:
        lacks.append(guarantees.AS_ROOT)
        if not devices:
            lacks.append(guarantees.DEVICES_SHARED)
    return tuple(lacks)


def _containment(
    bwrap: Bubblewrap | None, stage: Path, objects: Path, settings: SandboxSettings, devices: bool
) -> Containment:
    """The shared parts of a containment, without a level. Writes the system call filter into the stage."""
    program = build_filter(namespaces=True, network=settings.network)
    if program is not None:
        (stage / FILTER).write_bytes(program)
    limits = _limits(settings, stage)
    home = Path(os.path.expanduser("~"))
    prefix = str(Path(os.path.realpath(python())).parent.parent)
    needed = () if prefix.startswith("/usr") else (prefix,)
    tools = find_tools(os.environ.get("PATH", os.defpath), home, settings.read_only, needed, (stage,))
    # All private folders together stay below the memory limit, so that filling them leaves room to clean up.
    around = Surroundings(stage, tools, objects, settings.network, max(limits.memory * 3 // 8, 32 << 20), devices)
    if bwrap is not None:
        around = replace(around, overlaid=overlaid_folders(bwrap, around))
    shared_limits = SharedLimits(limits.swarm_memory, limits.swarm_processes, limits.swarm_disk)
    disk = DiskWatch(stage, limits.disk, shared_limits.disk)
    return Containment(
        Level.OFF, bwrap, around, limits, shared_limits, disk, Unseen(shared_limits.memory, machine_memory)
    )


def _limits(settings: SandboxSettings, folder: Path) -> Limits:
    """The limits for copies on the disk of `folder`. Raises SwarmError (settings)."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = shutil.disk_usage(folder).free
    memory, disk = settings.swarm_memory, settings.swarm_disk
    return Limits(
        memory=size_bytes(settings.memory),
        processes=settings.processes,
        output=size_bytes(settings.output),
        cpu_s=duration_s(settings.cpu),
        file_size=size_bytes(settings.file_size),
        open_files=settings.open_files,
        disk=size_bytes(settings.disk),
        swarm_memory=int(physical * AUTO_SHARE) if memory == "auto" else size_bytes(memory),
        swarm_processes=settings.swarm_processes,
        swarm_cpu=settings.swarm_cpu,
        swarm_disk=int(free * AUTO_SHARE) if disk == "auto" else size_bytes(disk),
    )


async def _refusal(tried: Containment, method: CopyMethod, folder: Path) -> str:
    """Why this level does not work with this copy method; empty if a contained self-test passed."""
    if tried.namespaces and tried.bwrap is None:
        return "bubblewrap is not installed"
    if method is CopyMethod.OVERLAY and not (tried.namespaces and tried.bwrap and tried.bwrap.overlay):
        return "overlays cannot be mounted at this level"
    if method is CopyMethod.REFLINK and not await asyncio.to_thread(can_reflink, folder):
        return "the filesystem cannot share blocks between files"
    place = Path(tempfile.mkdtemp(prefix="test-", dir=folder))
    try:
        return await _self_test(tried, method, place)
    except WorkspaceLost as error:
        return " ".join(str(error).split())
    except (OSError, WorkspaceError) as error:
        return f"the self-test failed: {error}"
    finally:
        await asyncio.to_thread(delete_tree, place)


async def _self_test(tried: Containment, method: CopyMethod, place: Path) -> str:
    secret = place / "secret"
    secret.write_text(KEPT)
    lower, files, upper, work = (place / name for name in ("lower", "files", "upper", "work"))
    for made in (lower, files, upper, work):
        made.mkdir()
    overlay = method is CopyMethod.OVERLAY
    (lower if overlay else files).joinpath("given").write_text("given\n")
    mount = Mount((str(lower),), str(upper), str(work)) if overlay else Mount(bind=str(files))
    small = replace(tried, limits=replace(tried.limits, memory=SMALL)) if tried.groups is not None else tried
    session = await SandboxSession.start(small.start(place, mount))
    try:
        lines = ["cat given && echo new > new && rm given && echo works"]
        if tried.level is not Level.OFF:
            lines.append(f"cat {shlex.quote(str(secret))} 2>/dev/null && echo LEAK")
            lines.append(f"echo x 2>/dev/null > {shlex.quote(f'{place}/outside')} && echo LEAK")
            lines.append("cat /etc/shadow >/dev/null 2>&1 && echo LEAK")
            lines.append("(: >> /proc/sys/kernel/core_pattern) 2>/dev/null && echo LEAK")
            lines.append("grep -q '^Seccomp:.*2' /proc/self/status || echo UNFILTERED")
            lines.append("unshare -r true 2>/dev/null && echo LEAK")
        if tried.namespaces:
            lines.append("grep -Eq '^NoNewPrivs:.*1' /proc/self/status || echo PRIVILEGED")
            lines.append("grep -Eq '^Cap(Inh|Prm|Eff|Bnd|Amb):.*[1-9a-f]' /proc/self/status && echo PRIVILEGED")
        if tried.namespaces and not tried.around.network:
            lines.append("grep -v -e '|' -e ' lo:' /proc/net/dev && echo LEAK")
        output = await session.run("\n".join([*lines, "true"]), 30.0, ".swarm/self-test.txt", lambda _: None)
        hog = "head -c 1G /dev/zero | tail"
        hogged = await session.run(hog, 30.0, ".swarm/hog.txt", lambda _: None) if tried.groups is not None else None
    finally:
        await session.close()
    changed = upper if overlay else files
    if output.text != "given\nworks\n" or not (changed / "new").is_file():
        return f"the self-test failed: {' '.join(output.text.split())[:200] or output.killed or 'no output'}"
    if hogged is not None and hogged.killed != "memory":
        return "the self-test failed: its control group does not hold it below its memory"
    return ""


def can_reflink(folder: Path) -> bool:
    """Whether files in `folder` can share blocks (reflinks), found out by trying."""
    source, target = folder / ".reflink-source", folder / ".reflink-target"
    try:
        source.write_bytes(b"x" * 8192)
        command = ["cp", "--reflink=always", str(source), str(target)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
    finally:
        for path in (source, target):
            path.unlink(missing_ok=True)
