"""Sessions: the screen's view of a run that is in this process, in another one, or replayed."""
