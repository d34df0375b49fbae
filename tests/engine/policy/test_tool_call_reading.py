"""What a model may mean by a tool call, and what stays an error."""

import json
import time
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.policy.tool_call_reading import MOST, arguments_meant, tool_meant

TOOLS = ("shell", "read_file", "write_file", "list_files", "search", "wait", "spawn_tasks")


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("functions.read_file", "read_file"),
        ("functions.read_file:0", "read_file"),
        ("functions::read_file", "read_file"),
        ("functions_read_file", "read_file"),
        ("default_api.read_file", "read_file"),
        ("default_api:shell", "shell"),
        ("tools.shell", "shell"),
        ("multi_tool_use.shell", "shell"),
        ("shell:0", "shell"),
        ("shell:12", "shell"),
        (" shell \n", "shell"),
        ("Shell", "shell"),
        ("READ_FILE", "read_file"),
        ("readFile", "read_file"),
        ("read-file", "read_file"),
        ("shell()", "shell"),
        ('"shell"', "shell"),
        ("`shell`", "shell"),
        ("shell<|channel|>", "shell"),
        ("shell<|channel|>commentary", "shell"),
        ("shell<|constrain|>json", "shell"),
        ("assistant<|channel|>commentary to=functions.shell", "shell"),
        ("<tool_call>shell</tool_call>", "<tool_call>shell</tool_call>"),
        ("shell.shell", "shell"),
        ("print(default_api.shell())", "shell"),
    ],
)
def test_a_name_with_one_meaning_is_taken(name: str, tool: str) -> None:
    assert tool_meant(name, TOOLS) == tool


@pytest.mark.parametrize(
    "name",
    [
        "",
        "functions",
        "web.search",
        "read_file.search",
        "shell wait",
        "shell_command",
        "run",
        "x" * 5000,
        "files",
        "ſhell!",
    ],
)
def test_a_name_with_no_meaning_or_two_stays_as_it_is(name: str) -> None:
    assert tool_meant(name, TOOLS) == name


def test_only_the_agents_own_tools_can_be_meant() -> None:
    assert tool_meant("functions.write_file", ("shell", "wait")) == "functions.write_file"


class Write(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    content: str
    mode: int = 0
    force: bool = False
    tags: list[str] = []
    note: str = ""


WHOLE = {"path": "a.py", "content": "x = 'a'\nsay(\"b\")\n"}


@pytest.mark.parametrize(
    "text",
    [
        '{"path": "a.py", "content": "x = \'a\'\\nsay(\\"b\\")\\n",}',
        '```json\n{"path": "a.py", "content": "x = \'a\'\\nsay(\\"b\\")\\n"}\n```',
        '```\n{"path": "a.py", "content": "x = \'a\'\\nsay(\\"b\\")\\n",\n}```',
        '```json\n{"path": "a.py", "content": "x = \'a\'\\nsay(\\"b\\")\\n"}',
        "{'path': 'a.py', 'content': 'x = \\'a\\'\\nsay(\"b\")\\n'}",
        '{"path": "a.py", "content": "x = \'a\'\nsay(\\"b\\")\n"}',
        json.dumps(json.dumps(WHOLE)),
        json.dumps(json.dumps(json.dumps(WHOLE))),
        "{}" + json.dumps(WHOLE),
        json.dumps(WHOLE) + "<|call|>",
        json.dumps(WHOLE) + "\n</tool_call>",
        "\ufeff" + json.dumps(WHOLE),
        f"```{json.dumps(WHOLE)}```",
        '{"path": "a.py", "content": "x = \\\'a\\\'\\nsay(\\"b\\")\\n"}',
        json.dumps(WHOLE | {"note": None, "mode": None}),
    ],
)
def test_arguments_with_one_meaning_are_taken(text: str) -> None:
    assert json.loads(arguments_meant(text, Write)) == WHOLE


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("{'path': 'a', 'content': 'b', 'force': True, 'mode': 3}", {"force": True, "mode": 3}),
        ('{"path": "a", "content": "b", "force": "true", "mode": "3"}', {"force": True, "mode": 3}),
        ('{"path": "a", "content": "b", "tags": "[\\"x\\", \\"y\\"]"}', {"tags": ["x", "y"]}),
        ('{"path": "a", "content": "b", "tags": "[\'x\', \'y\',]"}', {"tags": ["x", "y"]}),
        ("{'path': 'a', 'content': 'b', 'note': None, 'tags': ['x',],}", {"tags": ["x"]}),
    ],
)
def test_values_with_one_meaning_are_taken(text: str, more: dict[str, object]) -> None:
    assert json.loads(arguments_meant(text, Write)) == {"path": "a", "content": "b"} | more


class Task(msgspec.Struct, forbid_unknown_fields=True):
    title: Annotated[str, msgspec.Meta(description="A name.")]
    priority: int = 0


class Spawn(msgspec.Struct, forbid_unknown_fields=True):
    tasks: Annotated[list[Task], msgspec.Meta(description="Some.")]


@pytest.mark.parametrize(
    "tasks",
    [
        '[{"title": "a", "priority": 3}]',
        [{"title": "a", "priority": "3"}],
        ['{"title": "a", "priority": 3}'],
        '[{"title": "a", "priority": "3"}]',
    ],
)
def test_values_within_lists_are_read_as_well(tasks: object) -> None:
    meant = msgspec.json.decode(arguments_meant(json.dumps({"tasks": tasks}), Spawn), type=Spawn)
    assert meant == Spawn([Task("a", 3)])


@pytest.mark.parametrize(
    ("tasks", "titles"),
    [("a", ["a"]), (["a", "b"], ["a", "b"]), ("", []), (["a", {"title": "b"}], ["a", "b"]), ({"title": "a"}, ["a"])],
)
def test_a_text_stands_for_an_object_that_needs_only_one(tasks: object, titles: list[str]) -> None:
    meant = msgspec.json.decode(arguments_meant(json.dumps({"tasks": tasks}), Spawn), type=Spawn)
    assert [task.title for task in meant.tasks] == titles


def test_the_beginning_of_a_list_is_no_text() -> None:
    text = json.dumps({"tasks": '[{"title": "a"'})
    assert arguments_meant(text, Spawn) == text


def test_text_that_looks_like_json_stays_text_where_text_is_asked_for() -> None:
    text = json.dumps({"path": "a.json", "content": '{"a": [1]}', "note": "null"})
    assert arguments_meant(text, Write) is text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"path": "a.py"',
        '{"path": "a.py", "content": "x = 1',
        '{"path": "a.py", "content": "x = 1"',
        '{"path": "a.py", "content": "x = 1",',
        "{'path': 'a.py', 'content': 'x = 1",
        "{'path': 'a.py', 'content': 'it's'}",
        '```json\n{"path": "a.py", "content": "x',
        '{"path": "a.py", "content": "say "hi""}',
        '{"path": "a", "content": "b"}{"path": "c", "content": "d"}',
        '"{\\"path\\": \\"a.py\\", \\"content\\": \\"x"',
        '{"path": "a.py", "content": "b", "surprise": 1}',
        '{"path": "a.py", "content": "b", "tags": "[\\"x\\""}',
        "{" * 5000,
        '{"a":' * 5000 + "1" + "}" * 5000,
    ],
)
def test_arguments_that_are_cut_off_or_ambiguous_stay_as_they_are(text: str) -> None:
    assert arguments_meant(text, Write) == text


values = st.fixed_dictionaries({"path": st.text(), "content": st.text(alphabet=st.sampled_from("a'\"\\\n{}[],: `<|>"))})


@given(
    values,
    st.sampled_from([json.dumps, repr, lambda v: json.dumps(json.dumps(v)), lambda v: f"```\n{json.dumps(v)}\n```"]),
    st.data(),
)
def test_no_beginning_of_a_call_is_read_as_a_whole_one(
    value: dict[str, str], form: object, data: st.DataObject
) -> None:
    text = form(value)  # type: ignore[operator]
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    try:
        meant = msgspec.json.decode(arguments_meant(cut, Write), type=Write)
    except msgspec.DecodeError:
        return
    assert (meant.path, meant.content) == (value["path"], value["content"]), "only what closes it was cut"


@given(values)
def test_whole_json_is_never_changed(value: dict[str, str]) -> None:
    text = json.dumps(value)
    assert arguments_meant(text, Write) is text


@pytest.mark.parametrize("text", ['"\\', "'\\", '"', "'", "{'", ", ", '"\\"', "<|", "</", "``` ", "'a", "a" * 9 + "'"])
def test_hostile_arguments_are_read_in_linear_time(text: str) -> None:
    started = time.process_time()
    arguments_meant((text * MOST)[:MOST], Write)
    assert time.process_time() - started < 20
