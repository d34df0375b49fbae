"""The run as a value: the snapshot, and the fold that applies events to it."""
