"""The bundled samples are whole: they load, start green, and end green in whatever order their tasks land."""

import random
import shutil
import subprocess
from pathlib import Path
from typing import cast

import pytest

from engine.models.rehearsal.playbook import Playbook, SampleProject, TaskScript, list_samples, load_playbook
from engine.models.rehearsal.script_position import Call
from engine.models.rehearsal.worker_script import step_calls

SAMPLES = {sample.name: sample for sample in list_samples()}


def check(sample: SampleProject, project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(sample.check, shell=True, cwd=project, capture_output=True, text=True)


def needs(playbook: Playbook) -> dict[str, set[str]]:
    """For each task, those that it comes after, or that its planner waits for before asking for it."""

    def all_of(planner_title: str) -> set[str]:
        planner = next(one for one in playbook.planner if one.title == planner_title)
        own = {title for move in planner.move for title in move.spawn}
        return own.union(*(all_of(title) for move in planner.move for title in move.slice))

    needed: dict[str, set[str]] = {}
    tasks = {task.title for task in playbook.task}
    for planner in playbook.planner:
        asked: set[str] = set()
        before: set[str] = set()
        for move in planner.move:
            waited = asked if "*" in move.wait_for else set(move.wait_for)
            before = before.union(*({title} if title in tasks else all_of(title) for title in waited))
            needed.update({title: before.union(playbook.tasks_by_title[title].after) for title in move.spawn})
            asked = asked | set(move.spawn) | {title for inner in move.slice for title in all_of(inner)}
    return {title: set() for change in playbook.on_intent for title in change.spawn} | needed


def apply(task: TaskScript, project: Path) -> None:
    for call in (call for step in task.step for call in step_calls(step)):
        act(call, project)


def act(call: Call, project: Path) -> None:
    path = project / str(call.arguments.get("path", ""))
    if call.tool == "write_file":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(call.arguments["content"]))
    elif call.tool == "edit_file":
        text = path.read_text()
        for edit in cast(list[dict[str, str]], call.arguments["edits"]):
            assert text.count(edit["old"]) == 1, call
            text = text.replace(edit["old"], edit["new"])
        path.write_text(text)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_sample_is_complete_and_its_start_passes_its_check(name: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]
    assert (sample.folder / "INTENT.md").read_text().startswith("# ")
    for file in ("AGENTS.md", "README.md", ".gitignore"):
        assert (sample.folder / "project" / file).is_file()
    shutil.copytree(sample.folder / "project", tmp_path / "project")
    assert check(sample, tmp_path / "project").returncode == 0
    assert load_playbook(sample.folder).task


@pytest.mark.parametrize("order", range(2))
@pytest.mark.parametrize("name", ["markdown", "notes"])
def test_tasks_pass_their_own_tests_on_whatever_landed_before(name: str, order: int, tmp_path: Path) -> None:
    sample = SAMPLES[name]
    project = tmp_path / "project"
    shutil.copytree(sample.folder / "project", project)
    playbook = load_playbook(sample.folder)
    needed = needs(playbook)
    draw = random.Random(order)
    left, landed, untested = list(playbook.task), set[str](), list[str]()
    while left:
        task = draw.choice([one for one in left if needed[one.title] <= landed])
        apply(task, project)
        left.remove(task)
        landed.add(task.title)
        untested.append(task.step[-1].shell.split()[-1])
        if len(untested) == 6 or not left:  # one process for several tasks: starting it is what takes time
            command = ["python3", "-m", "unittest", "-q", *untested]
            run = subprocess.run(command, cwd=project, capture_output=True, text=True)
            assert run.returncode == 0, f"{task.title}: {run.stderr}"
            untested.clear()
    ended = check(sample, project)
    for repair in playbook.repair:
        assert ended.returncode == 1
        assert "used twice" in ended.stderr
        for call in (call for step in repair.step for call in step_calls(step)):
            act(call, project)
        ended = check(sample, project)
    assert ended.returncode == 0, ended.stderr


def test_the_markdown_sample_breaks_only_when_both_halves_of_footnotes_are_in(tmp_path: Path) -> None:
    sample = SAMPLES["markdown"]
    tasks = {task.title: task for task in load_playbook(sample.folder).task}
    for order in (["footnotes", "footnote references"], ["footnote references", "footnotes"]):
        project = tmp_path / order[0]
        shutil.copytree(sample.folder / "project", project)
        apply(tasks[order[0]], project)
        assert check(sample, project).returncode == 0
        apply(tasks[order[1]], project)
        own = subprocess.run(tasks[order[1]].step[-1].shell, shell=True, cwd=project, capture_output=True)
        assert own.returncode == 0
        assert check(sample, project).returncode == 1


def test_no_file_of_a_sample_is_left_out_by_an_ignore_rule() -> None:
    """The wheel ships what git does not ignore."""
    root = Path(__file__).parent.parent
    command = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "sample_projects"]
    ignored = subprocess.run(command, cwd=root, capture_output=True, text=True).stdout.split()
    assert [path for path in ignored if "__pycache__" not in path] == []
