"""The text that a person owns: lint, review, watching its file."""
