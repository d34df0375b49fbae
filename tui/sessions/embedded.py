"""A session that owns its run: the engine runs in this process, in a thread with an event loop of its own."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import partial

from tui import bridge
from tui.bridge import ROOT, AgentId, Command, Event, ExitStatus, Pause, RunState, Snapshot, Stop, SwarmError
from tui.sessions.live_agent import LiveAgentTracker
from tui.sessions.session import CloseMode
from tui.sessions.threaded import ThreadedSession, engine_missing

Begin = Callable[["bridge.Opening"], Awaitable["bridge.LiveRun"]]
Release = Callable[["EmbeddedSession"], None]
"""Gives the terminal back to the shell; this process goes on without it."""


class EmbeddedSession(ThreadedSession):
    """Runs what `begin` opens. Without `release`, a person cannot detach from the run.

    A detached session stays: the engine does not notice. The terminal is released once the app has left it.
    """

    def __init__(self, begin: Begin, release: Release | None = None) -> None:
        super().__init__()
        self.no_detach = "" if release is not None else "this process has no terminal to leave"
        self._begin = begin
        self._release = release
        self._detached = False
        self._run: bridge.LiveRun | None = None
        self._beginning: asyncio.Task[None] | None = None

    # --- the engine's thread ----------------------------------------------------------------------------------

    async def _main(self) -> None:
        self._beginning = asyncio.create_task(self._run_to_end())
        try:
            await self._beginning
        except asyncio.CancelledError:
            self._status = int(ExitStatus.STOPPED)
        except BaseException as error:
            # The person must see what broke the engine; otherwise the error ends with this thread.
            self._failure = error
        if self._run is not None:
            self._publish_snapshot()
            if self._failure is None:
                # The run has closed its own reader, and the screen still reads messages.
                self._reader = await bridge.JournalReader.open(self._run.folder.journal)
        self._ended.set()
        if self._failure is None:
            await self._closing.wait()

    async def _run_to_end(self) -> None:
        live = await self._begin(bridge.Opening(self._show_opening))
        self._run = live
        live.swarm.attended = not self._detached
        self.trunk_git = live.folder.trunk
        self._reader = live.reader
        await self._read_earlier(live.reader, live.snapshot.seq)
        live.swarm.on_change(self._happened)
        self._publish_snapshot()
        summary = await live.run()
        self._status = summary.exit_status
        stopped = live.snapshot.state is RunState.STOPPED
        self.exit_note = f"stopped; to continue: swarm-tui resume {live.folder.run}" if stopped else ""

    def _happened(self, event: Event) -> None:
        self._add_event(event)
        self._changed.set()

    def _snapshot(self) -> Snapshot | None:
        return self._run.snapshot if self._run is not None else None

    # --- the UI thread ----------------------------------------------------------------------------------------

    def submit(self, command: Command) -> "Future[None]":
        async def submit() -> None:
            if self._run is None or self._ended.is_set():
                raise engine_missing()
            await self._run.swarm.submit(command)

        return self._in_thread(submit)

    def diff(self, agent: AgentId) -> "Future[str]":
        async def diff() -> str:
            if self._run is None:
                raise engine_missing()
            if agent not in self._published[1].agents:  # the run may have ended, and closed its own connections
                return await self._run.swarm.landed_diff(await self._landed_by(agent))
            return await self._run.swarm.diff(agent)

        return self._in_thread(diff)

    def _begin_tracking(self, tracker: LiveAgentTracker) -> None:
        super()._begin_tracking(tracker)
        if self._run is not None:
            self._run.swarm.watch(tracker.agent, tracker.add_text)

    def close(self, mode: CloseMode) -> "Future[None]":
        if mode is CloseMode.DETACH and self._release is not None and self._thread.is_alive() and not self.ended():
            self._detached = True
            if (run := self._run) is None:
                self.exit_note = f"the run starts in process {os.getpid()}; to list it: swarm-tui runs"
            else:
                self._in_thread(partial(_unattended, run))
                here = f"the run continues in process {os.getpid()}"
                self.exit_note = f"{here}; to watch it: swarm-tui attach {run.folder.run}"
            left: Future[None] = Future()
            left.set_result(None)
            return left
        if self._detached and self._release is not None:  # the app is gone: now the terminal, too
            release, self._release = self._release, None
            release(self)
            mode = CloseMode.WAIT
        return super().close(mode)

    async def _leave(self, mode: CloseMode) -> None:
        self._closing.set()
        if mode is CloseMode.WAIT or self._ended.is_set():
            return
        if self._run is None or mode is CloseMode.NOW:
            self._cancel()
            return
        try:
            if mode is CloseMode.PAUSE and self._run.snapshot.root:
                # A pause of the root's subtree lasts when the run is resumed; a pause of the run does not.
                await self._run.swarm.submit(Pause(ROOT))
            await self._run.swarm.submit(Stop())
        except SwarmError:
            self._cancel()  # it has ended, or takes no commands any more

    def _cancel(self) -> None:
        if self._beginning is not None:
            self._beginning.cancel()


async def _unattended(run: "bridge.LiveRun") -> None:
    """Nobody is there to decide and to answer any more."""
    run.swarm.attended = False
