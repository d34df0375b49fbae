"""The folder of a run: its lock, how it is created, and the list of runs."""
