"""Actions, keys, undo and drafts."""
