"""Playbooks: errors name the file and key; the rehearsal's reactions to messages."""

from pathlib import Path

import msgspec
import pytest

from engine.domain.conversation import Message, Request, Text, ToolAnswer, ToolCall, ToolSpec
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.types import CallId
from engine.models.rehearsal.playbook import Playbook, list_samples, load_playbook, sample_folder
from engine.models.rehearsal.provider import next_line, open_rehearsal
from engine.models.rehearsal.worker_script import Line, merge_lines

SMALL = """
test = "true"
[[planner]]
title = "root"
[[planner.move]]
spawn = ["a", "b"]
[[task]]
title = "a"
goal = "A"
step = [{ read = ["x"] }, { shell = "true" }]
[[task]]
title = "b"
goal = "B"
misbehave = "crash"
step = [{ read = ["x"] }, { shell = "true" }]
[[task]]
title = "late"
goal = "L"
step = [{ shell = "true" }]
[[on_intent]]
spawn = ["late"]
"""


def written(folder: Path, text: str) -> Path:
    (folder / "playbook.toml").write_text(text)
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Playbook:
    return load_playbook(written(tmp_path, SMALL))


class Talk:
    """One conversation, turn by turn."""

    def __init__(self, playbook: Playbook, first: str) -> None:
        self.playbook = playbook
        self.messages = [Message("user", (Text(first),))]
        self.number = 0

    def next(self) -> Line:
        request = Request("small", "", tuple(self.messages), (ToolSpec("shell", "", {}),))
        return next_line(self.playbook, request)

    def go(self, *answers: str, told: str = "", error: bool = False) -> Line:
        """Take the next turn, answer its calls, add a message; returns the turn after that."""
        line = self.next()
        ids = [CallId(f"{self.number}-{index}") for index, _ in enumerate(line.calls)]
        self.number += 1
        calls = [
            ToolCall(id, call.tool, call.raw or msgspec.json.encode(call.arguments).decode())
            for id, call in zip(ids, line.calls, strict=True)
        ]
        self.messages.append(Message("assistant", (Text(line.text or "."), *calls)))
        blocks = [ToolAnswer(id, text, error) for id, text in zip(ids, answers, strict=True)]
        self.messages.append(Message("user", (*blocks, *((Text(told),) if told else ()))))
        return self.next()


def tools(line: Line) -> list[str]:
    return [call.tool for call in line.calls]


def handoff(title: str, status: str = "done", more: str = "") -> str:
    return f"# Handoff: {title}\nfrom: task\nstatus: {status}\nlanding: merged\n\n## Summary\n\nx\n{more}"


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('title = "late"', 'title = "late"\ntitel = 1', "task[2]"),
        ('spawn = ["a", "b"]', 'spawn = ["a", "bb"]', "planner[0].move[0].spawn"),
        ('{ read = ["x"] }, { shell = "true" }', '{ read = ["x"], shell = "true" }', "task[0].step[0]"),
        ('misbehave = "crash"', 'misbehave = "crahs"', "task[1].misbehave"),
        ('title = "late"', 'title = "a"', "task[2].title"),
        ('[{ read = ["x"] }, { shell = "true" }]', '[{ write = "no/such" }]', "task[0].step[0].write"),
        ('title = "root"', 'title = "roo"', "planner"),
        ('title = "late"', 'title = "late"\nafter = ["bb"]', "task[2].after"),
        ('{ shell = "true" }', '{ call = { name = "status" } }', "task[0].step[1].call"),
        ('spawn = ["a", "b"]', "call = [{ tool = 1 }]", "planner[0].move[0].call[0]"),
        ("[[on_intent]]", "[[on_intent]]\ncall = [{}]", "on_intent[0].call[0]"),
    ],
)
def test_an_invalid_playbook_is_reported_with_its_file_and_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    folder = written(tmp_path, SMALL.replace(old, new, 1))
    with pytest.raises(SwarmError) as raised:
        load_playbook(folder)
    assert raised.value.kind is ErrorKind.SETTINGS
    assert f"{folder}/playbook.toml: {key}" in raised.value.message


def test_an_unknown_name_gets_the_nearest_as_a_hint() -> None:
    with pytest.raises(SwarmError) as raised:
        open_rehearsal("markdwn?speed=0")
    assert raised.value.kind is ErrorKind.PROVIDER
    assert "did you mean `markdown`" in raised.value.hint
    with pytest.raises(SwarmError):
        open_rehearsal("notes?sped=0")
    with pytest.raises(SwarmError):
        open_rehearsal("load?tasks=many")


def test_samples_are_listed_and_can_be_named_by_folder() -> None:
    assert [sample.name for sample in list_samples()] == ["load", "markdown", "notes"]
    assert open_rehearsal(f"{sample_folder('notes')}?speed=0").playbook == open_rehearsal("notes").playbook
    assert len(open_rehearsal("load?planners=4&tasks=40&conflicts=0.1&seed=1").playbook.task) == 40


def test_a_failed_task_is_noted_and_makes_the_handoff_partial(small: Playbook) -> None:
    talk = Talk(small, "# Intent (version 1)\n\nx")
    assert tools(talk.next()) == ["spawn_tasks"]
    assert tools(talk.go("queued: 1 a\nqueued: 2 b")) == ["wait"]
    assert tools(talk.go("woken", told=f"{handoff('a', 'failed')}\n\n{handoff('b')}")) == ["rewrite_scratchpad"]
    arguments = talk.go("saved").calls[0].arguments
    assert (arguments["status"], arguments["concerns"]) == ("partial", "failed: a")


def test_a_planner_waits_after_a_refused_handoff(small: Playbook) -> None:
    talk = Talk(small, "# Intent (version 1)\n\nx")
    talk.go("queued: 1 a\nqueued: 2 b")
    assert tools(talk.go("woken", told=f"{handoff('a')}\n\n{handoff('b')}")) == ["submit_handoff"]
    assert tools(talk.go("not yet: 1 task is outstanding", error=True)) == ["wait"]
    assert tools(talk.go("woken", told=handoff("make the check pass again"))) == ["submit_handoff"]


def test_a_finished_planner_reads_late_news_and_hands_off_again(small: Playbook) -> None:
    talk = Talk(small, "# Intent (version 1)\n\nx")
    talk.go("queued: 1 a\nqueued: 2 b")
    talk.go("woken", told=f"{handoff('a')}\n\n{handoff('b')}")
    assert tools(talk.go("handed off", told=handoff("make the check pass again"))) == ["shell"]
    assert tools(talk.go("exit 0 after 0.1 s\nabc One")) == ["rewrite_scratchpad"]
    assert tools(talk.go("saved")) == ["submit_handoff"]


def test_a_changed_intent_is_planned_and_noted(small: Playbook) -> None:
    talk = Talk(small, "# Intent (version 1)\n\nx")
    line = talk.go("queued: 1 a\nqueued: 2 b", told="# Intent (version 2)\n\ny")
    assert line.calls[0].arguments["tasks"] == [{"title": "late", "goal": "L"}]
    assert tools(talk.go("queued: 3 late")) == ["rewrite_scratchpad"]
    assert tools(talk.go("saved")) == ["wait"]


def test_reminders_and_steering_do_not_interrupt_the_script(small: Playbook) -> None:
    talk = Talk(small, "# Task: a\n\n## Goal\n\nA")
    line = talk.go("1\tx", told="# Reminder\n\nStep back.\n\n# Message from the user\n\nBe quick")
    assert "Be quick" in line.text
    assert tools(line) == ["shell"]
    assert tools(talk.go("exit 0 after 0.1 s", told="# Nudge\n\nGo on.")) == ["submit_handoff"]


def test_a_position_survives_compaction(small: Playbook) -> None:
    planner = Talk(small, "# Intent (version 1)\n\nx")
    summary = planner.go("queued: 1 a\nqueued: 2 b", told=f"{handoff('a')}\n\n# Compaction\n\nSum up.").text
    again = Talk(small, f"# Intent (version 1)\n\nx\n\n## So far\n\n{summary}")
    assert tools(again.next()) == ["wait"]
    assert tools(again.go("woken", told=handoff("b"))) == ["submit_handoff"]
    worker = Talk(small, "# Task: a\n\n## Goal\n\nA")
    summary = worker.go("1\tx", told="# Compaction\n\nSum up.").text
    again = Talk(small, f"# Task: a\n\n## Goal\n\nA\n\n## So far\n\n{summary}")
    assert tools(again.next()) == ["shell"]


def test_a_call_interrupted_by_a_restart_is_repeated(small: Playbook) -> None:
    talk = Talk(small, "# Intent (version 1)\n\nx")
    assert tools(talk.go("interrupted, outcome unknown: restarted", error=True)) == ["spawn_tasks"]


@pytest.mark.parametrize(
    ("shown", "then"), [("1\tone\n2\ttwo", "submit_handoff"), ("1\tone", "edit_file")], ids=["made", "not made"]
)
def test_an_edit_interrupted_by_a_restart_is_repeated_only_if_it_was_not_made(
    tmp_path: Path, shown: str, then: str
) -> None:
    step = '{ edit = "x", old = "one", new = "one\\ntwo" }'
    task = SMALL.replace('goal = "L"\nstep = [{ shell = "true" }]', f'goal = "L"\nstep = [{step}]')
    talk = Talk(load_playbook(written(tmp_path, task)), "# Task: late\n\n## Goal\n\nL")
    assert tools(talk.next()) == ["edit_file"]
    assert tools(talk.go("interrupted, outcome unknown: restarted", error=True)) == ["read_file"]
    assert tools(talk.go("interrupted, outcome unknown: restarted", error=True)) == ["read_file"]
    assert tools(talk.go(shown)) == [then]


def test_a_crash_happens_on_the_first_attempt_only(small: Playbook) -> None:
    assert Talk(small, "# Task: b\n\n## Goal\n\nB").go("1\tx").crash
    assert not Talk(small, "# Task: b\n\n## Goal\n\nB\n\n## Earlier attempt\n\nx").go("1\tx").crash


def test_a_failing_test_fails_the_task_with_its_output(small: Playbook) -> None:
    talk = Talk(small, "# Task: a\n\n## Goal\n\nA")
    talk.go("1\tx")
    line = talk.go("exit 1 after 0.1 s\nAssertionError")
    assert line.calls[0].arguments["status"] == "failed"
    assert "AssertionError" in str(line.calls[0].arguments["concerns"])


@pytest.mark.parametrize("heading", ["Task: unheard of", "Slice: unheard of", "Repair: make the check pass again"])
def test_a_task_that_is_not_in_the_playbook_fails(small: Playbook, heading: str) -> None:
    talk = Talk(small, f"# {heading}\n\n## Check\n\nfalse")
    line = talk.go("exit 1 after 0.1 s\nx") if heading.startswith("Repair") else talk.next()
    assert line.calls[0].arguments["status"] == "failed"


def test_a_resolver_reads_both_sides_merges_tests_and_submits(small: Playbook) -> None:
    talk = Talk(small, "# Conflict: a\n\n- x.py\n")
    assert tools(talk.next()) == ["read_file"]
    text = "1\ta\n2\t<<<<<<< trunk\n3\tb\n4\t=======\n5\tc\n6\t>>>>>>> yours"
    line = talk.go(text)
    assert line.calls[0].arguments == {"path": "x.py", "content": "a\nb\nc\n"}
    assert tools(talk.go("written x.py")) == ["shell"]
    assert tools(talk.go("exit 0 after 0.1 s")) == ["submit_handoff"]


def test_a_conflict_is_resolved_by_keeping_the_lines_of_both_sides() -> None:
    text = "a\n<<<<<<< trunk\nb\nc\n||||||| base\n=======\nb\nd\n>>>>>>> yours\ne\n"
    assert merge_lines(text) == "a\nb\nc\nd\ne\n"


def test_any_tool_can_be_called_and_tasks_can_wait_for_others(tmp_path: Path) -> None:
    text = SMALL.replace('spawn = ["a", "b"]', 'call = [{ tool = "status" }]\n[[planner.move]]\nspawn = ["a", "b"]', 1)
    text = text.replace('title = "b"', 'title = "b"\nafter = ["a"]', 1)
    text = text.replace('[{ read = ["x"] }, { shell = "true" }]', '[{ call = { tool = "update", all = true } }]', 1)
    playbook = load_playbook(written(tmp_path, text))
    talk = Talk(playbook, "# Intent (version 1)\n\nx")
    assert tools(talk.next()) == ["status"]
    [spawn] = talk.go("trunk: 1234567").calls
    assert [task.get("after") for task in spawn.arguments["tasks"]] == [None, ["a"]]  # type: ignore[attr-defined]
    assert tools(talk.go("queued: 1 a\nqueued: 2 b")) == ["wait"], "the move counts as made"
    worker = Talk(playbook, "# Task: a\n\nA")
    [update] = worker.next().calls
    assert (update.tool, update.arguments) == ("update", {"all": True})
    assert tools(worker.go("updated")) == ["submit_handoff"]
