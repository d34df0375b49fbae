"""What the swarm and its agents use of the machine, and what the governor allows."""

from msgspec import Struct
from msgspec.structs import astuple

from engine.domain.types import Micros


class Sample(Struct, frozen=True):
    """Resource use at one moment. Sizes in bytes, rates in bytes a second, pressure and shares in percent.

    Memory and disk rates are of the swarm (the program and all that agents run); `*_free` of the machine.
    `contention` is (time waiting at the gate + for locks) / (gate wait + run time) of build commands over the
    last minute, in percent.
    """

    memory: int = 0
    memory_free: int = 0
    disk_read: float = 0.0
    disk_write: float = 0.0
    disk_free: int = 0
    cpu: float = 0.0
    cpu_pressure: float = 0.0
    memory_pressure: float = 0.0
    io_pressure: float = 0.0
    processes: int = 0
    building: int = 0
    gate_waiting: int = 0
    contention: float = 0.0
    model_calls: int = 0
    rate_limited_s: float = 0.0


class LoadLimit(Struct, frozen=True):
    """What the governor lets the machine carry: attempts at once (0: nothing starts) and builds at once, and why.

    `workers` is None while only the settings and the person limit them.
    """

    workers: int | None
    builds: int
    reason: str
    at: Micros = 0


class AgentUse(Struct, frozen=True):
    """What an agent's commands use. Bytes, and bytes a second; `cpu` in percent of one core.

    `gate_s`, `lock_s` and `build_s`: seconds that its builds waited at the gate, waited for file locks, and ran, over
    the last minute.
    """

    memory: int = 0
    cpu: float = 0.0
    disk_read: float = 0.0
    disk_write: float = 0.0
    processes: int = 0
    gate_s: float = 0.0
    lock_s: float = 0.0
    build_s: float = 0.0

    def __add__(self, other: "AgentUse") -> "AgentUse":
        return AgentUse(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    @property
    def contention(self) -> float:
        """Percent of the time of builds that was spent waiting; at most 100."""
        spent = self.gate_s + self.build_s
        return min(100.0, 100.0 * (self.gate_s + self.lock_s) / spent) if spent > 0 else 0.0
