"""Finds the event that a person names: by number, time, span since the start, percentage or agent."""

import re
from contextlib import suppress
from datetime import datetime

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.types import ROOT, AgentPath, Micros
from engine.domain.units import duration_s
from engine.journal.queries import JournalReader

_SECOND = 1_000_000
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_HINT = "write an event number, 14:05:30, 2026-11-25T14:05, 1h30m (since the start), +5m, 50%, end, or an agent's path"


async def seq_of(reader: JournalReader, text: str, here: int = 0) -> int:
    """The sequence number of the last event at or before the moment that `text` names. Times are local.

    `+5m` and `-30s` count from event `here`, whose day a time of day refers to. Raises SwarmError (usage).
    """
    text = text.strip()
    last = await reader.last_seq()
    if not last:
        raise SwarmError(ErrorKind.USAGE, "the run has no events yet", "try again once the run has started")
    if text in ("", "end"):
        return last
    if text == "start":
        return 1
    if number := re.fullmatch(r"#?(\d{1,18})", text):
        if not 1 <= int(number[1]) <= last:
            raise SwarmError(ErrorKind.USAGE, f"there is no event {number[1]}", f"event numbers go from 1 to {last}")
        return int(number[1])
    if share := re.fullmatch(r"(\d{1,3}(?:\.\d+)?)%", text):
        return max(1, min(last, round(last * float(share[1]) / 100)))
    if text == ROOT or text.startswith(f"{ROOT}/"):
        began = await reader.spawned(AgentPath(text))
        if began is None:
            raise SwarmError(ErrorKind.USAGE, f"there is no agent {text}", "write its full path, such as root/w-3")
        return began
    start, now = await reader.time_of(1), await reader.time_of(here or 1)
    at = _moment(text, start, now)
    if at is None:
        raise SwarmError(ErrorKind.USAGE, f"invalid moment '{text[:40]}'", _HINT)
    if at < start and text[0] not in "+-":
        raise SwarmError(
            ErrorKind.USAGE, f"the run began after {text}", f"its first event was at {_local(start):%Y-%m-%dT%H:%M:%S}"
        )
    return max(1, await reader.seq_at(at))


def _moment(text: str, start: Micros, now: Micros) -> Micros | None:
    """A time as microseconds; None if the text is not a time."""
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        if hours > 23 or minutes > 59 or seconds > 59:
            return None
        at = _micros(_local(now).replace(hour=hours, minute=minutes, second=seconds))
        return at if at >= start else at + 86_400 * _SECOND
    with suppress(ValueError, OverflowError):
        return _micros(datetime.fromisoformat(text))
    sign, span = (text[0], text[1:]) if text[0] in "+-" else ("", text)
    try:
        micros = int(duration_s(span) * _SECOND)
    except SwarmError:
        return None
    return {"+": now + micros, "-": now - micros}.get(sign, start + micros)


def _micros(when: datetime) -> Micros:
    """The end of the named second, so that its events are included. A time without a time zone is local."""
    return int(when.replace(microsecond=0).timestamp()) * _SECOND + _SECOND - 1


def _local(at: Micros) -> datetime:
    """The local time, without a time zone, as people write it."""
    return datetime.fromtimestamp(at // _SECOND)
