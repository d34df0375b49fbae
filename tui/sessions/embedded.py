"""A session that owns its run: the engine runs in this process, in a thread with an event loop of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

from tui import bridge
from tui.bridge import ROOT, AgentId, Command, Event, ExitStatus, Pause, RunState, Snapshot, Stop, SwarmError
from tui.sessions.live_agent import LiveAgentTracker
from tui.sessions.session import CloseMode
from tui.sessions.threaded import ThreadedSession, engine_missing

HANDED_OVER = "detached: continues without the screen"

HandOver = Callable[["bridge.RunFolder"], Awaitable[int]]
"""Starts another process that owns the run after this one has released it; returns its pid."""


class EmbeddedSession(ThreadedSession):
    """Runs what `begin` opens. Without `hand_over`, a person cannot detach from the run."""

    def __init__(self, begin: Callable[[], Awaitable["bridge.LiveRun"]], hand_over: HandOver | None = None) -> None:
        super().__init__()
        self.no_detach = "" if hand_over is not None else "this run cannot move to another process"
        self._begin = begin
        self._hand_over = hand_over
        self._handing_over = False
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
        live = await self._begin()
        self._run = live
        live.swarm.attended = True
        self.trunk_git = live.folder.trunk
        self._reader = live.reader
        await self._read_earlier(live.reader, live.snapshot.seq)
        live.swarm.on_change(self._happened)
        self._publish_snapshot()
        summary = await live.run()
        self._status = summary.exit_status
        if live.snapshot.state is RunState.STOPPED:
            self.exit_note = f"stopped; to continue: swarm-tui resume {live.folder.run}"
        if self._handing_over:
            await self._detach()

    async def _detach(self) -> None:
        """Hand the run, which has stopped at its safe points, to another process."""
        assert self._run is not None
        assert self._hand_over is not None
        if self._run.snapshot.state is not RunState.STOPPED:
            return  # it finished in the meantime
        folder = self._run.folder
        pid = await self._hand_over(folder)
        self._status = int(ExitStatus.DONE)
        self.exit_note = f"the run continues in process {pid}; to watch it: swarm-tui attach {folder.run}"

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
            return await self._run.swarm.diff(agent)

        return self._in_thread(diff)

    def _begin_tracking(self, tracker: LiveAgentTracker) -> None:
        super()._begin_tracking(tracker)
        if self._run is not None:
            self._run.swarm.watch(tracker.agent, tracker.add_text)

    async def _leave(self, mode: CloseMode) -> None:
        self._closing.set()
        if mode is CloseMode.WAIT or self._ended.is_set():
            return
        if self._run is None or mode is CloseMode.NOW:
            self._cancel()
            return
        try:
            if mode is CloseMode.DETACH:
                self._handing_over = self._hand_over is not None
                if self._run.snapshot.root and self._run.snapshot.state in (RunState.PAUSING, RunState.PAUSED):
                    await self._run.swarm.submit(Pause(ROOT))
                await self._run.swarm.submit(Stop(HANDED_OVER))
                return
            if mode is CloseMode.PAUSE and self._run.snapshot.root:
                # A pause of the root's subtree lasts when the run is resumed; a pause of the run does not.
                await self._run.swarm.submit(Pause(ROOT))
            await self._run.swarm.submit(Stop())
        except SwarmError:
            self._cancel()  # it has ended, or takes no commands any more

    def _cancel(self) -> None:
        if self._beginning is not None:
            self._beginning.cancel()
