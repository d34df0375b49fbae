"""A run's folder, its lock, how it is created, and the list of runs."""
