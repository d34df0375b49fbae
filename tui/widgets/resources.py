"""The resources pane: what limits the swarm, its use of machine and models over time, and the top users."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import ClassVar, NamedTuple

from textual.binding import BindingType

from tui.bridge import Micros, Sample, Snapshot, TaskState
from tui.format.chart import TimedSamples, TimeRange, per_minute, resample
from tui.format.limits import active_limits, busy_workers
from tui.format.numbers import axis_top, bars, count, meter, percent, short_size
from tui.format.text import EMPTY, Line, Span, fit, one_line, wrap
from tui.format.top_users import Rank, top_user_lines
from tui.input.handlers import handles
from tui.input.keys_in_force import DEFAULT
from tui.widgets.text_view import TextView

_TIME_RANGES = list(TimeRange)
_RANKS = list(Rank)
_SECOND: Micros = 1_000_000
REFRESH: Micros = 30 * _SECOND
"""Time between two requests for samples that are older than the snapshot has."""
POINTS = 600
"""Samples per request."""
_LABEL, _SCALE, _VALUE, _NOTE = 13, 8, 8, 16
_USERS = 5


class Meter(NamedTuple):
    """One chart: its values, the value of a full bar and its label, the current value, and a note."""

    label: str
    values: list[float]
    top: float
    scale: str
    value: str
    note: str = ""
    style: str = "focus"


class Resources(TextView):
    """The limits in words, then charts, then a table of agents."""

    SCOPES: ClassVar[tuple[str, ...]] = ("resources", "list")
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("resources")]
    EMPTY_TEXT = "No samples yet. The first one comes within seconds."

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.time_range = TimeRange.TEN_MINUTES
        self.rank = Rank.TOKENS
        self._built: tuple[object, ...] = ()
        self._older: TimedSamples = ()
        self._requested_at: Micros = 0

    def update(self) -> None:
        """Show the snapshot in view, at most once a second."""
        run = self.view.run
        if run is None:
            return
        now = self.host.now()
        built = (
            self.time_range,
            self.rank,
            now // _SECOND,
            run.state,
            len(run.samples),
            len(self._older),
        )
        if built != self._built:
            self._built = built
            self._request_older(run, now)
            self.set(lambda cells: self._lines_of(run, now, cells), key="resources")

    # --- samples older than the snapshot has ------------------------------------------------------------------

    def _request_older(self, run: Snapshot, now: Micros) -> None:
        full = len(run.samples) == run.samples.maxlen
        if self.time_range is TimeRange.ALL and full and now - self._requested_at > REFRESH:
            self._requested_at = now
            self.host.when_done(self.host.session.samples(POINTS), self._set_older)

    def _set_older(self, answer: "Future[list[tuple[Micros, Sample]]]") -> None:
        # Without an answer the charts begin with the snapshot's oldest sample.
        if not answer.cancelled() and answer.exception() is None:
            self._older = answer.result()

    def _samples(self, run: Snapshot) -> TimedSamples:
        recent = list(run.samples)
        if self.time_range is not TimeRange.ALL or not recent:
            return recent
        return [*(sample for sample in self._older if sample[0] < recent[0][0]), *recent]

    # --- painting ---------------------------------------------------------------------------------------------

    def _lines_of(self, run: Snapshot, now: Micros, cells: int) -> list[Line]:
        now = min(now, run.at) if run.ended else now
        bar = max(6, min(120, cells - _LABEL - _SCALE - _VALUE - _NOTE))
        duration = self.time_range.duration(now - run.created_at)
        limits = self._limits(run, cells)
        meters = [*self._meters(run, now, duration, bar)]
        users = self._users(run, cells)
        # Charts grow with the pane.
        rows = max(1, min(4, (self.rows - len(limits) - len(users) - 3) // max(1, len(meters))))
        lines = [self._axis(bar, cells)]
        for one in meters:
            lines += _drawn(one, bar, rows)
        if not run.samples:
            lines += [EMPTY, (Span(f"  {self.EMPTY_TEXT}", "dim"),)]
        return [*limits, *lines, *users]

    def _axis(self, bar: int, cells: int) -> Line:
        start = f"-{self.time_range}" if self.time_range is not TimeRange.ALL else "start"
        line = f"{start} {'·' * max(0, bar - len(start) - 5)} now" if bar >= 12 else start
        return (Span(" " * _LABEL + fit(line, bar) + fit(" scale", _SCALE) + "now", "dim italic"),)

    def _limits(self, run: Snapshot, cells: int) -> list[Line]:
        lines: list[Line] = []
        for limit in active_limits(run, self.view.counts):
            mark = Span(" ! ", "failed bold" if limit.blocking else "paused bold")
            name = Span(fit(limit.name, 12), "failed" if limit.blocking else "paused")
            lines += wrap(one_line(limit.text), cells, "text", first=(mark, name), indent=" " * 15)
        return lines or [(Span(" ✓ ", "done"), Span("no limit slows the swarm down", "dim"))]

    def _meters(self, run: Snapshot, now: Micros, duration: Micros, bar: int) -> Iterator[Meter]:
        busy, limit = busy_workers(run), run.workers_limit
        landed = per_minute(run.landed_times, now, duration, bar)
        queued = run.task_counts[TaskState.QUEUED]
        most = axis_top(max(landed, default=0.0))
        yield Meter("landed", landed, most, f"{most:g}/m", f"{landed[-1]:.0f}/min", f"{queued} queued", "done")
        if not run.samples:
            return
        samples, newest = self._samples(run), run.samples[-1][1]
        total = newest.memory + newest.memory_free

        def values(of: Callable[[Sample], float]) -> list[float]:
            return resample(samples, of, now, duration, bar)

        yield Meter(
            "memory",
            values(lambda s: float(s.memory)),
            total,
            short_size(total),
            short_size(newest.memory),
            f"{short_size(newest.memory_free)} free",
        )
        yield Meter(
            "CPU",
            values(lambda s: s.cpu),
            100,
            "100%",
            f"{newest.cpu:.0f}%",
            f"{busy} of {limit} workers",
        )
        yield Meter(
            "CPU wait",
            values(lambda s: s.cpu_pressure),
            100,
            "100%",
            f"{newest.cpu_pressure:.0f}%",
            f"RAM {newest.memory_pressure:.0f}%, I/O {newest.io_pressure:.0f}%",
            _pressure_style(newest.cpu_pressure),
        )
        disk = values(lambda s: s.disk_read + s.disk_write)
        unit = 1024.0 ** max(0, min(4, (int(max(_known(disk))).bit_length() - 1) // 10))
        most = axis_top(max(_known(disk)) / unit) * unit
        moved = newest.disk_read + newest.disk_write
        yield Meter(
            "disk I/O",
            disk,
            most,
            f"{short_size(most)}/s",
            f"{short_size(moved)}/s",
            f"{short_size(newest.disk_free)} free",
        )
        yield Meter(
            "builds",
            values(lambda s: s.contention),
            100,
            "100%",
            f"{newest.contention:.0f}%",
            f"{newest.building} run, {newest.gate_waiting} wait",
            _pressure_style(newest.contention),
        )
        calls = values(lambda s: float(s.model_calls))
        most = axis_top(max(_known(calls)))
        limited = newest.rate_limited_s - next((s.rate_limited_s for at, s in samples if at >= now - duration), 0.0)
        yield Meter("model calls", calls, most, f"{most:g}", f"{newest.model_calls}", f"rate limited {limited:.0f} s")
        processes = values(lambda s: float(s.processes))
        most = axis_top(max(_known(processes)))
        yield Meter("processes", processes, most, count(most), count(newest.processes))

    def _users(self, run: Snapshot, cells: int) -> list[Line]:
        """The share of input tokens from the cache, and the top users."""
        lines: list[Line] = []
        if (usage := run.usage).input:
            cached = usage.cached / usage.input
            bar = meter(cached, 12)
            lines.append(
                (
                    Span(fit(" cache hits", _LABEL), "dim"),
                    Span(bar, "acting"),
                    Span(f" {percent(cached)}", "text"),
                    Span(f" of {count(usage.input)} input tokens", "dim"),
                )
            )
        return lines + top_user_lines(run, self.rank, _USERS, cells)

    # --- actions ----------------------------------------------------------------------------------------------

    @handles("resources.stretch")
    def next_time_range(self) -> None:
        """Show the next time range."""
        self.time_range = _TIME_RANGES[(_TIME_RANGES.index(self.time_range) + 1) % len(_TIME_RANGES)]
        self.update()

    @handles("resources.rank")
    def next_ranking(self) -> None:
        """Rank agents by the next column."""
        self.rank = _RANKS[(_RANKS.index(self.rank) + 1) % len(_RANKS)]
        self.update()


def _drawn(one: Meter, bar: int, rows: int) -> list[Line]:
    """The chart's rows: label, scale, value and note beside the first one, 0 beside the last."""
    drawn = bars(one.values, rows, one.top)
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
    """The values without gaps; a zero if there are none."""
    return [value for value in values if value == value] or [0.0]


def _pressure_style(pressure: float) -> str:
    return "failed" if pressure >= 90 else "paused" if pressure >= 60 else "focus"
