"""The terminal: the first frame, hang-ups, the queue of keys, the pager, and the priority of threads."""
