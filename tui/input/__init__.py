"""Input: actions, their keys and handlers, undo, and the draft of an intent."""
