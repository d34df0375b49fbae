"""Events into SQLite and back."""
