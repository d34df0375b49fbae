"""Commit messages whose trailers cannot be forged by a title or a body."""

import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.commit_message import commit_message, trailers_of
from tests.engine.repo.user_repo import ENV

hostile = st.lists(
    st.one_of(st.text(max_size=8), st.sampled_from(["\n", "\n\n", "\r", "Swarm-Task: t-9", "Signed-off-by: x", "---"])),
    max_size=8,
).map("".join)


def test_title_body_and_trailers_are_paragraphs() -> None:
    message = commit_message("Parse  lists\n", "Because.\n\nAnd so on.\n", {"Swarm-Task": "t-1", "Swarm-Intent": "2"})
    assert message == "Parse lists\n\nBecause.\n\nAnd so on.\n\nSwarm-Task: t-1\nSwarm-Intent: 2\n"
    assert trailers_of(message) == [("Swarm-Task", "t-1"), ("Swarm-Intent", "2")]


def test_a_message_without_trailers_has_none() -> None:
    assert trailers_of("Swarm-Task: t-1") == []
    assert trailers_of("title\n\nbody\nSwarm-Task: t-1") == []
    assert trailers_of("") == []


def test_a_message_with_an_empty_title_is_not_empty() -> None:
    assert commit_message(" \n", "", {"Swarm-Task": "t-1"}) == "(no title)\n\nSwarm-Task: t-1\n"


@given(hostile, hostile, hostile)
def test_no_title_or_body_forges_a_trailer(title: str, body: str, value: str) -> None:
    message = commit_message(title, body, {"Swarm-Task": "t-1", "Swarm-Title": value})
    assert [found for name, found in trailers_of(message) if name == "Swarm-Task"] == ["t-1"]
    lines = message.split("\n")
    assert [line for line in lines if line.startswith("Swarm-Task:")] == ["Swarm-Task: t-1"]
    assert "\n\n" not in message.split("\n\n")[0]


@settings(max_examples=25, deadline=None)
@given(hostile, hostile)
def test_git_reads_the_same_trailers(title: str, body: str) -> None:
    message = commit_message(title, body, {"Swarm-Task": "t-1", "Swarm-Agent": "a-1"})
    done = subprocess.run(
        ["git", "interpret-trailers", "--parse", "--no-divider"],
        input=message.encode(),
        env=ENV,
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().split("\n")[-3:] == ["Swarm-Task: t-1", "Swarm-Agent: a-1", ""]
    assert done.stdout.decode().count("Swarm-Task") == 1
