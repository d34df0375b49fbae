"""The terminal itself: the first frame, hang-ups, key order, thread priority."""
