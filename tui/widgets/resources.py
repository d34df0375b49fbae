"""The resources pane: what the swarm uses of the machine and of the models, as meters and sparklines."""

from collections.abc import Callable

from tui.bridge import Sample, Snapshot, TaskState
from tui.figures import count, meter, percent, size, sparkline
from tui.text import EMPTY, Line, Span
from tui.widgets.prose import Prose

_GIB = 1 << 30


def _level(share: float) -> str:
    return "failed" if share >= 0.9 else "paused" if share >= 0.7 else "done"


def _row(label: str, bar: str, bar_style: str, value: str, note: str = "") -> Line:
    return (Span(f" {label:<10}", "dim"), Span(bar, bar_style), Span(f" {value:<10}", "text"), Span(f" {note}", "dim"))


class Resources(Prose):
    """Meters for shares, sparklines for rates; what binds right now is said in words."""

    EMPTY_TEXT = "No measurements yet: the first comes within seconds."

    def update(self) -> None:
        """Take over the snapshot in view."""
        run = self.view.run
        if run is not None:
            self.set(lambda cells: self._tell(run, cells), key="resources")

    def _tell(self, run: Snapshot, cells: int) -> list[Line]:
        bar = max(6, min(40, cells - 11 - 11 - 17))
        working = self.view.census.working
        limit = run.workers_limit or 1
        note = f"limit {run.workers_limit}"
        if run.workers_limit_by and run.workers_limit_by != "settings":
            note += f" by {run.workers_limit_by}"
        queued = run.task_counts[TaskState.QUEUED]
        lines = [_row("agents", meter(working / limit, bar), "thinking", f"{working} working", note)]
        lines.append(_row("queue", self._landings(run, bar), "done", f"{queued} queued", "landed a minute"))
        if run.workers_limit_reason:
            lines.append((Span(f" ! {run.workers_limit_reason}", "paused"),))
        if not run.samples:
            return [*lines, EMPTY, (Span(f"  {self.EMPTY_TEXT}", "dim"),)]
        newest = run.samples[-1][1]
        total = newest.memory + newest.memory_free
        used = newest.memory / total if total else 0.0
        lines += [
            _row("memory", meter(used, bar), _level(used), size(newest.memory), f"{size(newest.memory_free)} free"),
            self._line(run, "cpu", bar, lambda s: s.cpu, 100.0, f"{newest.cpu:.0f}%", _pressure(newest.cpu_pressure)),
            self._line(
                run,
                "disk",
                bar,
                lambda s: s.disk_read + s.disk_write,
                0.0,
                f"{size(newest.disk_read + newest.disk_write)}/s",
                f"{size(newest.disk_free)} free" + (" !" if newest.disk_free < 2 * _GIB else ""),
            ),
            self._line(
                run,
                "builds",
                bar,
                lambda s: s.contention,
                100.0,
                f"{newest.contention:.0f}% wait",
                f"{newest.building} run · {newest.gate_waiting} queue",
            ),
            self._line(
                run,
                "models",
                bar,
                lambda s: float(s.model_calls),
                0.0,
                f"{newest.model_calls} calls",
                f"{newest.rate_limited_s:.0f} s limited" if newest.rate_limited_s else "",
            ),
            self._line(run, "processes", bar, lambda s: float(s.processes), 0.0, count(newest.processes), ""),
        ]
        if (usage := run.usage).input:
            cached = usage.cached / usage.input
            lines.append(
                _row("cache", meter(cached, bar), "acting", percent(cached), f"of {count(usage.input)} tokens in")
            )
        return lines

    def _line(
        self, run: Snapshot, label: str, bar: int, of: Callable[[Sample], float], top: float, value: str, note: str
    ) -> Line:
        values = [of(sample) for _, sample in list(run.samples)[-bar:]]
        return _row(label, sparkline(values, bar, top or max(values, default=1.0)), "focus", value, note)

    def _landings(self, run: Snapshot, bar: int) -> str:
        """Landed tasks in each of the last minutes."""
        now = self.host.now()
        minutes = [0.0] * bar
        for at in run.landed_times:
            if 0 <= (back := (now - at) // 60_000_000) < bar:
                minutes[bar - 1 - back] += 1
        return sparkline(minutes, bar, max(minutes))


def _pressure(share: float) -> str:
    return f"pressure {share:.0f}%"
