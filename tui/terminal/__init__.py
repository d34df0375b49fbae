"""The terminal: the first frame, output, signals, the queue of keys, the pager, and the priority of threads."""
