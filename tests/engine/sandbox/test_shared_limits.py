"""Limits on all commands together: the largest running one is ended, once, and the others continue."""

from engine.sandbox.shared_limits import SharedLimit, SharedLimits


class Command:
    """Reports its use and remembers why it was ended."""

    def __init__(self, shared: SharedLimit) -> None:
        self.shared = shared
        self.ended: list[str] = []

    def takes(self, size: int) -> None:
        self.shared.note(self, size, self.ended.append)


def test_beyond_the_limit_the_largest_command_is_ended_with_the_cause() -> None:
    shared = SharedLimit("memory", 100)
    small, large, late = (Command(shared) for _ in range(3))
    small.takes(30)
    large.takes(70)
    assert not large.ended
    late.takes(1)
    assert (small.ended, large.ended, late.ended) == ([], ["swarm memory"], [])
    late.takes(40)
    assert (small.ended, large.ended, late.ended) == ([], ["swarm memory"], []), "what was ended counts no more"


def test_ended_commands_free_their_share() -> None:
    shared = SharedLimit("memory", 100)
    first, second = Command(shared), Command(shared)
    first.takes(90)
    shared.forget(first)
    second.takes(90)
    assert not second.ended


def test_usage_without_a_running_command_counts_but_is_not_ended() -> None:
    shared = SharedLimit("disk", 100)
    idle, running = Command(shared), Command(shared)
    shared.hold(idle, 90)
    running.takes(20)
    assert (idle.ended, running.ended) == ([], ["swarm disk"])


def test_reached_limits_are_reported_once() -> None:
    shared_limits = SharedLimits(memory=1, processes=1, disk=1)
    for killed in ("", "memory", "swarm memory", "swarm disk", "swarm memory"):
        shared_limits.ended(killed)
    assert shared_limits.met() == ("memory", "disk")
    assert shared_limits.met() == ()
