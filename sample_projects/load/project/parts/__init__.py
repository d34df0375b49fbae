"""A row of small functions, one a module."""
