"""What a person asked of a session's thread is done, whatever the garbage collector does meanwhile."""

import asyncio
import gc
import weakref

from engine.state.snapshot import Snapshot
from tui.sessions.session import CloseMode
from tui.sessions.threaded import ThreadedSession

DEADLINE_S = 20


class Leaving(ThreadedSession):
    """Leaves once something has answered to which only the waiting coroutine refers, as with a connection's reader."""

    async def _main(self) -> None:
        await self._closing.wait()

    def _snapshot(self) -> Snapshot | None:
        return None

    async def _leave(self, mode: CloseMode) -> None:
        answer = self._loop.create_future()
        self._loop.call_soon(self._answer, weakref.ref(answer))
        await answer
        self._closing.set()

    def _answer(self, waiting: "weakref.ref[asyncio.Future[None]]") -> None:
        gc.collect()
        if (answer := waiting()) is not None:
            answer.set_result(None)


def test_a_session_is_closed_although_nobody_keeps_what_it_waits_for() -> None:
    session = Leaving()
    session.start()
    closed = session.close(CloseMode.STOP)
    try:
        closed.result(timeout=DEADLINE_S)
    finally:
        session._loop.call_soon_threadsafe(session._closing.set) if not closed.done() else None
