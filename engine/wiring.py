"""Starts and resumes runs: puts the swarm together with the real world, and closes all of it when the run ends."""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import msgspec

import prompts as prompt_files
from engine.control.protocol import Status
from engine.control.server import ControlServer
from engine.domain import events as e
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.events import Draft
from engine.domain.masking import Mask, secrets_of
from engine.domain.os_text import path_str, path_text
from engine.domain.settings import Settings
from engine.domain.types import AgentState, Intent, ModelName, RunState, TaskState
from engine.domain.units import duration_s
from engine.intent.file_watcher import IntentFileWatcher
from engine.journal.opening import Opening
from engine.journal.queries import JournalReader
from engine.journal.writer import SqliteJournal
from engine.models.client import ModelClient
from engine.models.registry import key_variables
from engine.models.selection import choose_models
from engine.orchestrator.swarm import Swarm
from engine.policy.scheduling import resting
from engine.ports.world import World
from engine.repo.base_surveys import BaseSurveys
from engine.repo.check import ContainedChecker
from engine.repo.environment_probe import SandboxEnvironmentProbe
from engine.repo.landing.housekeeping import Housekeeper
from engine.repo.landing.trunk import GitTrunk
from engine.repo.landing.union_merge import UnionPaths
from engine.repo.source import SourceRepo
from engine.repo.workspaces.pool import open_workspaces
from engine.reports.result import result_of
from engine.reports.summary import Summary, summarise
from engine.resources.build_gate import BuildGate
from engine.resources.governor import LoadGovernor
from engine.resources.meters import SystemMeters
from engine.runs.create import new_run
from engine.runs.folder import RunFolder
from engine.runs.lock import RunLock
from engine.runs.log import RunLog
from engine.runs.resumed_settings import changed_settings, resumed_settings
from engine.runtime.host import Host
from engine.runtime.prompts import Prompts
from engine.sandbox.guarantees import Level
from engine.sandbox.removal import delete_tree
from engine.state.snapshot import Snapshot
from engine.system import SortableIds, SystemClock, SystemRandomness
from engine.tools.toolbox import Toolbox


@dataclass(frozen=True)
class LiveRun:
    """A run that this process owns: its swarm, its folder, read-only queries, and what to close at its end."""

    swarm: Swarm
    folder: RunFolder
    reader: JournalReader
    _resources: AsyncExitStack

    @property
    def snapshot(self) -> Snapshot:
        return self.swarm.snapshot

    async def run(self) -> Summary:
        """Work until the run is finished, stopped or failed, then close everything.

        Raises SwarmError when the program, the disk or the provider cannot continue.
        """
        watching = asyncio.create_task(self._watch_intent())
        with _loss_named(self.folder, begun=True):
            try:
                await self.swarm.run()
            finally:
                watching.cancel()
                await self._resources.aclose()
        if self.snapshot.state is RunState.FINISHED:  # a finished run is never resumed: its workspaces are of no use
            await asyncio.to_thread(delete_tree, self.folder.workspaces)
        return self.summary()

    async def _watch_intent(self) -> None:
        """Submit each new version of the file that the settings name, if they name one."""
        swarm = self.swarm
        if name := swarm.settings.swarm.watch_intent:
            file = Path(path_str(self.snapshot.repo), path_str(name))

            def warn(text: str) -> None:
                swarm.record(Draft(e.Warned(text)))

            await IntentFileWatcher(file, swarm.clock, lambda: swarm.snapshot.intent, swarm.submit, warn).run()

    def summary(self) -> Summary:
        journal = path_text(self.folder.journal.absolute())
        return summarise(self.snapshot, self.swarm.clock.now(), journal, result_of(self.snapshot, self.folder.trunk))


@contextmanager
def _loss_named(folder: RunFolder, *, begun: bool) -> Iterator[None]:
    """Raises, in place of what followed from it, the error for a part of the run's folder that is missing.

    Until the run has begun, only a missing file or journal follows from that.
    """
    try:
        yield
    except Exception as error:
        journal = isinstance(error, SwarmError) and error.kind is ErrorKind.JOURNAL
        if (begun or journal or isinstance(error, FileNotFoundError)) and (loss := folder.loss(begun)) is not None:
            raise loss from error
        raise


async def start_run(
    source: SourceRepo, settings: Settings, *, intent: str, state_root: Path, environ: Mapping[str, str]
) -> LiveRun:
    """Start a new run on a repo. If it raises SwarmError, nothing of the run is left behind."""
    settings = choose_models(settings, environ)
    clock, randomness = SystemClock(), SystemRandomness(settings.swarm.seed)
    folder, lock = await asyncio.to_thread(new_run, state_root, source.common_dir, clock, randomness)
    async with AsyncExitStack() as undo:
        undo.callback(folder.discard)
        async with AsyncExitStack() as resources:
            undo.enter_context(_loss_named(folder, begun=False))
            resources.callback(lock.release)
            trunk = await GitTrunk.create(folder.path, source, folder.run, union=UnionPaths(settings.landing.union))
            journal = await SqliteJournal.open(folder.journal)
            resources.push_async_callback(journal.close)
            swarm = await _assemble(folder, source.root, trunk, settings, Snapshot(), environ, journal, resources)
            created = e.RunCreated(
                run=folder.run,
                repo=path_text(source.root),
                branch=source.branch,
                base=source.base,
                check=settings.repo.check,
                models={role: ModelName(model) for role, model in msgspec.structs.asdict(settings.models).items()},
                settings=msgspec.json.encode(settings).decode(),
                version=version("swarm-tui"),
            )
            swarm.record(
                Draft(created),
                _epoch(swarm),
                Draft(e.WorkersLimited(settings.swarm.workers, "settings")),
                *(Draft(e.Warned(warning)) for warning in source.warnings),
            )
            first = Intent(1, swarm.clock.now(), "person", intent)
            await swarm.durable(swarm.record(Draft(e.IntentVersioned(first))))
            reader = await _reader(folder, resources)
            await swarm.publisher.publish()
            undo.pop_all()
            return LiveRun(swarm, folder, reader, resources.pop_all())


async def resume_run(
    folder: RunFolder,
    environ: Mapping[str, str],
    change: Callable[[Settings], Settings] = lambda settings: settings,
    opening: Opening | None = None,
) -> LiveRun:
    """Continue a run. `change` may alter the settings that it was started with. `opening` is told how far a slow
    opening has come. Cancelling this stops the opening, and the next call continues it.

    Raises SwarmError: busy if a process owns the run, journal if its journal is damaged, state if it is finished.
    """
    lock = await asyncio.to_thread(RunLock.acquire, folder)
    async with AsyncExitStack() as resources:
        resources.callback(lock.release)
        reader = await _reader(folder, resources)
        if await reader.run_state() == RunState.FINISHED:
            hint = "start a new one: swarm-tui run REPO --intent FILE"
            raise SwarmError(ErrorKind.STATE, f"run {folder.run} is finished", hint)
        opening = opening or Opening()
        journal = await SqliteJournal.open(folder.journal, opening)
        resources.push_async_callback(journal.close)
        snapshot = await journal.state(reader, opening)
        stored = msgspec.json.decode(snapshot.settings, type=Settings)
        wanted, given = resumed_settings(stored, snapshot, change)
        settings = choose_models(wanted, environ)
        trunk = await GitTrunk.open(folder.path, union=UnionPaths(settings.landing.union))
        repo = Path(path_str(snapshot.repo))
        swarm = await _assemble(folder, repo, trunk, settings, snapshot, environ, journal, resources)
        swarm.record(_epoch(swarm), *_changes(snapshot), *changed_settings(snapshot, settings, given))
        await swarm.durable(snapshot.seq)
        return LiveRun(swarm, folder, reader, resources.pop_all())


async def _assemble(
    folder: RunFolder,
    repo: Path,
    trunk: GitTrunk,
    settings: Settings,
    snapshot: Snapshot,
    environ: Mapping[str, str],
    journal: SqliteJournal,
    resources: AsyncExitStack,
) -> Swarm:
    """A swarm of real parts. `resources` closes them, in reverse order."""
    mask = Mask(secrets_of(environ, key_variables(settings.providers)))
    resources.callback(RunLog(folder.log, mask).close)
    clock, randomness = SystemClock(), SystemRandomness(settings.swarm.seed)
    models = ModelClient(settings.providers, environ, clock, randomness)
    resources.push_async_callback(models.close)
    names = [ModelName(model) for model in msgspec.structs.astuple(settings.models)]
    preparing = asyncio.create_task(models.prepare(names))  # loading a provider takes about as long as the self-test
    try:
        workspaces = await open_workspaces(
            folder.workspaces, folder.trunk, settings.sandbox, trunk.base, trunk.pending, settings.build
        )
        resources.push_async_callback(workspaces.close)
        await preparing
    finally:
        preparing.cancel()
        await asyncio.gather(preparing, return_exceptions=True)
    await workspaces.sweep([agent.id for agent in snapshot.agents.values() if not agent.ended])
    workspaces.prepare(await trunk.tip())
    gate = BuildGate(settings.build.gate, settings.build.slots, clock)
    check = settings.repo.check
    world = World(
        clock=clock,
        ids=SortableIds(),
        journal=journal,
        trunk=trunk,
        workspaces=workspaces,
        models=models,
        meters=SystemMeters(folder.path, clock, gate, models, workspaces.sandboxes, workspaces.cpu),
        gate=gate,
        governor=LoadGovernor(settings, lambda: _at_work(snapshot), gate, workspaces.limits_met),
        checker=ContainedChecker(workspaces, clock, check, duration_s(settings.repo.check_timeout)) if check else None,
        surveys=BaseSurveys(folder.base_surveys, repo, folder.trunk, trunk.base, settings, workspaces.report),
        environment=SandboxEnvironmentProbe(
            workspaces, settings, network=settings.sandbox.network or workspaces.report.level is Level.OFF
        ),
        mask=mask,
    )
    swarm = Swarm(Host(world, settings, Prompts(files(prompt_files)), Toolbox(settings), snapshot, snapshot.epoch + 1))
    journal.on_failure = swarm.fail
    control = ControlServer(folder.socket, swarm.submit, lambda: _status(swarm), swarm.diff, swarm.durable)
    await control.start()
    resources.push_async_callback(control.close)
    swarm.on_change(control.publish)
    housekeeper = Housekeeper(folder.trunk)
    resources.push_async_callback(housekeeper.close)
    swarm.on_change(housekeeper.on_event)
    return swarm


async def _reader(folder: RunFolder, resources: AsyncExitStack) -> JournalReader:
    reader = await JournalReader.open(folder.journal)
    resources.push_async_callback(reader.close)
    return reader


def _epoch(swarm: Swarm) -> Draft:
    workspaces = swarm.host.workspaces
    settings = msgspec.json.encode(swarm.settings).decode()
    lacks, granted, tools = workspaces.not_guaranteed, workspaces.granted, workspaces.tools
    return Draft(e.EpochStarted(os.getpid(), workspaces.level, workspaces.method, settings, lacks, granted, tools))


def _changes(snapshot: Snapshot) -> list[Draft]:
    """What resuming changes: the run is not paused, and a failed root planner starts again."""
    drafts = []
    if snapshot.state in (RunState.PAUSING, RunState.PAUSED):
        drafts.append(Draft(e.RunStateChanged(RunState.RUNNING, "resumed")))
    if snapshot.root is not None and snapshot.agents[snapshot.root].state is AgentState.FAILED:
        drafts.append(Draft(e.AgentStateChanged(AgentState.STARTING, reason="resumed"), snapshot.root))
    return drafts


def _at_work(snapshot: Snapshot) -> int:
    return snapshot.task_counts[TaskState.WORKING] + snapshot.task_counts[TaskState.LANDING] - resting(snapshot)


def _status(swarm: Swarm) -> Status:
    snapshot = swarm.snapshot
    return Status(snapshot.run, snapshot.pid, snapshot.epoch, snapshot.seq, snapshot.state)
