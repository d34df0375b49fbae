"""The state of a run: the snapshot, and the fold that applies events to it."""
