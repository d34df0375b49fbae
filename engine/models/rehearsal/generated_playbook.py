"""Generates playbooks of any size, for load tests."""

import hashlib

from msgspec import Struct

from engine.models.rehearsal.playbook import Move, PlannerScript, Playbook, Step, TaskScript, Words

REGISTER = "parts/register.py"
SHELVES = 64
TOGETHER = 3
"""Consecutive tasks that change the same line; more would run into the limit on failed resolutions."""


class Load(Struct, frozen=True):
    """`conflicts`: the share of tasks (0 to 1) that also change a line that others change. `planners`: subplanners.

    `drafts`: extra turns in which a worker writes a draft of its module.
    """

    planners: int
    tasks: int
    conflicts: float
    shell: bool
    seed: int
    drafts: int = 0


def generate(load: Load) -> Playbook:
    """Tasks are assigned to subplanners round-robin; each adds a module and its test to the sample `load`."""
    numbers = range(1, load.tasks + 1)
    meeting = [number for number in numbers if _draw(load.seed, number, "conflict") % 10_000 < load.conflicts * 10_000]
    shelves = {number: place // TOGETHER % SHELVES for place, number in enumerate(meeting)}
    tasks = tuple(_task(number, load, shelves.get(number)) for number in numbers)
    if not load.planners:
        return Playbook((PlannerScript("root", move=_moves([task.title for task in tasks])),), tasks)
    slices = tuple(
        PlannerScript(
            title=f"group {group + 1}",
            goal=f"The parts of group {group + 1}, each with its test.",
            scope="parts/** tests/**",
            move=_moves(
                [task.title for number, task in zip(numbers, tasks, strict=True) if number % load.planners == group]
            ),
        )
        for group in range(load.planners)
    )
    root = PlannerScript("root", move=(Move(slice=tuple(planner.title for planner in slices)),))
    return Playbook((root, *slices), tasks)


def _moves(titles: list[str]) -> tuple[Move, ...]:
    return (Move(scratchpad=f"{len(titles)} parts to build.", spawn=tuple(titles)),) if titles else ()


def _task(number: int, load: Load, shelf: int | None) -> TaskScript:
    """The script of one task. `shelf`: its part's section of the register; None if it is not registered."""
    name = f"part_{number:05d}"
    factor, offset = _draw(load.seed, number, "factor") % 9 + 2, _draw(load.seed, number, "offset") % 97
    module = f"parts/{name}.py"
    test = f"tests/test_{name}.py"
    steps = [
        Step(read=("parts/part_00000.py",)),
        *(Step(write=module, content=f"# draft {draft}\n") for draft in range(1, load.drafts + 1)),
        Step(write=module, content=_module(number, factor, offset)),
        Step(write=test, content=_test(number, factor, offset)),
    ]
    if shelf is not None:
        heading = f"    # shelf {shelf:02d}\n"
        steps.append(Step(edit=REGISTER, old=heading, new=f'{heading}    "{name}",\n'))
    if load.shell:
        steps.append(Step(shell=f"python3 -m unittest -q tests.test_{name}"))  # noqa: S604 - a value; nothing runs
    return TaskScript(
        title=f"part {number}",
        goal=f"Add {module}: a function `apply` that multiplies by {factor} and adds {offset}. Test it in {test}.",
        scope=f"{module} {test} {REGISTER}",
        acceptance=f"python3 -m unittest -q tests.test_{name} passes.",
        step=tuple(steps),
        handoff=Words(summary=f"Part {number} multiplies by {factor} and adds {offset}."),
    )


def _module(number: int, factor: int, offset: int) -> str:
    return f'''"""Part {number}: times {factor}, plus {offset}."""


def apply(value: int) -> int:
    return value * {factor} + {offset}
'''


def _test(number: int, factor: int, offset: int) -> str:
    return f"""import unittest

from parts.part_{number:05d} import apply


class Part{number}Test(unittest.TestCase):
    def test_it_multiplies_and_adds(self) -> None:
        self.assertEqual(apply(0), {offset})
        self.assertEqual(apply(3), {3 * factor + offset})


if __name__ == "__main__":
    unittest.main()
"""


def _draw(seed: int, number: int, purpose: str) -> int:
    return int(hashlib.sha256(f"{seed}/{number}/{purpose}".encode()).hexdigest()[:12], 16)
