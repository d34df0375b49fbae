"""A run without a screen: progress on stderr, a summary on stdout."""
