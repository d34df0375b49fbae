"""`swarm-tui doctor`: checks this machine, the settings and a repository, with a hint for each problem."""

import asyncio
import os
import shutil
import sys
import sysconfig
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tui.bridge import (
    PROVIDERS,
    ModelName,
    ProviderSettings,
    Role,
    SandboxReport,
    Settings,
    SwarmError,
    choose_models,
    cpu_load,
    has_key,
    inspect_repo,
    key_variable,
    path_text,
    probe,
    require_git,
    route,
    suggest_check,
)
from tui.commands.model_probe import probe_model
from tui.commands.options import settings_of, state_dir
from tui.commands.prepare import existing, top_of
from tui.format.numbers import counted
from tui.format.text import one_line

DISK_FLOOR = 5 * 2**30
"""Bytes of free disk below which doctor warns: enough for a few hundred workspaces, a journal and a build."""
BUSY = 50.0
"""Percent of the last 10 s in which something waited for a CPU; from here on doctor warns."""
FIX_SETTING = "correct it in the file or variable that the warning names"
OLDEST_PYTHON = (3, 11)
COMMITTED = "the swarm starts from committed files: commit, stash or switch branches first"
NO_CHECK = "not configured, so green stays empty"


class Finding(NamedTuple):
    """One line, with `details` below it. `level` is ok, warn or fail; warn and fail always have a `hint`."""

    level: str
    what: str
    found: str
    hint: str = ""
    details: tuple[str, ...] = ()


def doctor(arguments: Namespace) -> int:
    """Prints the findings; returns 2 if a swarm cannot run here at all, else 0."""
    findings: list[Finding] = []
    for finding in _findings(arguments):
        findings.append(finding)
        sys.stdout.write(f"{finding.level:<5} {finding.what}: {one_line(finding.found)}\n")
        sys.stdout.writelines(f"      - {one_line(detail)}\n" for detail in finding.details)
        if finding.hint:
            sys.stdout.write(f"      hint: {one_line(finding.hint)}\n")
        sys.stdout.flush()
    return 2 if any(finding.level == "fail" for finding in findings) else 0


def _findings(arguments: Namespace) -> Iterator[Finding]:
    yield _python()
    yield asyncio.run(_git())
    settings = Settings()
    try:
        loaded = settings_of(arguments, top_of(Path(arguments.repo)))
        settings = loaded.settings
        read = ", ".join(path_text(file) for file in loaded.files) or "no files, defaults only"
        yield Finding("ok", "settings", read)
        yield from (Finding("warn", "settings", warning, FIX_SETTING) for warning in loaded.warnings)
    except SwarmError as error:
        yield Finding("fail", "settings", error.message, error.hint)
    yield from asyncio.run(_repo(Path(arguments.repo), settings))
    root = state_dir(arguments)
    yield _state_folder(root)
    yield _disk(root)
    yield _cpu()
    yield from asyncio.run(_sandbox(settings, root))
    yield from _providers(settings)
    yield from _models(settings, probing=arguments.probe)
    yield from _terminal()


def _python() -> Finding:
    version = sys.version.split()[0]
    if sys.version_info < OLDEST_PYTHON:
        return Finding("fail", "python", version, "install Python 3.11 or newer")
    return Finding("ok", "python", f"{version} ({sysconfig.get_platform()})")


async def _git() -> Finding:
    try:
        version = await require_git()
    except SwarmError as error:
        return Finding("fail", "git", error.message, error.hint)
    return Finding("ok", "git", ".".join(map(str, version)))


async def _repo(path: Path, settings: Settings) -> list[Finding]:
    try:
        source = await inspect_repo(path, settings.repo.branch)
        suggested = await suggest_check(source)
    except SwarmError as error:
        return [Finding("warn", "repo", error.message, error.hint)]
    branch = f"branch {source.branch}" if source.branch else "detached HEAD"
    found = [Finding("ok", "repo", f"{path_text(source.root)}, {branch}")]
    if source.object_format != "sha1":
        what = f"object ids are {source.object_format}; agents' workspaces need SHA-1"
        found = [Finding("fail", "repo", what, "convert it to SHA-1: git fast-export --all | git fast-import")]
    found.extend(Finding("warn", "repo", warning, COMMITTED) for warning in source.warnings)
    if settings.repo.check:
        found.append(Finding("ok", "check", settings.repo.check))
    elif suggested:
        hint = f'for this project, try check = "{suggested}" in section [repo] of swarm.toml'
        found.append(Finding("warn", "check", NO_CHECK, hint))
    else:
        found.append(Finding("warn", "check", NO_CHECK, "set one in section [repo] of swarm.toml, or with --check"))
    return found


def _state_folder(root: Path) -> Finding:
    """Tries to write where runs would be kept, in the nearest folder above that exists; leaves nothing behind."""
    there = existing(root)
    try:
        with tempfile.TemporaryFile(dir=there) as probe_file:
            probe_file.write(b"x")
    except OSError as error:
        hint = "choose another folder with --state-dir or SWARM_STATE_DIR"
        return Finding("fail", "state folder", f"cannot write to {path_text(root)}: {error.strerror}", hint)
    return Finding("ok", "state folder", path_text(root))


def _disk(root: Path) -> Finding:
    free = shutil.disk_usage(existing(root)).free
    found = f"{free / 2**30:.1f} GiB free in the state folder"
    if free < DISK_FLOOR:
        return Finding("warn", "disk", found, "free some space, or use another disk with --state-dir")
    return Finding("ok", "disk", found)


def _cpu() -> Finding:
    """Whether other programs leave CPU to a swarm."""
    cores, load, waited = cpu_load()
    found = f"{counted(cores, 'core')}, load {load:.1f}, contended {waited:.0f}% of the time"
    if load > cores and waited >= BUSY:
        hint = "agents' commands yield to your programs, so a run is slow until those end"
        return Finding("warn", "CPU", f"busy with other programs: {found}", hint)
    return Finding("ok", "CPU", found)


async def _sandbox(settings: Settings, root: Path) -> list[Finding]:
    try:
        report: SandboxReport = await probe(settings.sandbox, existing(root))
    except SwarmError as error:
        return [Finding("fail", "sandbox", error.message, error.hint)]
    bwrap = f", bubblewrap {report.version} ({report.bwrap})" if report.bwrap else ""
    found = f"level {report.level}{bwrap}"
    poor = report.level.value in ("restricted", "off")
    details = tuple(f"{better} is not available: {reason}" for better, reason in report.reasons.items())
    hint = "make a better level available; --sandbox strict refuses to run at this one" if poor else ""
    findings = [Finding("warn" if poor else "ok", "sandbox", found, hint, details)]
    if report.method.value == "checkout":
        hint = "overlays, or a state folder on btrfs or XFS, make workspaces quick to create and small"
        findings.append(Finding("warn", "workspaces", "by checkout, each a full copy of the repository", hint))
    else:
        findings.append(Finding("ok", "workspaces", f"by {report.method}"))
    findings.append(_builds(settings, report.method.value == "overlay"))
    if report.granted:
        hint = "unset sandbox.network and sandbox.read_only unless agents need them"
        findings.append(Finding("warn", "commands may also reach", ", ".join(report.granted), hint))
    if report.tools:
        findings.append(Finding("ok", "tools", f"readable because on PATH: {', '.join(report.tools)}"))
    if report.not_guaranteed:
        limits = report.not_guaranteed
        found = f"{counted(len(limits), 'guarantee does', 'guarantees do')} not hold at this level"
        hint = "run untrusted repositories on a machine that holds nothing of yours"
        findings.append(Finding("warn", "sandbox limits", found, hint, limits))
    return findings


def _builds(settings: Settings, shared: bool) -> Finding:
    """Whether the first build in a workspace starts from what the check has built."""
    names = ", ".join((*settings.build.warm, *settings.build.caches))
    if not names:
        return Finding("ok", "builds", "each workspace builds from scratch: build.warm and build.caches are empty")
    if not shared:
        what = "each workspace builds from scratch: only workspaces by overlay start from what the check has built"
        hint = "overlays need sandbox level namespaced or full, and a bubblewrap that can mount them"
        return Finding("warn", "builds", what, hint)
    if not settings.repo.check:
        what = "each workspace builds from scratch: there is no check whose build it could start from"
        return Finding("warn", "builds", what, "configure a check that builds the project")
    what = f"each workspace starts from what the check has left in {names}, up to {settings.build.warm_size} in total"
    return Finding("ok", "builds", what)


def _providers(settings: Settings) -> Iterator[Finding]:
    """Whether API keys are set, never the keys themselves, and how servers are reached."""
    for name, listing in PROVIDERS.items():
        configured = settings.providers.get(name, ProviderSettings())
        variable = key_variable(name, configured)
        if not variable:
            yield Finding("ok", f"provider {name}", "needs no API key")
            continue
        try:
            reached = f", {route(name, configured, os.environ)}"
        except SwarmError as error:
            yield Finding("warn", f"provider {name}", f"cannot be reached: {error.message}", error.hint)
            continue
        address = configured.base_url or os.environ.get(listing.base_url_env, "")
        at = f" at {address}" if address else ""
        if os.environ.get(variable):
            yield Finding("ok", f"provider {name}", f"{variable} is set{at}{reached}")
        elif has_key(name, configured, os.environ):
            yield Finding("ok", f"provider {name}", f"{variable} is not set; the server{at} may not need it{reached}")
        else:
            hint = f"export {variable} to use it"
            yield Finding("warn", f"provider {name}", f"{variable} is not set{at}{reached}", hint)


def _models(settings: Settings, *, probing: bool) -> Iterator[Finding]:
    try:
        models = choose_models(settings, os.environ).models
    except SwarmError as error:
        yield Finding("warn", "models", error.message, error.hint)
        return
    yield Finding("ok", "models", f"planner {ModelName(models.planner)}, worker {ModelName(models.worker)}")
    chosen = (getattr(models, role.value) for role in Role) if probing else ()
    for model in dict.fromkeys(chosen):
        if model.startswith("rehearsal:"):
            continue
        try:
            found, hint = probe_model(model, settings)
        except SwarmError as error:
            found, hint = f"no answer: {error.message}", error.hint
        yield Finding("warn" if hint else "ok", f"speed of {model}", found, hint)


def _terminal() -> Iterator[Finding]:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield Finding("warn", "terminal", "none", "the app needs one; `swarm-tui run` and `demo --headless` do not")
        return
    term, size = os.environ.get("TERM", ""), shutil.get_terminal_size()
    full = os.environ.get("COLORTERM", "") in ("truecolor", "24bit")
    colours = "16 million colours" if full else "256 colours" if "256" in term else "few colours"
    where = ", in tmux" if os.environ.get("TMUX") else ", in screen" if term.startswith("screen") else ""
    found = f"{term or 'unknown'}, {colours}, {size.columns}x{size.lines}{where}"
    if term in ("", "dumb"):
        yield Finding("warn", "terminal", found, "set TERM to the terminal's type, such as xterm-256color")
    elif size.columns < 80 or size.lines < 24:
        yield Finding("warn", "terminal", found, "enlarge it: the app needs at least 80x24")
    else:
        yield Finding("ok", "terminal", found)
