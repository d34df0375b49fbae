"""Shows what planners assume and ask, and sends the person's answers."""

from tui.bridge import AnswerNote, Note, NoteKind, Snapshot
from tui.format.text import one_line
from tui.input.handlers import handles
from tui.screens.modal import AskText, Menu, MenuItem
from tui.widgets.actionable import Actionable, Controller

ANNOUNCED = 120
"""Characters of a question in its announcement."""
OWN_WORDS, AS_YOU_THINK = "a", "f"


class Notes(Controller):
    """Opens notes one after another, and announces new questions."""

    def __init__(self, screen: Actionable) -> None:
        super().__init__(screen)
        self._seen = -1

    def look(self) -> None:
        """Announce a question that is new since the screen was opened."""
        run, session = self.view.run, self.host.session
        if run is None or session.player is not None:
            return
        new = [
            note for note in run.notes_to_person() if 0 <= self._seen < note.number and note.kind is NoteKind.QUESTION
        ]
        self._seen = run.note_count
        if new:
            key = self.host.keymap.shown("global.answer")
            self.host.show_note(f"{title_of(run, new[0])}: {one_line(new[0].text)[:ANNOUNCED]} · {key} answers")

    @handles("global.answer")
    def answer_next(self) -> None:
        run = self.view.run
        if run is not None and (notes := run.notes_to_person()):
            mine = [note for note in notes if note.agent == self.view.selected and note.awaited == notes[0].awaited]
            self.open((mine or notes)[0])

    def open(self, note: Note) -> None:
        """Show a note with the answers to choose from."""
        run = self.view.run
        if run is not None:
            self.app.push_screen(
                Menu(title_of(run, note), text_of(note), items_of(note)), lambda key: self._chosen(note, key)
            )

    def _chosen(self, note: Note, key: str | None) -> None:
        if key is None:
            return
        if key == AS_YOU_THINK:
            self._answer(note, "")
        elif key == OWN_WORDS:
            title = f"answer to note {note.number}"
            self.app.push_screen(
                AskText(title, placeholder=one_line(note.text)), lambda text: self._written(note, text)
            )
        else:
            self._answer(note, note.options[int(key) - 1])

    def _written(self, note: Note, text: str | None) -> None:
        if text:
            self._answer(note, text)
        else:
            self.open(note)

    def _answer(self, note: Note, text: str) -> None:
        """Send the answer, and show the next question that the same planner waits for."""
        run = self.view.run
        do, undo = [AnswerNote(note.number, text)], [AnswerNote(note.number, taken_back=True)]
        self.host.commands.send_undoable(do, undo, f"note {note.number} answered", f"answer to note {note.number}")
        left = [
            other
            for other in (run.notes_to_person() if run is not None else ())
            if other.awaited and other.agent == note.agent and other.number > note.number
        ]
        if left:
            self.open(left[0])


def title_of(run: Snapshot, note: Note) -> str:
    """Who assumes or asks."""
    return f"{run.agents[note.agent].path} {'asks' if note.kind is NoteKind.QUESTION else 'assumes'}"


def text_of(note: Note) -> str:
    """The note, and what its answer does."""
    waits = ("It waits for your answer.",) if note.awaited else ()
    intent = ("Your answer becomes part of the intent.",) if note.intent else ()
    return "\n\n".join(filter(None, (note.text, " ".join((*waits, *intent)))))


def items_of(note: Note) -> list[MenuItem]:
    """The options, an answer in the person's own words, and none."""
    options = [MenuItem(str(number), one_line(option)) for number, option in enumerate(note.options, 1)]
    if note.kind is NoteKind.QUESTION:
        own, fine = "answer in your own words", "let it decide"
    else:
        own, fine = "correct it", "fine as assumed"
    return [*options, MenuItem(OWN_WORDS, own), MenuItem(AS_YOU_THINK, fine)]
