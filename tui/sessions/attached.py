"""A session on a run that another process owns: reads the journal, then that process's events from its socket."""

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from contextlib import aclosing, suppress

from msgspec.structs import replace

from tui import bridge
from tui.bridge import (
    AgentId,
    Command,
    ControlClient,
    Event,
    ExitStatus,
    Micros,
    Pause,
    RunFolder,
    RunState,
    Snapshot,
    Stop,
    SwarmError,
    is_live,
)
from tui.sessions.session import CloseMode, LiveAgent
from tui.sessions.threaded import ThreadedSession

POLL_S = 1.0
"""Seconds between two attempts to find an owner while none answers."""
GONE_S = 5.0
"""Seconds until an owner that broke the connection must have ended."""
STOP_S = 60.0
"""Seconds to wait for the owner to stop the run."""
NO_STREAM = "Streamed text is visible only in the process that owns the run; complete messages show here."


class AttachedSession(ThreadedSession):
    """Folds the run's events as its owner records them. When the owner ends or dies, the last state stays in view;
    when a new owner appears, the session follows that one.
    """

    mark = "ATTACHED"

    def __init__(self, folder: RunFolder) -> None:
        super().__init__()
        self._folder = folder
        self.trunk_git = folder.trunk
        self._run: Snapshot | None = None
        self._log: bridge.JournalReader | None = None
        self._attached = False

    # --- the session's thread ---------------------------------------------------------------------------------

    async def _main(self) -> None:
        following = asyncio.create_task(self._follow())
        leaving = asyncio.create_task(self._closing.wait())
        await asyncio.wait((following, leaving), return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            self._failure = following.exception()
        for task in (following, leaving):
            task.cancel()
        await asyncio.gather(following, leaving, return_exceptions=True)
        self._ended.set()

    async def _follow(self) -> None:
        """Follow one owner after another. Raises SwarmError if the journal cannot be read."""
        self._log = self._reader = await bridge.JournalReader.open(self._folder.journal)
        while True:
            if not (is_live(self._folder) and await self._follow_owner(self._log)):
                await self._catch_up(self._log)
                self._without_owner()
                await asyncio.sleep(POLL_S)

    async def _follow_owner(self, log: "bridge.JournalReader") -> bool:
        """Follow an owner until it closes the connection. Returns False if it does not answer."""
        try:
            client = await ControlClient.connect(self._folder.socket)
        except SwarmError:
            return False
        try:
            seq, events = await client.subscribe()
        except SwarmError:
            return False
        finally:
            await client.close()
        async with aclosing(events):
            await self._begin_at(log, seq)
            self._with_owner()
            await self._apply_all(events)
        return True

    async def _begin_at(self, log: "bridge.JournalReader", seq: int) -> None:
        """Fold the journal's events up to `seq`; from the start if the known state is ahead of the journal."""
        if self._run is None or self._run.seq > seq:
            self._run = await log.snapshot(seq, bridge.Opening(self._show_opening))
            await self._read_earlier(log, seq)
        else:
            async for event in log.stream(self._run.seq, seq):
                self._apply(event)
        self._publish_snapshot()

    async def _apply_all(self, events: AsyncGenerator[Event, None]) -> None:
        assert self._run is not None
        async for event in events:
            if event.seq > self._run.seq + 1:
                return  # an event is missing: the journal has it
            if event.seq == self._run.seq + 1:
                self._apply(event)

    def _apply(self, event: Event) -> None:
        assert self._run is not None
        bridge.fold(self._run, event)
        self._add_event(event)
        self._changed.set()

    async def _catch_up(self, log: "bridge.JournalReader") -> None:
        """Go back to the journal's state: the owner may have sent events that it did not write before it died."""
        last = await log.last_seq()
        if self._run is None or self._run.seq != last:
            await self._begin_at(log, last)

    def _with_owner(self) -> None:
        self._attached = True
        self.mark, self.read_only, self.notice, self.exit_note = "ATTACHED", "", "", ""
        self._ended.clear()
        self._status = None

    def _without_owner(self) -> None:
        """Say that no process owns the run, and how to continue it."""
        run, name = self._run, self._folder.run
        assert run is not None
        self._status = run.exit_status if run.ended else None
        if is_live(self._folder):
            if run.ended:
                return  # it is about to release the run
            self.mark, self.read_only = "NOT RESPONDING", "the run's process is not responding"
            self.notice = "The run's process is not responding. Trying again."
            return
        went = "ended" if run.ended else "died"
        how = f"The run's process {went}." if self._attached else "No process owns this run."
        self.read_only = f"no process owns the run; to continue: swarm-tui resume {name}"
        if run.state is RunState.FINISHED:
            self.mark, self.read_only = "", "the run is finished"
            self.notice = f"The run is finished: {run.reason}"
            self.exit_note = ""
        else:
            self.mark = "" if run.ended else "CRASHED"
            self.notice = self.exit_note = f"{how} To continue: swarm-tui resume {name}"
        self._publish_snapshot()  # before `_ended` is set, so that who sees that also sees the last state
        self._ended.set()

    def _snapshot(self) -> Snapshot | None:
        return self._run

    async def _leave(self, mode: CloseMode) -> None:
        """Leave the run to its owner, unless the person asked to stop or pause it."""
        try:
            if not self._ended.is_set() and mode in (CloseMode.STOP, CloseMode.PAUSE):
                async with asyncio.timeout(STOP_S):
                    await self._ask_owner(mode)
            if mode in (CloseMode.DETACH, CloseMode.PAUSE) and not self._ended.is_set():
                self._status = int(ExitStatus.DONE)
                state = "is paused" if mode is CloseMode.PAUSE else "continues"
                self.exit_note = f"the run {state}; to watch it: swarm-tui attach {self._folder.run}"
        except SwarmError as error:
            self._failure = error
        except TimeoutError:
            self.exit_note = f"{self._folder.run} has not stopped yet; to see its state: swarm-tui runs"
        finally:
            self._closing.set()

    async def _ask_owner(self, mode: CloseMode) -> None:
        if mode is CloseMode.PAUSE:
            await self._command(Pause())  # the owner stays and keeps the run paused
            return
        try:
            await self._command(Stop())
        except SwarmError:
            with suppress(TimeoutError):  # it may have ended before it could answer
                await asyncio.wait_for(self._ended.wait(), GONE_S)
            if is_live(self._folder):
                raise
        await self._ended.wait()

    async def _command(self, command: Command) -> None:
        client = await ControlClient.connect(self._folder.socket)
        try:
            await client.send(command)
        finally:
            await client.close()

    async def _diff(self, agent: AgentId) -> str:
        if self._ended.is_set():
            return await self._landed(agent)
        client = await ControlClient.connect(self._folder.socket)
        try:
            return await client.diff(agent)
        finally:
            await client.close()

    async def _landed(self, agent: AgentId) -> str:
        """The patch that the agent landed. Without an owner, its workspace cannot be read."""
        commit = await self._landed_by(agent)
        return await bridge.landed_patch(self._folder.trunk, commit) if commit is not None else ""

    # --- the UI thread ----------------------------------------------------------------------------------------

    def now(self) -> Micros:
        """The current time; without an owner, the time of the last event."""
        run = self._published[1]
        return run.at if self._ended.is_set() and not run.ended else super().now()

    def submit(self, command: Command) -> "Future[None]":
        return self._in_thread(lambda: self._command(command))

    def diff(self, agent: AgentId) -> "Future[str]":
        return self._in_thread(lambda: self._diff(agent))

    def watch(self, agent: AgentId) -> LiveAgent:
        return replace(super().watch(agent), note="" if self._ended.is_set() else NO_STREAM)
