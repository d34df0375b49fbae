"""A run as the screen sees it: embedded, attached or replayed."""
