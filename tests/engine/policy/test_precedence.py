"""The queue of claims on paths: who waits for whom, for how long, and that no two wait for each other."""

from hypothesis import given
from hypothesis import strategies as st

from engine.domain.types import Agent, AgentId, AgentPath, Claim, ModelName, Role, TaskId
from engine.policy import precedence
from engine.state.snapshot import Snapshot

MINUTE = 60_000_000


def claim(name: str, *paths: str, since: int = 0, until: int = 10 * MINUTE) -> Claim:
    return Claim(TaskId(name), AgentId(name), paths, since, until)


def snapshot(*claims: Claim, paused: str = "") -> Snapshot:
    agents = {
        each.agent: Agent(
            each.agent,
            AgentPath(f"root/{each.agent}"),
            None,
            Role.WORKER,
            ModelName("scripted:model"),
            "",
            paused=each.agent == paused,
        )
        for each in claims
    }
    return Snapshot(claims={each.task: each for each in claims}, agents=agents)


def ahead(state: Snapshot, task: str, *paths: str, now: int = MINUTE) -> dict[str, str]:
    return {path: str(agent) for path, agent in precedence.ahead(state, TaskId(task), paths, now).items()}


def test_a_landing_waits_only_on_the_paths_in_conflict() -> None:
    state = snapshot(claim("one", "a"))
    assert ahead(state, "new", "a", "b") == {"a": "root/one"}
    assert ahead(state, "new", "b") == {}


def test_who_came_first_does_not_wait_for_later_ones_even_on_a_second_path() -> None:
    state = snapshot(claim("one", "a"), claim("two", "b"))
    assert ahead(state, "one", "a", "b") == {}
    assert ahead(state, "two", "a", "b") == {"a": "root/one"}


def test_a_landing_waits_behind_those_that_wait_already() -> None:
    state = snapshot(claim("one", "a"), claim("two", "a", until=0))
    assert ahead(state, "new", "a") == {"a": "root/two"}
    assert state.waiting_landings == {"two"}


def test_precedence_ends_with_its_time() -> None:
    state = snapshot(claim("one", "a", since=MINUTE, until=2 * MINUTE))
    assert ahead(state, "new", "a", now=2 * MINUTE - 1)
    assert not ahead(state, "new", "a", now=2 * MINUTE)
    assert precedence.over(state, 2 * MINUTE) == [state.claims[TaskId("one")]]
    assert precedence.next_end(state, MINUTE) == 2 * MINUTE
    assert precedence.next_end(state, 2 * MINUTE) is None


def test_a_clock_that_is_set_back_ends_precedence() -> None:
    assert not ahead(snapshot(claim("one", "a", since=MINUTE, until=2 * MINUTE)), "new", "a", now=0)


def test_nobody_waits_for_a_paused_agent() -> None:
    state = snapshot(claim("one", "a"), paused="one")
    assert ahead(state, "new", "a") == {}


PATHS = st.sets(st.sampled_from("abcd"), min_size=1)


@given(st.lists(PATHS, min_size=1, max_size=6), st.lists(PATHS, min_size=6, max_size=6))
def test_no_two_tasks_wait_for_each_other_whatever_they_claim_and_change(
    claimed: list[set[str]], changed: list[set[str]]
) -> None:
    names = [str(number) for number in range(len(claimed))]
    state = snapshot(*(claim(name, *sorted(paths)) for name, paths in zip(names, claimed, strict=True)))
    for name, paths, change in zip(names, claimed, changed, strict=False):
        assert all(f"root/{name}" > agent for agent in ahead(state, name, *(paths | change)).values())
    assert not ahead(state, names[0], *"abcd")
