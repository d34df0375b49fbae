"""The resources pane: what the swarm uses of machine and models over time, who uses most, and which limit binds."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import ClassVar, NamedTuple

from textual.binding import BindingType

from tui.bridge import Micros, Sample, Snapshot, TaskState
from tui.format.chart import TimedSamples, TimeRange, per_minute, resample
from tui.format.limits import active_limits, busy_workers
from tui.format.numbers import ceiling, chart, count, meter, octets, percent
from tui.format.text import EMPTY, Line, Span, fit, one_line, wrap
from tui.format.top_users import Rank, top_user_lines
from tui.input.handlers import handles
from tui.input.keymap import DEFAULT
from tui.widgets.text_view import TextView

_STRETCHES = list(TimeRange)
_RANKS = list(Rank)
_SECOND: Micros = 1_000_000
AGAIN: Micros = 30 * _SECOND
"""Between two looks into the journal for what the snapshot no longer holds."""
POINTS = 600
_LABEL, _SCALE, _VALUE, _NOTE = 11, 8, 8, 16
_USERS = 5


class Meter(NamedTuple):
    """One measurement: its chart, the value of a full bar and how that is called, its present value, and more."""

    label: str
    values: list[float]
    top: float
    scale: str
    value: str
    note: str = ""
    style: str = "focus"


class Resources(TextView):
    """Meters for shares, charts for what changes; what binds right now is said in words."""

    SCOPES: ClassVar[tuple[str, ...]] = ("resources", "list")
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("resources")]
    EMPTY_TEXT = "No measurements yet: the first comes within seconds."

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.stretch = TimeRange.TEN_MINUTES
        self.rank = Rank.TOKENS
        self._told: tuple[object, ...] = ()
        self._older: TimedSamples = ()
        self._asked_at: Micros = 0

    def update(self) -> None:
        """Take over the snapshot in view, at most once a second."""
        run = self.view.run
        if run is None:
            return
        now = self.host.now()
        told = (
            self.stretch,
            self.rank,
            now // _SECOND,
            run.state,
            len(run.samples),
            len(self._older),
        )
        if told != self._told:
            self._told = told
            self._ask_for_older(run, now)
            self.set(lambda cells: self._tell(run, now, cells), key="resources")

    # --- what the snapshot no longer holds -------------------------------------------------------------------

    def _ask_for_older(self, run: Snapshot, now: Micros) -> None:
        if self.stretch is TimeRange.ALL and len(run.samples) == run.samples.maxlen and now - self._asked_at > AGAIN:
            self._asked_at = now
            self.host.when_done(self.host.session.samples(POINTS), self._take_older)

    def _take_older(self, answer: "Future[list[tuple[Micros, Sample]]]") -> None:
        # Without an answer the charts begin where the snapshot does.
        if not answer.cancelled() and answer.exception() is None:
            self._older = answer.result()

    def _moments(self, run: Snapshot) -> TimedSamples:
        held = list(run.samples)
        if self.stretch is not TimeRange.ALL or not held:
            return held
        return [*(moment for moment in self._older if moment[0] < held[0][0]), *held]

    # --- painting --------------------------------------------------------------------------------------------

    def _tell(self, run: Snapshot, now: Micros, cells: int) -> list[Line]:
        now = min(now, run.at) if run.ended else now
        bar = max(6, min(120, cells - _LABEL - _SCALE - _VALUE - _NOTE))
        span = self.stretch.span(now - run.created_at)
        limits = self._limits(run, cells)
        meters = [*self._meters(run, now, span, bar)]
        users = self._users(run, cells)
        # Charts grow into the room that is there.
        rows = max(1, min(4, (self.rows - len(limits) - len(users) - 3) // max(1, len(meters))))
        lines = [self._axis(bar, cells)]
        for one in meters:
            lines += _drawn(one, bar, rows)
        if not run.samples:
            lines += [EMPTY, (Span(f"  {self.EMPTY_TEXT}", "dim"),)]
        return [*limits, *lines, *users]

    def _axis(self, bar: int, cells: int) -> Line:
        start = f"-{self.stretch}" if self.stretch is not TimeRange.ALL else "start"
        line = f"{start} {'·' * max(0, bar - len(start) - 5)} now" if bar >= 12 else start
        return (Span(" " * _LABEL + fit(line, bar) + fit(" full", _SCALE) + "now", "dim italic"),)

    def _limits(self, run: Snapshot, cells: int) -> list[Line]:
        lines: list[Line] = []
        for limit in active_limits(run, self.view.counts):
            mark = Span(" ! ", "failed bold" if limit.bad else "paused bold")
            name = Span(fit(limit.name, 12), "failed" if limit.bad else "paused")
            lines += wrap(one_line(limit.text), cells, "text", first=(mark, name), indent=" " * 15)
        return lines or [(Span(" ✓ ", "done"), Span("no limit holds the swarm back", "dim"))]

    def _meters(self, run: Snapshot, now: Micros, span: Micros, bar: int) -> Iterator[Meter]:
        at_work, limit = busy_workers(run), run.workers_limit
        landed = per_minute(run.landed_times, now, span, bar)
        queued = run.task_counts[TaskState.QUEUED]
        most = ceiling(max(landed, default=0.0))
        yield Meter("landed", landed, most, f"{most:g}/m", f"{landed[-1]:.0f}/min", f"{queued} queued", "done")
        if not run.samples:
            return
        moments, newest = self._moments(run), run.samples[-1][1]
        total = newest.memory + newest.memory_free

        def values(of: Callable[[Sample], float]) -> list[float]:
            return resample(moments, of, now, span, bar)

        yield Meter(
            "memory",
            values(lambda s: float(s.memory)),
            total,
            octets(total),
            octets(newest.memory),
            f"{octets(newest.memory_free)} free",
        )
        yield Meter(
            "processor",
            values(lambda s: s.cpu),
            100,
            "100%",
            f"{newest.cpu:.0f}%",
            f"{at_work} of {limit} workers",
        )
        yield Meter(
            "pressure",
            values(lambda s: s.cpu_pressure),
            100,
            "100%",
            f"{newest.cpu_pressure:.0f}%",
            f"ram {newest.memory_pressure:.0f}% io {newest.io_pressure:.0f}%",
            _heat(newest.cpu_pressure),
        )
        disk = values(lambda s: s.disk_read + s.disk_write)
        unit = 1024.0 ** max(0, min(4, (int(max(_known(disk))).bit_length() - 1) // 10))
        most = ceiling(max(_known(disk)) / unit) * unit
        moved = newest.disk_read + newest.disk_write
        yield Meter(
            "disk I/O", disk, most, f"{octets(most)}/s", f"{octets(moved)}/s", f"{octets(newest.disk_free)} left"
        )
        yield Meter(
            "builds",
            values(lambda s: s.contention),
            100,
            "100%",
            f"{newest.contention:.0f}%",
            f"{newest.building} run {newest.gate_waiting} wait",
            _heat(newest.contention),
        )
        calls = values(lambda s: float(s.model_calls))
        most = ceiling(max(_known(calls)))
        limited = newest.rate_limited_s - next((s.rate_limited_s for at, s in moments if at >= now - span), 0.0)
        told = f"{newest.model_calls} call{'' if newest.model_calls == 1 else 's'}"
        yield Meter("models", calls, most, f"{most:g}", told, f"{limited:.0f} s limited")
        processes = values(lambda s: float(s.processes))
        most = ceiling(max(_known(processes)))
        yield Meter("processes", processes, most, count(most), count(newest.processes))

    def _users(self, run: Snapshot, cells: int) -> list[Line]:
        """Agents that used most, and how much of what models read was cached."""
        lines: list[Line] = []
        if (usage := run.usage).input:
            cached = usage.cached / usage.input
            bar = meter(cached, 12)
            lines.append(
                (
                    Span(fit(" cache", _LABEL), "dim"),
                    Span(bar, "acting"),
                    Span(f" {percent(cached)}", "text"),
                    Span(f" of {count(usage.input)} tokens read came from it", "dim"),
                )
            )
        return lines + top_user_lines(run, self.rank, _USERS, cells)

    # --- actions ---------------------------------------------------------------------------------------------

    @handles("resources.stretch")
    def next_time_range(self) -> None:
        """The next stretch of time."""
        self.stretch = _STRETCHES[(_STRETCHES.index(self.stretch) + 1) % len(_STRETCHES)]
        self.update()

    @handles("resources.rank")
    def next_ranking(self) -> None:
        """The next column to rank agents by."""
        self.rank = _RANKS[(_RANKS.index(self.rank) + 1) % len(_RANKS)]
        self.update()


def _drawn(one: Meter, bar: int, rows: int) -> list[Line]:
    """The chart with its axis: label and present value at the top, what a full bar means beside it, zero below."""
    drawn = chart(one.values, rows, one.top)
    first = (
        Span(fit(f" {one.label}", _LABEL), "dim"),
        Span(drawn[0], one.style),
        Span(fit(f" {one.scale}", _SCALE), "dim"),
        Span(fit(one.value, _VALUE), "text"),
        Span(one.note, "dim"),
    )
    rest = [
        (Span(" " * _LABEL), Span(bars, one.style), Span(" 0" if index == rows - 2 else "", "dim"))
        for index, bars in enumerate(drawn[1:])
    ]
    return [first, *rest]


def _known(values: list[float]) -> list[float]:
    """The values without gaps; zero when there is none."""
    return [value for value in values if value == value] or [0.0]


def _heat(percent_: float) -> str:
    return "failed" if percent_ >= 90 else "paused" if percent_ >= 60 else "focus"
