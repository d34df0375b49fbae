"""`swarm-tui [REPO]` and `attach RUN`: opens the app on a repository or a run.

Everything that would load the engine's heavy parts is reached through `bridge.` at the time of the call, so that
the first frame is painted before they are loaded.
"""

import asyncio
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec.structs import replace

from tui import bridge
from tui.bridge import (
    ErrorKind,
    LoadedSettings,
    ModelName,
    ProviderSettings,
    RunFolder,
    RunListing,
    Settings,
    SourceRepo,
    SwarmError,
    find_run,
    inspect_repo,
    newest_unfinished,
    path_text,
    repo_id,
)
from tui.commands.intent_file import stated
from tui.commands.options import options_of, settings_of, state_dir
from tui.commands.prepare import existing, require_terminal, resuming, starting, top_of
from tui.commands.recorded_run import require_readable
from tui.commands.show_app import show_app
from tui.format.text import one_line
from tui.sessions.attached import AttachedSession
from tui.sessions.embedded import Begin, EmbeddedSession
from tui.sessions.exit_message import exit_message
from tui.sessions.launch import Launch, NewRun, RunPlan
from tui.sessions.session import Session
from tui.terminal.foreground import Foreground

DRAFT = "draft.md"


def open_repo(arguments: Namespace) -> int:
    """Opens the repository's unfinished run, or else the start screen for a new one; returns the exit status."""
    path = Path(arguments.repo)
    if not path.exists() and (near := getattr(arguments, "near", "")):
        raise SwarmError(
            ErrorKind.USAGE,
            f"'{path_text(path)}' is neither a command nor a folder",
            f"did you mean: swarm-tui {near}?",
        )
    require_terminal("to run without the app: swarm-tui run REPO --intent FILE")
    loaded, foreground = settings_of(arguments, top_of(path)), Foreground()

    def prepare() -> Launch:
        source = asyncio.run(inspect_repo(path, loaded.settings.repo.branch))
        open_run = newest_unfinished(state_dir(arguments), source.common_dir)
        if open_run is not None:
            return _go_on(arguments, foreground, open_run, loaded.settings)
        return _new_run(arguments, foreground, source, loaded)

    return _show(loaded.settings, prepare, foreground, subject="a new run")


def _new_run(arguments: Namespace, foreground: Foreground, source: SourceRepo, loaded: LoadedSettings) -> Launch:
    chosen = [loaded.settings]

    def open_session(intent: str | None) -> Session:
        return _new_session(arguments, foreground, source, chosen[-1], intent or "")

    def use_check(check: str) -> None:
        settings = chosen[-1]
        chosen.append(replace(settings, repo=replace(settings.repo, check=check)))

    def probe_sandbox() -> str:
        report = asyncio.run(bridge.probe(loaded.settings.sandbox, existing(state_dir(arguments))))
        return f"{report.level}, workspaces by {report.method}"

    draft = state_dir(arguments) / repo_id(source.common_dir) / DRAFT
    plan = _plan(source, loaded.settings, loaded.warnings)
    return Launch(open_session, loaded.settings, NewRun(plan, probe_sandbox, use_check), draft)


def attach(arguments: Namespace) -> int:
    """Opens the app on a run, whether or not another process owns it; returns the exit status."""
    require_terminal("to list runs and their states: swarm-tui runs")
    run, settings = find_run(state_dir(arguments), arguments.run), settings_of(arguments, None).settings
    return _show(settings, lambda: _attach(run, settings))


def _attach(run: RunListing, settings: Settings) -> Launch:
    require_readable(run)

    def open_session(_: str | None) -> Session:
        return AttachedSession(run.folder)

    return Launch(open_session, settings, draft_file=_draft_of(run.folder))


def show_new(arguments: Namespace, source: SourceRepo, settings: Settings, intent: str) -> int:
    """Opens the app on a new run whose intent is given; returns the exit status."""
    draft = state_dir(arguments) / repo_id(source.common_dir) / DRAFT
    foreground = Foreground()

    def open_session(_: str | None) -> Session:
        return _new_session(arguments, foreground, source, settings, intent)

    return _show(settings, lambda: Launch(open_session, settings, draft_file=draft), foreground)


def _go_on(arguments: Namespace, foreground: Foreground, run: RunListing, settings: Settings) -> Launch:
    if run.live:
        for path, (option, _) in options_of(arguments).items():
            if path != ("theme",):
                raise SwarmError(
                    ErrorKind.BUSY,
                    f"{option} cannot change {run.run}: it is live",
                    f"open it without this option, or change it: swarm-tui send {run.run} …",
                )
        return _attach(run, settings)
    begin = resuming(arguments, run.folder)
    return Launch(lambda _: _session(arguments, foreground, begin), settings, draft_file=_draft_of(run.folder))


def _new_session(
    arguments: Namespace, foreground: Foreground, source: SourceRepo, settings: Settings, intent: str
) -> Session:
    async def begin(opening: "bridge.Opening") -> "bridge.LiveRun":
        return await starting(arguments, source, settings, stated(intent, "the intent"))(opening)

    return _session(arguments, foreground, begin)


def _draft_of(folder: RunFolder) -> Path:
    """The file that keeps the unsent intent of this repository, beside its runs."""
    return folder.path.parent / DRAFT


def _show(
    settings: Settings,
    prepare: Callable[[], Launch],
    foreground: Foreground | None = None,
    *,
    subject: str = "starting…",
) -> int:
    opened: list[Session] = []

    def prepared() -> Launch:
        launch = prepare()

        def open_session(intent: str | None) -> Session:
            opened.append(launch.open_session(intent))
            return opened[-1]

        return launch._replace(open_session=open_session)

    try:
        return show_app(settings.theme, prepared, foreground, subject=subject)
    finally:
        for session in opened[-1:]:
            _say(session)


def _say(session: Session) -> None:
    with suppress(OSError):  # the terminal may have closed
        result = bridge.result_of(session.latest()[1], session.trunk_git) if session.trunk_git else None
        sys.stderr.writelines(f"{one_line(line)}\n" for line in exit_message(session, result))
        sys.stderr.flush()


def _session(arguments: Namespace, foreground: Foreground, begin: Begin) -> Session:
    def release(session: Session) -> None:
        _say(session)
        foreground.release(getattr(arguments, "log", state_dir(arguments) / "errors.log"))

    return EmbeddedSession(begin, release)


def _plan(source: SourceRepo, settings: Settings, warnings: tuple[str, ...]) -> RunPlan:
    problem = hint = ""
    try:
        settings = bridge.choose_models(settings, os.environ)
    except SwarmError as error:
        problem, hint = error.message, error.hint
    return RunPlan(
        repo=path_text(source.root),
        branch=source.branch,
        check=settings.repo.check,
        suggested="" if settings.repo.check else asyncio.run(bridge.suggest_check(source)),
        models={role: model for role, model in msgspec.structs.asdict(settings.models).items() if model},
        sandbox_level=settings.sandbox.level,
        keys=_keys(settings),
        warnings=(*warnings, *source.warnings),
        draft=_draft(source.root / "INTENT.md"),
        problem=problem,
        hint=hint,
    )


def _keys(settings: Settings) -> dict[str, str]:
    """For each environment variable that the chosen models read a key from, whether it is set."""
    keys: dict[str, str] = {}
    for model in msgspec.structs.astuple(settings.models):
        try:
            provider, _ = bridge.split_model(ModelName(model))
        except SwarmError:
            continue  # no model, or an unknown one, which `problem` reports
        configured = settings.providers.get(provider, ProviderSettings())
        if variable := bridge.key_variable(provider, configured):
            there = "is set" if os.environ.get(variable) else "is not set"
            keys[variable] = there if bridge.has_key(provider, configured, os.environ) else "is missing"
    return keys


def _draft(file: Path) -> str:
    """The repository's own INTENT.md as a first draft; empty if there is none that can be read."""
    try:
        return file.read_text(encoding="utf-8") if file.is_file() and file.stat().st_size < 1 << 20 else ""
    except (OSError, UnicodeDecodeError):
        return ""
