"""Settings from files and variables, checked, with errors that name the line."""
