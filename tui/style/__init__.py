"""Themes, colours, style sheet and syntax colours."""
