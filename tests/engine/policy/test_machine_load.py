"""A command's long time is put down to the machine only if something waited while it ran."""

from engine.domain.resource_use import Sample
from engine.domain.types import Micros
from engine.policy.machine_load import busy

SECOND = 1_000_000


def samples(*pressures: float) -> list[tuple[Micros, Sample]]:
    return [(Micros(5 * number * SECOND), Sample(io_pressure=each)) for number, each in enumerate(pressures)]


def test_a_slow_command_on_a_contended_machine_is_told_so() -> None:
    assert busy(samples(0, 90, 97, 98), Micros(5 * SECOND), 499.0, 16.2, 0.0) == (
        "waiting for the disk 95% of the time; times mean little"
    )


def test_only_the_time_of_the_command_counts_and_the_last_sample_if_there_is_none() -> None:
    assert busy(samples(99, 99, 3), Micros(9 * SECOND), 499.0, 16.2, 0.0) == ""
    assert busy(samples(0, 0, 60), Micros(11 * SECOND), 6.0, None, 0.0) == (
        "waiting for the disk 60% of the time; times mean little"
    )
    assert busy([], Micros(0), 499.0, 16.2, 0.0) == ""


def test_a_short_command_and_one_that_had_its_cpu_are_not_excused() -> None:
    assert busy(samples(99), Micros(0), 3.0, 0.1, 2.0) == ""
    assert busy(samples(99), Micros(0), 499.0, 480.0, 19.0) == ""


def test_waiting_for_memory_or_the_disk_counts_too() -> None:
    sample = Sample(memory_pressure=20, io_pressure=80)
    assert busy([(Micros(0), sample)], Micros(0), 9.0, 1.0, 0.0) == (
        "waiting for memory 20% of the time, waiting for the disk 80% of the time; times mean little"
    )


def test_a_command_without_a_cpu_for_most_of_its_time_was_held_up_whatever_the_machine_says() -> None:
    assert busy([], Micros(0), 360.0, 8.0, 316.8) == (
        "the command had a CPU for only 12% of that time; the rest does not count towards its time limit"
    )
