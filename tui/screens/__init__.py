"""Whole screens of the app."""
