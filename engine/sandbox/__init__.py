"""Commands and file access, contained."""
