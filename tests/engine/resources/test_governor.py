"""The governor limits workers under load, releases the limit when it is calm, and does not flap."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.domain.resource_use import Sample
from engine.domain.settings import Settings, SwarmSettings
from engine.resources.build_gate import BuildGate
from engine.resources.governor import GIB, MIB, Bounds, Builds, Load, LoadGovernor, decide, decide_builds
from engine.system import SystemClock

BOUNDS = Bounds(ceiling=100)
CALM = Sample(memory=2 * GIB, memory_free=16 * GIB, disk_free=50 * GIB)
SHORT = Sample(memory=8 * GIB, memory_free=GIB // 2, disk_free=50 * GIB)
BETWEEN = Sample(memory=8 * GIB, memory_free=GIB + GIB // 4, disk_free=50 * GIB)
FULL = Sample(memory_free=16 * GIB, disk_free=GIB // 2)
PRESSED = Sample(memory_free=16 * GIB, disk_free=50 * GIB, memory_pressure=40)

samples = st.builds(
    Sample,
    memory=st.integers(0, 64 * GIB),
    memory_free=st.integers(0, 8 * GIB),
    disk_free=st.integers(0, 8 * GIB),
    memory_pressure=st.floats(0, 100),
    io_pressure=st.floats(0, 100),
)


def limits(seen: list[Sample], load: Load | None = None, at_work: int = 100) -> list[int]:
    """The limit after each sample, with workers that always fill it and end at once when it is lowered."""
    load = load or Load(BOUNDS.ceiling)
    out = []
    for sample in seen:
        load = decide(sample, load, min(at_work, load.limit), BOUNDS)
        out.append(load.limit)
    return out


def changes(course: list[int]) -> int:
    return sum(old != new for old, new in pairwise(course))


def test_a_calm_machine_has_no_limit() -> None:
    assert set(limits([CALM] * 50)) == {100}


def test_low_memory_lowers_the_limit_in_steps_down_to_one() -> None:
    course = limits([SHORT] * 100)
    assert course[0] == 75
    assert course[-1] == 1
    assert course == sorted(course, reverse=True)


def test_a_reached_limit_of_all_commands_counts_as_load_and_is_named() -> None:
    met = [("processes", "disk")]
    gate = BuildGate((), "4", SystemClock())
    governor = LoadGovernor(Settings(), lambda: 40, gate, lambda: met.pop() if met else ())
    change = governor.consider(CALM)
    assert change is not None
    assert (change.workers, change.builds) == (30, 3)
    assert change.reason == "all commands together reached their limit of processes and disk"
    assert governor.consider(CALM) is None


STARVED = Sample(memory_free=16 * GIB, disk_free=50 * GIB, starved=95, cpu_others=80, runnable=100)
FED = Sample(memory_free=16 * GIB, disk_free=50 * GIB, starved=60, cpu_others=80, runnable=100)


def test_commands_that_get_no_cpu_lower_the_limit_faster_the_less_they_get() -> None:
    assert limits([STARVED])[-1] == 50
    assert limits([replace(STARVED, starved=80)])[-1] == 75
    assert limits([FED] * 50) == [100] * 50
    assert limits([STARVED] * 100)[-1] == 1
    assert limits([STARVED] * 100 + [FED] * 100)[-1] == 1
    assert limits([STARVED] * 100 + [CALM] * 300)[-1] == 100


def test_workers_that_are_not_more_than_the_cpus_are_not_limited_when_commands_get_no_cpu() -> None:
    at_work = 0
    gate = BuildGate((), "4", SystemClock())
    governor = LoadGovernor(Settings(swarm=SwarmSettings(workers=16, max_agents=16)), lambda: at_work, gate)
    for at_work in (0, 1, 4):  # noqa: B007
        governor.consider(STARVED)
        assert (governor.limit, gate.commands) == (16, None)
    for at_work in (16, 16, 16, 16, 8, 8, 8, 8, 4, 4, 4, 4):  # noqa: B007
        governor.consider(STARVED)
    assert governor.limit == 4
    for _ in range(20):
        governor.consider(replace(STARVED, memory_free=GIB // 2))
    assert governor.limit < 4, "memory may be too little for that, too"


def test_as_many_commands_as_cpus_never_limit_workers_even_if_others_take_all_of_it() -> None:
    few = replace(STARVED, runnable=BOUNDS.fewest)
    assert limits([few] * 100) == [100] * 100
    assert decide_builds(few, Builds(4), 4, BOUNDS).slots == 4
    assert set(limits([replace(few, runnable=0.9 * BOUNDS.fewest)] * 100, Load(10, "x"))) == {10}
    assert limits([STARVED] * 20 + [replace(few, runnable=0.4 * BOUNDS.fewest)] * 300)[-1] == 100


def test_the_reason_names_other_programs_where_they_use_the_cpu() -> None:
    reasons = [decide(sample, Load(100), 100, BOUNDS).reason for sample in (STARVED, replace(STARVED, cpu_others=5))]
    assert reasons == [
        "commands wait for a CPU 95% of the time; other programs use 80% of it",
        "commands wait for a CPU 95% of the time",
    ]


def test_commands_of_running_workers_are_limited_only_while_they_get_no_cpu() -> None:
    gate = BuildGate((), "2", SystemClock())
    governor = LoadGovernor(Settings(swarm=SwarmSettings(workers=16, max_agents=16)), lambda: 16, gate)
    assert gate.commands is None
    course = []
    for sample in [STARVED] * 40 + [FED] * 10 + [CALM] * 100:
        governor.consider(sample)
        course.append(gate.commands)
    assert course[0] == 8
    assert course[39] == course[49] == 2
    assert course[-1] is None
    governor.consider(SHORT)
    assert (governor.limit, gate.commands) == (12, None)


def test_the_limit_is_lowered_again_only_after_the_last_change_took_effect() -> None:
    load = Load(BOUNDS.ceiling)
    for _ in range(20):
        load = decide(SHORT, load, 40, BOUNDS)  # forty workers continue: none is killed
    assert load.limit == 30


def test_a_full_disk_stops_all_starts_until_there_is_enough_space() -> None:
    load = decide(FULL, Load(100), 10, BOUNDS)
    assert load.limit == 0
    assert "512 MiB free" in load.reason
    barely = Sample(memory_free=16 * GIB, disk_free=GIB + MIB)
    assert decide(barely, load, 0, BOUNDS).limit == 0
    assert decide(CALM, load, 0, BOUNDS).limit > 0


def test_between_the_thresholds_nothing_changes() -> None:
    assert set(limits([BETWEEN] * 50, Load(10, "x"))) == {10}
    assert set(limits([BETWEEN] * 50)) == {100}


def test_calm_raises_the_limit_step_by_step_and_then_removes_it() -> None:
    course = limits([SHORT] * 60 + [CALM] * 300)
    assert course[59] == 1
    assert course[-1] == 100
    assert limits([CALM] * 12, Load(10, "x"), at_work=3)[-1] == 100


def test_the_limit_grows_only_as_far_as_memory_allows() -> None:
    tight = Sample(memory=10 * GIB, memory_free=GIB + 600 * MIB, disk_free=50 * GIB)
    assert set(limits([tight] * 50, Load(10, "x"))) == {10}


def test_alternating_load_does_not_make_the_limit_flap() -> None:
    course = limits([PRESSED, CALM] * 200)
    assert course == sorted(course, reverse=True)


@given(st.lists(samples, max_size=200), st.integers(0, 200))
def test_the_limit_stays_within_its_bounds_and_changes_rarely(seen: list[Sample], at_work: int) -> None:
    course = limits(seen, at_work=at_work)
    assert all(0 <= limit <= BOUNDS.ceiling for limit in course)
    disk_crossings = sum(
        (old.disk_free < BOUNDS.disk_floor) != (new.disk_free < BOUNDS.disk_floor) for old, new in pairwise(seen)
    )
    assert changes(course) <= 2 * disk_crossings + len(seen) // BOUNDS.settle + 2


@given(samples, st.integers(0, 100), st.integers(0, 100))
def test_under_steady_load_the_limit_settles(sample: Sample, limit: int, at_work: int) -> None:
    course = limits([sample] * 400, Load(limit), at_work)
    assert changes(course[300:]) == 0


def test_a_full_disk_is_explained_with_the_free_space_from_which_agents_start_again() -> None:
    starved = decide(Sample(disk_free=199 * MIB), Load(8), 0, Bounds(ceiling=8, disk_floor=256 * MIB))
    assert starved.limit == 0
    assert starved.reason == ("199 MiB free on the state folder's disk, 384 MiB needed: free some space")
    assert decide(Sample(disk_free=383 * MIB), starved, 0, Bounds(ceiling=8, disk_floor=256 * MIB)).limit == 0
    assert decide(Sample(disk_free=384 * MIB), starved, 0, Bounds(ceiling=8, disk_floor=256 * MIB)).limit > 0


def test_every_change_is_reported_with_its_reason() -> None:
    gate = BuildGate(("make*",), "4", SystemClock())
    governor = LoadGovernor(Settings(swarm=SwarmSettings(workers=8, max_agents=50)), lambda: 8, gate)
    assert governor.limit == 50
    assert governor.consider(CALM) is None
    told = governor.consider(SHORT)
    assert told is not None
    assert (told.workers, told.builds) == (6, 3)
    assert told.reason.startswith("512 MiB of memory free")
    assert (governor.limit, gate.slots) == (6, 3)
    assert governor.consider(SHORT) is None
    freed = [governor.consider(CALM) for _ in range(3)]
    assert freed[0] is freed[1] is None


def test_build_slots_go_down_to_one_and_come_back_step_by_step() -> None:
    builds, course = Builds(4), []
    for sample in [SHORT] * 20 + [BETWEEN] * 20 + [CALM] * 40:
        builds = decide_builds(sample, builds, 4, BOUNDS)
        course.append(builds.slots)
    assert course[0] == 3
    assert course[19] == course[39] == 1, "what is neither hot nor calm changes nothing"
    assert course[-1] == 4
    assert changes(course) == 5
    assert builds.reason == "calm again"


def test_a_small_machine_does_not_start_out_limited() -> None:
    small = Sample(memory_free=700 * MIB, disk_free=900 * MIB)
    governor = LoadGovernor(Settings(), lambda: 16, BuildGate((), "2", SystemClock()))
    assert governor.consider(small) is None
    assert governor.limit == 500
