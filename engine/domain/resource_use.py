"""What the swarm and its agents use of the machine, and how much the governor allows."""

from msgspec import Struct

from engine.domain.types import Micros


class Sample(Struct, frozen=True):
    """Resource use at one time. Sizes are in bytes, rates in bytes per second, CPU and pressure in percent.

    Memory and disk rates are those of the swarm (this program and all commands of agents), `*_free` those of the
    machine. `contention` is, for build commands in the last minute, (time waiting at the gate + time waiting for locks)
    / (time waiting at the gate + run time), in percent. `starved` is the share of their recent run time in which
    agents' commands had no CPU, `runnable` how many of them could run at a time, and `cpu_others` how much CPU other
    programs use, including neighbours of a virtual machine.
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
    starved: float = 0.0
    cpu_others: float = 0.0
    runnable: float = 0.0


class LoadLimit(Struct, frozen=True):
    """How many workers and builds the governor allows at a time, and why. With 0 workers nothing starts.

    `workers` is None while the governor sets no limit, only the settings and the person.
    """

    workers: int | None
    builds: int
    reason: str
    at: Micros = 0


class AgentUse(Struct, frozen=True):
    """What an agent's commands use: bytes, bytes per second, and `cpu` in percent of one core.

    `gate_s`, `lock_s` and `build_s` are seconds in the last minute that its builds waited at the build gate, waited for
    file locks, and ran.
    """

    memory: int = 0
    cpu: float = 0.0
    disk_read: float = 0.0
    disk_write: float = 0.0
    processes: int = 0
    gate_s: float = 0.0
    lock_s: float = 0.0
    build_s: float = 0.0
