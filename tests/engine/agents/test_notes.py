"""What planners assume and ask: notes to the person, questions to the planner above, and the answers."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from engine.agents.notes import intent_with, intent_without
from engine.domain.commands import AnswerNote, Command, Pause, Resume, Stop
from engine.domain.conversation import Request, Turn
from engine.domain.errors import ExitStatus, SwarmError
from engine.domain.notes import Note, NoteKind, answers_in
from engine.domain.settings import PlannerSettings, Settings
from engine.domain.types import AgentId, ModelName, RunState
from engine.orchestrator.swarm import Swarm
from engine.policy.planner_status import PlannerStatus
from engine.state.snapshot import Snapshot
from tests import simulated
from tests.engine.swarms import fresh, resumed
from tests.simulated import answers, call, first_line, turn

DONE = turn(call("submit_handoff", status="done", summary="ok"))
WAIT = turn(call("wait"))
Steps = Callable[[int, str], Turn]
"""What a planner does at a step, and with the text that it got since its last one."""


def ask(text: str, **more: object) -> Turn:
    return turn(call("note_to_person", kind="question", text=text, **more))


def assume(text: str) -> Turn:
    return turn(call("note_to_person", kind="assumption", text=text))


class Story:
    """A run whose planners follow scripts by the title of their slice; the root's is empty.

    `heard` has the messages that each planner got, without its status, `told` the answers to its calls.
    """

    def __init__(self, settings: PlannerSettings | None = None, **scripts: Steps) -> None:
        self.heard: dict[str, list[str]] = {}
        self.told: dict[str, list[str]] = {}
        self.settings = Settings(planner=settings or PlannerSettings())
        self._scripts = scripts
        self.snapshot = Snapshot()

    def __call__(self, model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        who = "root" if heading.startswith("# Intent") else heading.removeprefix("# Slice: ")
        step = sum(message.role == "assistant" for message in request.messages)
        self.heard.setdefault(who, []).append(request.messages[-1].text.partition("\n\n# Status\n")[0])
        self.told.setdefault(who, []).extend(answers(request))
        return self._scripts[who](step, request.messages[-1].text)

    def run(
        self, *commands: tuple[float, Command], attended: bool = True, leaves: float = 0.0, until: float = 0.0
    ) -> "Story":
        """Run to the end. Each command comes at its time. `leaves`: when the person goes away."""

        async def main(clock: simulated.SimulatedClock) -> None:
            swarm = fresh(simulated.world(clock, self), self.settings)
            swarm.attended = attended
            self.snapshot = swarm.snapshot
            person = asyncio.gather(*(at(clock, when, swarm.submit(what)) for when, what in commands))
            gone = asyncio.ensure_future(self._leave(clock, swarm, leaves))
            async with asyncio.timeout(7_200):
                outcome = await swarm.run()
            await person
            await gone
            assert outcome.state in (RunState.FINISHED, RunState.STOPPED)

        simulated.simulate(main)
        return self

    async def _leave(self, clock: simulated.SimulatedClock, swarm: Swarm, when: float) -> None:
        if when:
            await clock.sleep(when)
            swarm.attended = False

    @property
    def notes(self) -> list[Note]:
        return list(self.snapshot.notes.values())

    @property
    def intents(self) -> list[str]:
        return [intent.text for intent in self.snapshot.intents]


async def at(clock: simulated.SimulatedClock, when: float, work: Coroutine[Any, Any, None]) -> None:
    await clock.sleep(when)
    await work


def steps(*turns: Turn) -> Steps:
    """These turns in order, then a handoff."""
    return lambda step, heard: turns[step] if step < len(turns) else DONE


# --- to the person -------------------------------------------------------------------------------------------


def test_an_assumption_reaches_the_person_and_its_correction_the_planner() -> None:
    story = Story(
        root=steps(assume("3.11 is enough"), turn(call("spawn_subplanner", title="s", goal="g")), WAIT), s=slow
    )
    story.run((5, AnswerNote(1, "no, 3.10")))

    assert "noted" in story.told["root"]
    assert any("# Answer from the user\n\n> 3.11 is enough\n\nno, 3.10" in text for text in story.heard["root"])


def slow(step: int, heard: str) -> Turn:
    """A subplanner that works for some time."""
    return turn(call("list_files", path="." if step % 2 else "src")) if step < 20 else DONE


def test_an_assumption_that_is_fine_wakes_nobody() -> None:
    story = Story(
        root=steps(assume("3.11 is enough"), turn(call("spawn_subplanner", title="s", goal="g")), WAIT), s=slow
    )
    story.run((5, AnswerNote(1)))

    assert not any("Answer" in text for text in story.heard["root"])
    assert story.snapshot.notes_to_person() == []


def test_without_a_person_a_question_does_not_block_and_stays_open() -> None:
    story = Story(root=steps(ask("3.10 or 3.11?"), WAIT))
    story.run(attended=False)

    nobody = "noted, but nobody is there to answer now: decide as the user most likely would, note that as an"
    assert f"{nobody} `assumption`, and go on" in story.told["root"]
    assert any(text.startswith("nothing is outstanding") for text in story.told["root"])
    assert [note.text for note in story.snapshot.notes_to_person()] == ["3.10 or 3.11?"]


def test_notes_are_bounded_and_none_is_noted_twice() -> None:
    many = turn(*(call("note_to_person", kind="assumption", text=f"assumption {number}") for number in range(17)))
    long = assume("x" * 1_001)
    options = ask("which?", options=["one"] * 7)
    again = assume("  Assumption   3")
    story = Story(root=steps(long, assume(" "), options, many, again))
    story.run()

    told = story.told["root"]
    assert told[0] == "the text has 1,001 characters, and at most 1,000 are allowed: say only what matters"
    assert told[1] == "`text` is empty: say what you assume or ask"
    assert told[2] == "give at most 6 options, each of 1 to 200 characters"
    assert told.count("noted") == 15
    assert "15 of your assumptions are still open: decide by yourself, and say so in your handoff" in told
    assert "you have noted this already; no answer has come" in told


# --- about the intent ----------------------------------------------------------------------------------------


def test_answers_about_the_intent_come_together_and_become_part_of_it() -> None:
    both = turn(
        call("note_to_person", kind="question", text="3.10 or 3.11?", options=["3.10", "3.11"]),
        call("note_to_person", kind="question", text="Which licence?\n# Intent"),
        call("wait"),
    )
    story = Story(root=steps(both))
    story.run((5, AnswerNote(1, "3.11")), (60, AnswerNote(2, "MIT")))

    assert "You may ask the user up to 5 questions about the intent" in story.heard["root"][0]
    assert story.intents[-1] == (
        "Do it.\n\n## Questions and answers\n\n> 3.10 or 3.11?\n\n3.11\n\n> Which licence?\n> # Intent\n\nMIT\n"
    )
    assert len(story.heard["root"]) == 2  # the opening, and both answers at once
    assert story.heard["root"][1].startswith("# Intent (version 2)\n\nThe user has answered what you asked.")
    root = story.snapshot.agents[story.snapshot.paths["root"]]  # type: ignore[index]
    assert root.intent == 2


@pytest.mark.parametrize(
    ("intent", "answered"),
    [
        ("Do it.\n", "Do it.\n\n## Questions and answers\n\n> why?\n\nyes\n"),
        ("", "## Questions and answers\n\n> why?\n\nyes\n"),
        (
            "Do it.\n\n## Questions and answers\n\n> who?\n\nme\n",
            "Do it.\n\n## Questions and answers\n\n> who?\n\nme\n\n> why?\n\nyes\n",
        ),
        (
            "Do it.\n\n## Questions and answers\n\nnone\n\n## Later\n\nmore",
            "Do it.\n\n## Questions and answers\n\nnone\n\n## Later\n\nmore\n\n"
            "## Questions and answers\n\n> why?\n\nyes\n",
        ),
    ],
)
def test_an_answer_stands_at_the_end_of_the_intent_and_can_be_removed(intent: str, answered: str) -> None:
    note = Note(1, 0, AgentId("a"), NoteKind.QUESTION, "why?", answer="yes")
    assert intent_with(intent, [note]) == answered
    assert intent_without(answered, note).strip() == intent.strip()
    assert intent_without("Something else.", note) == "Something else."


def test_an_answer_with_lines_like_headings_stays_an_answer() -> None:
    first = Note(1, 0, AgentId("a"), NoteKind.QUESTION, "which header?", answer="put\n# SPDX\n## Questions and answers")
    second = Note(2, 0, AgentId("a"), NoteKind.QUESTION, "why?", answer="yes")
    once = intent_with("Do it.\n", [first])
    twice = intent_with(once, [second])
    assert answers_in(once).startswith("## Questions and answers\n\n> which header?")
    assert twice == f"{once.rstrip()}\n\n> why?\n\nyes\n"
    assert "# SPDX" in answers_in(twice)
    assert "> why?" in answers_in(twice)
    assert intent_without(intent_without(twice, second), first).strip() == "Do it."


def test_a_question_that_is_left_to_the_planner_changes_no_intent() -> None:
    story = Story(root=steps(ask("3.10 or 3.11?"), WAIT))
    story.run((5, AnswerNote(1)))

    assert len(story.intents) == 1
    assert story.heard["root"][-1] == "# Answer from the user\n\n> 3.10 or 3.11?\n\nDecide this as you think best."


@pytest.mark.parametrize("when", [2.0, 20.0], ids=["before it gives out work", "after that"])
def test_a_planner_that_goes_on_without_all_answers_gets_those_that_come(when: float) -> None:
    def root(step: int, heard: str) -> Turn:
        match step:
            case 0:
                return turn(*(call("note_to_person", kind="question", text=text) for text in ("Which?", "What?")))
            case 1 | 2 | 3:
                return turn(call("status"))
            case 4:
                return turn(call("spawn_subplanner", title="left", goal="own it"))
        return DONE if "# Handoff: left" in heard else WAIT

    def left(step: int, heard: str) -> Turn:
        return ask("Why?") if step == 0 else DONE if "# Answer" in heard else WAIT

    story = Story(root=root, left=left).run((when, AnswerNote(1, "this")), (60.0, AnswerNote(3, "because")))

    [told] = [text for text in story.heard["root"] if "> Which?" in text]
    assert told.startswith("# Intent (version 2)")
    assert "this" in told
    assert story.heard["root"].index(told) < len(story.heard["root"]) - 1, "before it hands off"
    assert [note.delivered for note in story.notes if note.number in (1, 3)] == [True, True]


def test_a_run_that_nobody_answers_goes_on_after_a_while() -> None:
    story = Story(PlannerSettings(answer_within="10m"), root=steps(ask("3.10 or 3.11?"), ask("MIT?"), WAIT))
    story.run((60, AnswerNote(2, "yes")))

    [answered, left] = [text for text in story.heard["root"][-1].split("# ") if text.strip()][-2:]
    assert "MIT?" in story.intents[-1]
    assert "No answer came within 10m. Decide this as well as you can" in story.heard["root"][-1]
    assert answered or left
    assert [note.number for note in story.snapshot.notes_to_person()] == [1]


def test_a_paused_run_waits_for_the_answer_and_tells_no_planner_that_none_came() -> None:
    def root(step: int, heard: str) -> Turn:
        return turn(*ask("Which?").message.calls, *WAIT.message.calls) if step == 0 else DONE

    story = Story(PlannerSettings(answer_within="1m"), root=root)
    story.run((5.0, Pause()), (600.0, AnswerNote(1, "this")), (610.0, Resume()))
    assert len(story.heard["root"]) == 2
    assert "this" in story.heard["root"][1]
    assert "No answer" not in story.heard["root"][1]

    late = Story(PlannerSettings(answer_within="1m"), root=root)
    late.run((5.0, Pause()), (610.0, Resume()))
    assert "No answer came within 1m" in late.heard["root"][1]


def test_a_run_whose_person_leaves_goes_on_at_once() -> None:
    story = Story(PlannerSettings(answer_within=""), root=steps(ask("3.10 or 3.11?"), WAIT))
    story.run(leaves=100)

    assert "Nobody is there to answer. Decide this as well as you can" in story.heard["root"][-1]


def test_a_planner_that_has_handed_off_is_not_woken_because_nobody_answers() -> None:
    def root(step: int, heard: str) -> Turn:
        if step == 0:
            return turn(*(call("spawn_subplanner", title=title, goal="own it") for title in ("left", "right")))
        return DONE if "# Handoff: right" in heard else WAIT

    def right(step: int, heard: str) -> Turn:
        if step == 0:
            return ask("Which size?")
        return DONE if "No answer" in heard else WAIT

    left = steps(ask("Which colour?"), DONE)
    for story in (
        Story(root=root, left=left, right=right).run(leaves=60.0),
        Story(PlannerSettings(answer_within="5m"), root=root, left=left, right=right).run(),
    ):
        assert "No answer" in story.heard["right"][-1]
        assert len(story.heard["left"]) == 2, story.heard["left"]
        assert sum("# Handoff: left" in text for text in story.heard["root"]) == 1
        assert [note.open for note in story.notes] == [True, True], "the person can still answer"


def test_with_assume_nobody_is_waited_for_even_if_a_person_is_there() -> None:
    story = Story(PlannerSettings(questions="assume"), root=steps(ask("3.10 or 3.11?"), WAIT))
    story.run()

    assert "up to 5 questions" not in story.heard["root"][0]
    assert any(text.startswith("noted, but nobody is there") for text in story.told["root"])


def test_at_most_five_questions_about_the_intent() -> None:
    five = turn(
        *(call("note_to_person", kind="question", text=f"question {number}") for number in range(5)), call("wait")
    )
    story = Story(root=steps(five, ask("one more")))
    story.run(*((number + 2, AnswerNote(number + 1, "yes")) for number in range(5)))

    assert (
        story.told["root"][-1]
        == "you have asked 5 questions about the intent: decide the rest, and note what you assume"
    )


def test_a_late_answer_becomes_part_of_the_intent_too() -> None:
    spawn = turn(call("spawn_subplanner", title="s", goal="g"))
    story = Story(root=steps(ask("3.10 or 3.11?"), spawn, WAIT, WAIT), s=slow)
    story.run((10, AnswerNote(1, "3.11")), attended=False)

    assert story.intents[-1].endswith("> 3.10 or 3.11?\n\n3.11\n")
    assert any(text.startswith("# Intent (version 2)") for text in story.heard["root"])


def test_an_answer_can_be_taken_back_and_given_again() -> None:
    spawn = turn(call("spawn_subplanner", title="s", goal="g"))
    story = Story(root=steps(ask("3.10 or 3.11?"), WAIT, spawn, WAIT), s=slow)
    story.run((4, AnswerNote(1, "3.10")), (6, AnswerNote(1, taken_back=True)), (8, AnswerNote(1, "3.11")))

    assert story.intents == [
        "Do it.",
        "Do it.\n\n## Questions and answers\n\n> 3.10 or 3.11?\n\n3.10\n",
        "Do it.\n",
        "Do it.\n\n## Questions and answers\n\n> 3.10 or 3.11?\n\n3.11\n",
    ]


def test_an_answer_that_nobody_has_read_is_taken_back_in_silence() -> None:
    two = turn(
        call("note_to_person", kind="question", text="one?"),
        call("note_to_person", kind="question", text="two?"),
        call("wait"),
    )
    story = Story(root=steps(two))
    story.run(
        (4, AnswerNote(1, "a")), (5, AnswerNote(1, taken_back=True)), (6, AnswerNote(2, "b")), (7, AnswerNote(1, "c"))
    )

    assert "a" not in story.intents[-1].split()
    assert story.intents[-1].endswith("> two?\n\nb\n\n> one?\n\nc\n")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (AnswerNote(9, "x"), "there is no note 9"),
        (AnswerNote(1, taken_back=True), "note 1 has no answer"),
    ],
)
def test_an_answer_that_fits_no_note_is_refused_with_a_hint(command: AnswerNote, message: str) -> None:
    with pytest.raises(SwarmError, match=message) as error:
        Story(root=steps(ask("3.10 or 3.11?"), WAIT)).run((5, command), (9, AnswerNote(1)))
    assert error.value.hint


def test_the_wait_and_the_answers_survive_a_kill() -> None:
    story = Story(root=steps(ask("one?"), ask("two?"), WAIT))

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, story)
        swarm = fresh(w, story.settings)
        swarm.attended = True
        running = asyncio.ensure_future(swarm.run())
        await clock.sleep(10)
        await swarm.submit(AnswerNote(1, "first"))
        await clock.sleep(4_000)  # longer than an answer may take, if it counted
        w.crash()
        await w.bury([running])
        w = w.restart()
        swarm = await resumed(w, story.settings)
        swarm.attended = True
        running = asyncio.ensure_future(swarm.run())
        await clock.sleep(10)
        assert [note.number for note in swarm.snapshot.notes_to_person()] == [2]
        await swarm.submit(AnswerNote(2, "second"))
        assert (await running).status is ExitStatus.DONE
        story.snapshot = swarm.snapshot

    story.settings = Settings(planner=PlannerSettings(answer_within=""))
    simulated.simulate(main)
    assert story.intents[-1].endswith("> one?\n\nfirst\n\n> two?\n\nsecond\n")


def test_what_is_open_stays_known_when_a_conversation_starts_again() -> None:
    def root(step: int, heard: str) -> Turn:
        if step == 0:
            return turn(
                call("note_to_person", kind="question", text="Which\nlicence?"),
                call("spawn_subplanner", title="s", goal="g"),
                call("wait"),
            )
        return turn(call("list_files", path="." if step % 2 else "src"))

    story = Story(root=root, s=steps(asks("Drop 3.8?")))
    story.run((8, Stop()))

    status = PlannerStatus(story.settings, story.snapshot, story.notes[0].agent, story.snapshot.at).whole(20)
    assert "s: Drop 3.8?" in status
    assert "yours to the user: Which licence?" in status


# --- to the planner above ------------------------------------------------------------------------------------


def spawns(after: Steps) -> Steps:
    """A root that spawns the subplanner `s`, then goes on as `after` says."""
    spawn = turn(call("spawn_subplanner", title="s", goal="g"), call("wait"))
    return lambda step, heard: spawn if step == 0 else after(step, heard)


def asks(text: str) -> Turn:
    return turn(call("ask_planner", text=text, options=["yes", "no"]), call("wait"))


def test_a_subplanners_question_wakes_its_planner_whose_message_answers_it() -> None:
    answer = turn(call("rescope_subplanner", subplanner="s", message="Yes, drop it."), call("wait"))
    story = Story(root=spawns(lambda step, heard: answer if "Question" in heard else DONE), s=steps(asks("Drop 3.8?")))
    story.run()

    assert story.heard["root"][1] == (
        '# Question from your subplanner "s"\n\n> Drop 3.8?\n> - yes\n> - no\n\nAnswer with `rescope_subplanner` and '
        "its `message` alone. If you call `wait` without an answer, the subplanner decides by\nitself."
    )
    assert story.heard["s"][1] == "# Answer from your planner\n\n> Drop 3.8?\n\nYes, drop it."
    assert story.snapshot.reopened == {}


def test_a_planner_that_waits_without_answering_leaves_the_decision_to_who_asked() -> None:
    story = Story(root=spawns(lambda step, heard: WAIT if step == 1 else DONE), s=steps(asks("Drop 3.8?")))
    story.run()

    assert "Your planner went on without an answer. Decide this as well as you can" in story.heard["s"][1]


def test_a_planner_that_goes_to_sleep_before_it_has_read_a_question_is_woken_by_it() -> None:
    """The question arrives while the planner thinks; its `wait` then is no refusal to answer."""
    answer = turn(call("rescope_subplanner", subplanner="s", message="Yes."), call("wait"))

    def root(step: int, heard: str) -> Turn:
        if step == 0:
            return turn(call("spawn_subplanner", title="s", goal="g"))
        return answer if "Question" in heard else WAIT if step < 4 else DONE

    story = Story(root=root, s=steps(asks("Drop 3.8?")))
    story.run()

    assert story.heard["s"][1] == "# Answer from your planner\n\n> Drop 3.8?\n\nYes."


def test_a_new_slice_answers_what_was_asked_about_the_old_one() -> None:
    change = turn(call("rescope_subplanner", subplanner="s", message="Do this.", goal="another"), call("wait"))
    story = Story(root=spawns(lambda step, heard: change if "Question" in heard else DONE), s=steps(asks("Drop 3.8?")))
    story.run()

    assert story.heard["s"][1].startswith("# Message from your planner")
    assert not any(note.open for note in story.notes)


def test_a_question_ends_with_the_handoff_of_who_asked() -> None:
    story = Story(
        root=spawns(lambda step, heard: DONE if "Handoff" in heard else WAIT),
        s=steps(turn(call("ask_planner", text="Drop 3.8?"))),
    )
    story.run()

    assert not any(note.open for note in story.notes)


def test_the_root_has_no_planner_to_ask_and_the_person_cannot_answer_for_one() -> None:
    hold = turn(call("list_files", path="."))
    story = Story(root=spawns(lambda step, heard: hold if step < 4 else DONE), s=steps(asks("Drop 3.8?")))
    with pytest.raises(SwarmError, match="note 1 is a question to root"):
        story.run((3, AnswerNote(1, "x")), (4, Stop()))
